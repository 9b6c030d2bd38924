"""Containers of parameters and the arithmetic of containers, step by step as torch's."""

import copy
import pickle

import numpy as np
import pytest
import torch

import convcore as cc

LIBRARIES = pytest.mark.parametrize("library", [cc, torch])


def lists(library):
    """A history of a ParameterList; what it holds after each step, and its repr."""
    nn = library.nn
    holder = nn.Module()
    holder.items = nn.ParameterList([library.zeros(2, 3), nn.Parameter(library.ones(1), requires_grad=False)])
    entries = holder.items
    entries.append(library.ones(4))
    entries.extend([nn.Parameter(library.zeros(()))])
    entries += [library.ones(5)]
    entries[1] = library.zeros(7)
    entries[-1] = nn.Parameter(library.ones(6))
    part = entries[1:3]
    entries.append("text")
    return (
        [type(v).__name__ for v in entries],
        [tuple(p.shape) for p in holder.parameters()],
        list(holder.state_dict()),
        [tuple(p.shape) for p in part],
        len(entries),
        repr(holder).replace("torch.", ""),
    )


def dicts(library):
    """The same of a ParameterDict."""
    nn = library.nn
    entries = nn.ParameterDict({"a": library.zeros(2), "b": nn.Parameter(library.ones(3))})
    entries["c"] = library.ones(4)
    entries.update([("d", library.zeros(5)), ("a", library.ones(6))])
    other = entries | {"e": library.ones(7)}
    entries |= {"f": "text"}
    popped = [tuple(entries.pop("b").shape), entries.popitem()]
    kept = entries.setdefault("c", 0) is entries["c"], entries.setdefault("g", library.zeros(8)).requires_grad
    return (
        list(entries.keys()),
        [tuple(v.shape) for v in entries.values()],
        [(k, tuple(v.shape)) for k, v in other.items()],
        list(reversed(entries)),
        [tuple(p.shape) for p in entries.parameters()],
        popped,
        kept,
        entries.get("x", 3),
        "a" in entries,
        "x" in entries,
        len(entries.copy()),
        list(entries.fromkeys(["u", "v"], 1)),
        repr(entries).replace("FloatTensor", "float32").replace("torch.", ""),
    )


@pytest.mark.parametrize("history", [lists, dicts])
def test_histories_are_torchs(history):
    assert history(cc) == history(torch)


@LIBRARIES
def test_they_are_copied_and_pickled(library):
    entries = library.nn.ParameterList([library.ones(2)])
    mapping = library.nn.ParameterDict({"a": library.ones(2)})
    for make in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        np.testing.assert_array_equal(make(entries)[0].detach().numpy(), [1, 1])
        assert list(make(mapping).keys()) == ["a"]
    mapping.clear()
    assert len(mapping) == 0
    assert list(mapping.parameters()) == []
    del mapping


@LIBRARIES
def test_wrong_entries(library):
    with pytest.raises(IndexError, match="out of range"):
        library.nn.ParameterList([library.ones(1)])[1]
    with pytest.raises(TypeError, match="iterable"):
        library.nn.ParameterList().extend(3)
    with pytest.raises((KeyError, AttributeError), match="a"):
        library.nn.ParameterDict()["a"]
    with pytest.raises(TypeError, match="str"):
        library.nn.ParameterDict()[1] = library.ones(1)


@LIBRARIES
def test_arithmetic_of_sequences(library):
    nn = library.nn
    first, second = nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.Sigmoid())
    assert [type(m).__name__ for m in first + second] == ["ReLU", "Tanh", "Sigmoid"]
    assert list(first * 2) == list(2 * first) == [*first, *first]
    with pytest.raises(ValueError, match="0"):
        _ = first * 0
    first += second
    second *= 3
    assert (len(first), len(second)) == (3, 3)
    modules = nn.ModuleList([nn.ReLU()])
    both = modules + nn.ModuleList([nn.Tanh()])
    modules += [nn.Sigmoid()]
    assert [type(m).__name__ for m in both] == ["ReLU", "Tanh"]
    assert [type(m).__name__ for m in modules] == ["ReLU", "Sigmoid"]


@LIBRARIES
def test_parts_by_their_dotted_names(library):
    nn = library.nn
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    assert net.get_parameter("0.0.weight") is net[0][0].weight
    assert net.get_buffer("0.1.running_mean") is net[0][1].running_mean
    for call, name in ((net.get_parameter, "0.0.w"), (net.get_buffer, "0.1.weight"), (net.get_submodule, "0.7")):
        with pytest.raises(AttributeError):
            call(name)
    net.set_submodule("0.0", nn.Identity())
    assert isinstance(net[0][0], nn.Identity)
    with pytest.raises(AttributeError):
        net.set_submodule("0.9", nn.Identity(), strict=True)
    net.register_module("more", nn.ReLU())
    assert "more" in dict(net.named_children())


@LIBRARIES
def test_assigning_a_state_dict(library):
    net = library.nn.Linear(2, 1).double()
    net.bias.requires_grad_(False)
    state = {"weight": library.ones(1, 2), "bias": library.nn.Parameter(library.zeros(1))}
    result = net.load_state_dict(state, assign=True)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert net.weight.dtype == library.float32
    assert isinstance(net.weight, library.nn.Parameter)
    assert net.weight.requires_grad
    assert net.bias is state["bias"]
    assert not net.bias.requires_grad

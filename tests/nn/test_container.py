"""Sequential, ModuleList and ModuleDict against torch: the same changes must leave the same names and the same repr."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import nn


def row(lib, n=4):
    return lib.Sequential(*[lib.Linear(i + 1, i + 2) for i in range(n)])


CHANGES = {
    "append": lambda lib, s: s.append(lib.ReLU()),
    "append twice": lambda lib, s: s.append(lib.ReLU()).append(lib.Tanh()),
    "extend": lambda lib, s: s.extend(lib.Sequential(lib.ReLU(), lib.Tanh())),
    "insert first": lambda lib, s: s.insert(0, lib.ReLU()),
    "insert inside": lambda lib, s: s.insert(2, lib.ReLU()),
    "insert last": lambda lib, s: s.insert(4, lib.ReLU()),
    "insert negative": lambda lib, s: s.insert(-1, lib.ReLU()),
    "set": lambda lib, s: s.__setitem__(1, lib.ReLU()),
    "set negative": lambda lib, s: s.__setitem__(-1, lib.ReLU()),
    "delete": lambda lib, s: s.__delitem__(1),
    "delete negative": lambda lib, s: s.__delitem__(-2),
    "delete slice": lambda lib, s: s.__delitem__(slice(1, 3)),
    "pop": lambda lib, s: s.pop(0),
    "slice": lambda lib, s: s[1:3],
    "slice negative": lambda lib, s: s[:-1],
    "slice stepped": lambda lib, s: s[::2],
    "index": lambda lib, s: s[-1],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_sequential_changes_as_torchs(change):
    ours, theirs = row(nn), row(torch.nn)
    result, expected = change(nn, ours), change(torch.nn, theirs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(result) == repr(expected)
    assert len(ours) == len(theirs)


def module_list(lib):
    return lib.ModuleList([lib.ReLU(), lib.Linear(1, 2), lib.Linear(1, 2), lib.Linear(3, 4)])


@pytest.mark.parametrize("change", [c for name, c in CHANGES.items() if name != "insert negative"])  # torch: KeyError
def test_module_list_changes_as_torchs(change):
    ours, theirs = module_list(nn), module_list(torch.nn)
    result, expected = change(nn, ours), change(torch.nn, theirs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert result is ours if expected is None and result is not None else repr(result) == repr(expected)


def test_forward_of_a_sequential_with_names():
    net = nn.Sequential(OrderedDict([("fc", nn.Linear(2, 3)), ("act", nn.ReLU())]))
    assert net.fc is net[0]
    assert [type(m).__name__ for m in net] == ["Linear", "ReLU"]
    x = cc.tensor([[1.0, -2.0]])
    expected = np.maximum(x.array @ net.fc.weight.array.T + net.fc.bias.array, 0)
    assert np.allclose(net(x).detach().numpy(), expected, atol=1e-6)
    assert list(net[:1].state_dict()) == ["fc.weight", "fc.bias"]
    assert net[:1].fc is net.fc


def test_a_replaced_layer_computes():
    net = nn.Sequential(nn.Identity(), nn.Identity())
    net[1] = nn.ReLU()
    assert net(cc.tensor([-1.0, 2.0])).tolist() == [0, 2]


def test_append_to_a_slice_adds():
    part = row(nn)[2:]
    part.append(nn.ReLU())
    assert [type(m).__name__ for m in part] == ["Linear", "Linear", "ReLU"]


def test_empty_containers():
    x = cc.ones(2)
    assert nn.Sequential()(x) is x
    assert repr(nn.Sequential()) == repr(torch.nn.Sequential())
    assert repr(nn.ModuleList()) == repr(torch.nn.ModuleList())
    assert repr(nn.ModuleDict()) == repr(torch.nn.ModuleDict())
    assert len(nn.ModuleList()) == len(nn.ModuleDict()) == 0


@pytest.mark.parametrize("container", [row(nn), module_list(nn)])
def test_positions_out_of_range(container):
    with pytest.raises(IndexError, match="index 4 is out of range for 4 modules"):
        container[4]
    with pytest.raises(IndexError, match="index -5 is out of range"):
        container[-5] = nn.ReLU()
    with pytest.raises(IndexError, match="index 9 is out of range"):
        container.insert(9, nn.ReLU())
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        container.insert(0, 3)
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        container.append(3)


def test_module_list_is_a_list():
    layers = [nn.Linear(1, 1), nn.Linear(1, 1)]
    modules = nn.ModuleList(layers)
    assert list(modules) == layers
    assert layers[0] in modules
    assert nn.ReLU() not in modules
    assert modules[:1][0] is layers[0]
    with pytest.raises(NotImplementedError, match="ModuleList"):
        modules(1)


def test_module_list_repr_joins_neighbours():
    def build(lib):
        inner = [lib.Sequential(lib.Linear(2, 2), lib.ReLU()) for _ in range(3)]
        return lib.ModuleList([*inner, lib.ReLU(), *[lib.Linear(1, 1) for _ in range(2)]])

    assert repr(build(nn)) == repr(build(torch.nn))


def test_module_dict():
    ours, theirs = (lib.ModuleDict({"conv": lib.Conv2d(1, 2, 3), "pool": lib.MaxPool2d(2)}) for lib in (nn, torch.nn))
    for modules, lib in ((ours, nn), (theirs, torch.nn)):
        modules["fc"] = lib.Linear(1, 2)
        modules["pool"] = lib.AvgPool2d(2)
        modules.update({"act": lib.ReLU()})
        modules.update([["last", lib.Tanh()]])
        del modules["conv"]
        assert type(modules.pop("act")).__name__ == "ReLU"
    assert repr(ours) == repr(theirs)
    assert list(ours.keys()) == list(ours) == list(theirs.keys()) == ["pool", "fc", "last"]
    assert "fc" in ours
    assert "conv" not in ours
    assert len(ours) == 3
    assert ours["fc"] is dict(ours.items())["fc"] is list(ours.values())[1]
    with pytest.raises(KeyError, match="keys"):
        ours["keys"] = nn.ReLU()
    ours.clear()
    assert len(ours) == 0

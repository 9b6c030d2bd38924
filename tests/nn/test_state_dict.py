"""Saving and loading the state of a module: wholly or not at all."""

import re

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import nn
from convcore.errors import CheckpointError, DTypeError


def model():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def copies(state):
    return {key: value.clone() for key, value in state.items()}


def test_state_is_detached_and_shares_memory():
    net = model()
    state = net.state_dict()
    assert list(state) == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
        "3.weight", "3.bias",
    ]  # fmt: skip
    assert not any(value.requires_grad for value in state.values())
    assert np.shares_memory(state["0.weight"].array, net[0].weight.array)
    assert net.state_dict(keep_vars=True)["0.weight"] is net[0].weight
    mine = {"x": cc.zeros(1)}
    assert net.state_dict(destination=mine, prefix="net.") is mine
    assert list(mine)[:2] == ["x", "net.0.weight"]


def test_round_trip():
    first, second = model(), model()
    result = second.load_state_dict(copies(first.state_dict()))
    assert str(result) == repr(result) == "<All keys matched successfully>"
    assert result.missing_keys == []
    for key, value in first.state_dict().items():
        assert np.array_equal(second.state_dict()[key].array, value.array), key
    assert second[0].weight.requires_grad


def test_all_that_does_not_fit_in_one_table():
    net = model()
    state = copies(net.state_dict())
    before = copies(state)
    del state["0.bias"], state["1.running_var"]
    state["3.weight"] = cc.zeros(5, 8)
    state["3.bias"] = "nothing"
    state["fc.weight"] = cc.zeros(2)
    state["1.weight"] = cc.zeros(2)
    with pytest.raises(CheckpointError, match="does not fit Sequential, so nothing was loaded") as caught:
        net.load_state_dict(state)
    assert str(caught.value).splitlines()[1:] == [
        "  problem      key            in the model  in the state dict",
        "  missing      0.bias         (2,)          -",
        "  missing      1.running_var  (2,)          -",
        "  unexpected   fc.weight      -             (2,)",
        "  wrong shape  3.weight       (3, 8)        (5, 8)",
        "  wrong shape  3.bias         (3,)          not a tensor: str",
    ]
    for key, value in net.state_dict().items():
        assert np.array_equal(value.array, before[key].array), key


def test_not_strict():
    net = model()
    state = {"3.bias": cc.ones(3), "other": cc.zeros(1)}
    with pytest.raises(CheckpointError, match="strict=False skips missing and unexpected keys"):
        net.load_state_dict(state)
    result = net.load_state_dict(state, strict=False)
    assert result.unexpected_keys == ["other"]
    assert "3.bias" not in result.missing_keys
    assert len(result.missing_keys) == 7  # as in torch, num_batches_tracked is not missed
    assert repr(result).startswith("LoadResult(missing_keys=['0.weight'")
    assert net[3].bias.array.tolist() == [1, 1, 1]
    with pytest.raises(CheckpointError, match="build the model with the sizes that were saved"):
        net.load_state_dict({"3.bias": cc.ones(4)}, strict=False)


def test_values_are_converted_to_the_models_dtype():
    net = nn.Linear(2, 1)
    net.load_state_dict({"weight": cc.tensor([[1.5, 2.5]], dtype=cc.float64), "bias": cc.tensor([3])})
    assert net.weight.dtype == np.float32
    assert net.weight.tolist() == [[1.5, 2.5]]
    assert net.bias.tolist() == [3]


def test_loading_is_noticed_by_backward():
    net = nn.Linear(2, 1)
    out = net(cc.ones(1, 2, requires_grad=True)).sum()
    net.load_state_dict(copies(net.state_dict()))
    with pytest.raises(RuntimeError, match="changed in place"):
        out.backward()


def test_loading_what_is_no_dict():
    with pytest.raises(DTypeError, match="state_dict must be a dict of tensors, got list"):
        model().load_state_dict([1])  # pyright: ignore[reportArgumentType]


def wrapped(state, prefix):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize("prefix", ["model.", "net.backbone.", "a."])
def test_a_prefix_that_keeps_all_names_from_fitting_is_named(prefix):
    net, other = model(), model()
    given = {**wrapped(net.state_dict(), prefix), "criterion.weight": cc.ones(3)}
    advice = f"its keys begin with '{prefix}', and those of the model do not: pass {{key.removeprefix\\('{prefix}'\\)"
    with pytest.raises(CheckpointError, match=f"so nothing was loaded; {advice}"):
        other.load_state_dict(given)
    with pytest.warns(UserWarning, match=f"nothing was loaded, since its keys begin with '{prefix}'"):
        result = other.load_state_dict(given, strict=False)
    assert (len(result.missing_keys), len(result.unexpected_keys)) == (8, 10)
    other.load_state_dict({key.removeprefix(prefix): value for key, value in given.items()}, strict=False)
    assert np.array_equal(other[0].weight.array, net[0].weight.array)


def test_a_prefix_that_the_state_dict_lacks_is_named():
    whole = nn.Sequential()
    whole.add_module("encoder", model())
    given = model().state_dict()
    with pytest.raises(
        CheckpointError, match=r"keys of the model begin with 'encoder\.', and its own do not: pass {'enc"
    ):
        whole.load_state_dict(given)
    with pytest.warns(UserWarning, match=r"the keys of Sequential begin with 'encoder\.'"):
        whole.load_state_dict(given, strict=False)
    whole.load_state_dict({"encoder." + key: value for key, value in given.items()})


def test_where_nothing_fits_strict_is_not_the_advice():
    given = {"fc.weight": cc.ones(2), "fc.bias": cc.ones(2)}
    differ = r"none of its keys \('fc.weight', ..\) is one of"
    with pytest.raises(CheckpointError, match=rf"so nothing was loaded; {differ} the model \('0.weight', ..\)"):
        model().load_state_dict(given)
    with pytest.warns(UserWarning, match=rf"nothing was loaded, since {differ} Sequential"):
        model().load_state_dict(given, strict=False)
    assert model().load_state_dict({}, strict=False).unexpected_keys == []
    assert nn.Sequential().load_state_dict(given, strict=False).missing_keys == []


def test_names_of_wrappers_are_the_models_own():
    whole = nn.Sequential()
    whole.add_module("module", model())
    state = copies(whole.state_dict())
    del state["module.0.bias"]
    with pytest.raises(CheckpointError, match="strict=False skips missing and unexpected keys"):
        whole.load_state_dict(state)


EDITS = {
    "a layer too many": (["extra.weight"], []),
    "many too many": ([f"extra.{i}.{name}" for i in range(40) for name in ("weight", "bias")], []),
    "beside a layer's own": (["0.extra", "0.weight.extra", "0.extra.weight", "9.num_batches_tracked"], []),
    "one missing": ([], ["1.running_var"]),
    "all missing": ([], ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]),
    "renamed": (["conv.weight", "conv.bias"], ["0.weight", "0.bias"]),
    "other sizes": (["0.weight", "3.bias"], []),
    "of all kinds": (["extra.weight", "extra.bias", "3.weight", "0.bias"], ["1.bias", "3.bias"]),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("value", ["a tensor", "None", "a number"])
def test_every_key_that_torch_names_is_named(edit, value):
    added, removed = EDITS[edit]
    named = []
    for library in (cc, torch):
        layers = library.nn
        net = layers.Sequential(layers.Conv2d(1, 2, 3), layers.BatchNorm2d(2), layers.Flatten(), layers.Linear(8, 3))
        state = net.state_dict()
        for key in removed:
            del state[key]
        for key in added:
            state[key] = {"a tensor": library.zeros(7), "None": None, "a number": 3}[value]
        with pytest.raises((CheckpointError, RuntimeError)) as caught:
            net.load_state_dict(state)
        text = str(caught.value)
        named.append({key for key in [*added, *removed] if re.search(rf"[ \"]{re.escape(key)}[ \":]", text)})
    assert named[0] == named[1] == {*added, *removed}


def test_a_key_that_is_no_string():
    net = nn.Linear(2, 1)
    state = {**net.state_dict(), 3: cc.zeros(1)}
    with pytest.raises(CheckpointError, match=r"unexpected  3 +- +\(1,\)"):
        net.load_state_dict(state)  # pyright: ignore[reportArgumentType]

"""Weights that are computed: nn.utils.parametrize, weight norm and spectral norm, old and new, against torch."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch

import convcore as cc
from convcore.errors import DTypeError, GraphError, ShapeError
from convcore.nn.utils import parametrizations, parametrize

LAYERS = {
    "linear": (lambda nn: nn.Linear(5, 4), (3, 5)),
    "conv": (lambda nn: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 5, 6)),
    "transposed": (lambda nn: nn.ConvTranspose2d(3, 4, 2), (2, 3, 5, 4)),
}
WAYS = {
    "weight_norm": lambda library: library.nn.utils.weight_norm,
    "spectral_norm": lambda library: library.nn.utils.spectral_norm,
    "parametrizations.weight_norm": lambda library: library.nn.utils.parametrizations.weight_norm,
    "parametrizations.spectral_norm": lambda library: library.nn.utils.parametrizations.spectral_norm,
}


def both(layer, way, **settings):
    """The layer in both libraries, with equal numbers, under the same norm."""
    make, shape = LAYERS[layer]
    theirs, ours = make(torch.nn), make(cc.nn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's older weight norm is deprecated
        assert WAYS[way](torch)(theirs, **settings) is theirs
    assert WAYS[way](cc)(ours, **settings) is ours
    state = {key: cc.tensor(value.detach().numpy()) for key, value in theirs.state_dict().items()}
    assert set(ours.state_dict()) == set(state)
    ours.load_state_dict(state)
    return ours, theirs, np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def close(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layer", LAYERS)
def test_norms_of_weights_are_torchs(layer, way):
    settings = {"dim": 1} if layer == "transposed" and "weight" in way else {}
    ours, theirs, x = both(layer, way, **settings)
    for _ in range(2):  # the second call starts from the first one's singular vectors
        out, expected = ours(cc.tensor(x)), theirs(torch.tensor(x))
        close(out, expected)
        g = np.random.default_rng(1).standard_normal(out.shape).astype(np.float32)
        for model, result, given in ((ours, out, cc.tensor(g)), (theirs, expected, torch.tensor(g))):
            model.zero_grad()
            result.backward(given)
        named = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            close(parameter.grad, named[name].grad)
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value)
    ours.eval()
    theirs.eval()
    close(ours(cc.tensor(x)), theirs(torch.tensor(x)))


@pytest.mark.parametrize("way", WAYS)
def test_norms_are_taken_away_again(way):
    ours, _, x = both("conv", way)
    ours.eval()
    before = ours(cc.tensor(x))
    with pytest.raises(GraphError, match="'weight' of Linear has one already"):
        cc.nn.utils.weight_norm(cc.nn.utils.weight_norm(cc.nn.Linear(2, 2)))
    if way.startswith("param"):
        parametrize.remove_parametrizations(ours, "weight")
    else:
        getattr(cc.nn.utils, f"remove_{way}")(ours)
        with pytest.raises(ValueError, match=f"remove_{way}: 'weight' of Conv2d has no {way}"):
            getattr(cc.nn.utils, f"remove_{way}")(ours)
    assert type(ours) is cc.nn.Conv2d
    assert sorted(ours.state_dict()) == ["bias", "weight"]
    assert isinstance(ours.weight, cc.nn.Parameter)
    np.testing.assert_array_equal(ours(cc.tensor(x)).detach().numpy(), before.detach().numpy())


def test_one_length_for_all_and_vectors():
    ours, theirs, x = both("linear", "parametrizations.weight_norm", dim=None)
    close(ours(cc.tensor(x)), theirs(torch.tensor(x)))
    layer = parametrizations.spectral_norm(cc.nn.Linear(5, 4), "bias")
    np.testing.assert_allclose(np.linalg.norm(layer.bias.detach().numpy()), 1, rtol=1e-6)
    with pytest.raises(GraphError, match="Linear has no parameter 'scale'"):
        cc.nn.utils.spectral_norm(cc.nn.Linear(2, 2), "scale")
    with pytest.raises(ValueError, match="n_power_iterations must be at least 1, got 0"):
        cc.nn.utils.spectral_norm(cc.nn.Linear(2, 2), n_power_iterations=0)
    with pytest.raises(ShapeError, match="the weight must have 2 or more axes"):
        cc.nn.utils.spectral_norm(cc.nn.Linear(2, 2), "bias")


def test_the_largest_singular_value_becomes_one():
    cc.manual_seed(0)
    layer = parametrizations.spectral_norm(cc.nn.Linear(8, 6), n_power_iterations=60)
    assert abs(np.linalg.svd(layer.weight.detach().numpy())[1].max() - 1) < 1e-4


class Symmetric(cc.nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).T


class Doubled(cc.nn.Module):
    def forward(self, x):
        return 2 * x

    def right_inverse(self, x):
        return x / 2


def test_parametrizations_of_ones_own():
    layer = cc.nn.Linear(3, 3)
    held = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert parametrize.is_parametrized(layer)
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert parametrize.type_before_parametrizations(layer) is cc.nn.Linear
    assert layer.parametrizations.weight.original is held
    np.testing.assert_array_equal(layer.weight.detach().numpy(), layer.weight.T.detach().numpy())
    parametrize.register_parametrization(layer, "weight", Doubled())
    close(layer.weight, 2 * Symmetric()(held))
    parametrize.register_parametrization(layer, "bias", Doubled())
    bias = cc.tensor([1.0, 2.0, 3.0])
    layer.bias = bias
    close(layer.bias, bias)
    close(layer.parametrizations.bias.original, bias / 2)
    assert sorted(layer.state_dict()) == ["parametrizations.bias.original", "parametrizations.weight.original"]
    value = layer.weight.detach().clone()
    parametrize.remove_parametrizations(layer, "weight")
    close(layer.weight, value)
    assert parametrize.is_parametrized(layer, "bias")
    parametrize.remove_parametrizations(layer, "bias", leave_parametrized=False)
    close(layer.bias, bias / 2)
    assert type(layer) is cc.nn.Linear
    with pytest.raises(ValueError, match="'bias' of Linear is not parametrized"):
        parametrize.remove_parametrizations(layer, "bias")


def test_copies_of_parametrized_layers():
    layer = parametrizations.spectral_norm(cc.nn.Linear(4, 3)).eval()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        close(twin.weight, layer.weight)
        assert twin.parametrizations.weight.original is not layer.parametrizations.weight.original
        parametrize.remove_parametrizations(twin, "weight")
        assert parametrize.is_parametrized(layer, "weight")


def test_within_cached_a_weight_is_computed_once():
    calls = []

    class Counted(cc.nn.Module):
        def forward(self, x):
            calls.append(1)
            return x

    layer = parametrize.register_parametrization(cc.nn.Linear(2, 2), "weight", Counted())
    calls.clear()
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert len(calls) == 1
    assert layer.weight is not None
    assert len(calls) == 2


def test_parametrizations_that_do_not_fit():
    class Flat(cc.nn.Module):
        def forward(self, x):
            return x.flatten()

    class Words(cc.nn.Module):
        def forward(self, x):
            return "weight"

    with pytest.raises(ShapeError, match=r"the shape and dtype of the tensor, \(2, 2\) float32, got \(4,\) float32"):
        parametrize.register_parametrization(cc.nn.Linear(2, 2), "weight", Flat())
    layer = parametrize.register_parametrization(cc.nn.Linear(2, 2), "weight", Flat(), unsafe=True)
    assert layer.weight.shape == (4,)
    with pytest.raises(DTypeError, match="must return a tensor, got str"):
        parametrize.register_parametrization(cc.nn.Linear(2, 2), "weight", Words())
    with pytest.raises(ValueError, match="Linear has no parameter or buffer 'scale'"):
        parametrize.register_parametrization(cc.nn.Linear(2, 2), "scale", Flat())
    layer = parametrizations.weight_norm(cc.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="'weight' has several originals"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)

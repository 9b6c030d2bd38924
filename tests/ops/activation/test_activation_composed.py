"""Activations composed of other operations: values and gradients against torch, and what they refuse."""

import copy

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import nn
from convcore.errors import DTypeError, ShapeError
from convcore.nn import functional as F

CASES = [
    ("softmin", {"dim": 1}),
    ("softsign", {}),
    ("tanhshrink", {}),
    ("hardshrink", {}),
    ("hardshrink", {"lambd": 0.7}),
    ("softshrink", {"lambd": 0.3}),
    ("softshrink", {"lambd": 0.0}),
    ("threshold", {"threshold": 0.1, "value": 20.0}),
    ("glu", {"dim": 1}),
    ("glu", {}),
    ("rrelu", {"lower": 0.1, "upper": 0.5}),
    ("softmax", {"dim": 1, "dtype": "float64"}),
    ("log_softmax", {"dim": -1, "dtype": "float32"}),
]


def values():
    """With NaN, infinities, and elements at the limits of the shrinking functions."""
    x = np.random.default_rng(0).standard_normal((3, 4, 6)) * 2
    x[0, 0] = [np.nan, 0, 0.5, -0.5, 0.7, -0.3]
    x[1, 2, :2] = np.inf, -np.inf
    return x


@pytest.mark.parametrize(("name", "settings"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_as_torchs(name, settings, dtype):
    x = values().astype(dtype)
    ours, theirs = cc.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    out, expected = (
        getattr(functions, name)(x, **{k: getattr(library, v) if k == "dtype" else v for k, v in settings.items()})
        for library, functions, x in ((cc, F, ours), (torch, torch.nn.functional, theirs))
    )
    assert str(out.dtype) == str(expected.detach().numpy().dtype)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=2e-5, atol=1e-6)
    cotangent = np.random.default_rng(1).standard_normal(out.shape).astype(expected.detach().numpy().dtype)
    out.backward(cc.tensor(cotangent))
    expected.backward(torch.tensor(cotangent))
    assert ours.grad is not None
    assert theirs.grad is not None
    mine, other = ours.grad.numpy(), theirs.grad.numpy()
    np.testing.assert_allclose(mine, other, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("shape", [(3, 4, 6), (3, 4), (3, 4, 2, 2)])
def test_prelu(shape, count):
    x, slopes = np.random.default_rng(0).standard_normal(shape), np.random.default_rng(1).standard_normal(count)
    a, b = cc.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    w, v = cc.tensor(slopes, requires_grad=True), torch.tensor(slopes, requires_grad=True)
    (F.prelu(a, w) ** 2).sum().backward()
    (torch.nn.functional.prelu(b, v) ** 2).sum().backward()
    for ours, theirs in ((a.grad, b.grad), (w.grad, v.grad)):
        assert ours is not None
        assert theirs is not None
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


def test_rrelu_draws_slopes_in_training():
    cc.manual_seed(0)
    x = -cc.ones(1000)
    slopes = -F.rrelu(x, 0.2, 0.6, training=True).numpy()
    assert 0.2 <= slopes.min() < 0.25
    assert 0.55 < slopes.max() <= 0.6
    assert F.rrelu(cc.ones(3), training=True).tolist() == [1, 1, 1]


def test_gumbel_softmax():
    cc.manual_seed(0)
    logits = cc.tensor(np.log([[0.7, 0.2, 0.1]] * 4000), requires_grad=True)
    drawn = F.gumbel_softmax(logits, hard=True)
    assert np.unique(drawn.detach().numpy()).tolist() == [0, 1]
    np.testing.assert_allclose(drawn.detach().numpy().mean(0), [0.7, 0.2, 0.1], atol=0.03)
    (drawn * cc.arange(3)).sum().backward()
    assert logits.grad is not None
    assert np.abs(logits.grad.numpy()).max() > 0
    first, second = [F.gumbel_softmax(logits, generator=cc.Generator(3)).detach().numpy() for _ in range(2)]
    assert np.array_equal(first, second)
    np.testing.assert_allclose(first.sum(1), 1)
    with pytest.warns(UserWarning, match="eps` is deprecated"):
        F.gumbel_softmax(logits, eps=1e-5)


def test_in_place():
    x = cc.tensor([-1.0, 2.0])
    assert F.threshold(x, 0.0, 7.0, inplace=True) is x
    assert x.tolist() == [7, 2]
    x = cc.tensor([-1.0, 2.0])
    F.rrelu(x, 0.5, 0.5, inplace=True)
    assert x.tolist() == [-0.5, 2]


LAYERS = [
    ("Threshold", (0.1, 20.0)),
    ("Hardshrink", (0.7,)),
    ("Softshrink", ()),
    ("Tanhshrink", ()),
    ("Softsign", ()),
    ("PReLU", (4,)),
    ("RReLU", ()),
    ("GLU", (1,)),
    ("Softmin", (1,)),
]


@pytest.mark.parametrize(("name", "arguments"), LAYERS)
def test_layers(name, arguments):
    ours, theirs = getattr(nn, name)(*arguments).eval(), getattr(torch.nn, name)(*arguments).eval()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = values().astype(np.float32)
    out = copy.deepcopy(ours)(cc.tensor(x)).detach().numpy()
    np.testing.assert_allclose(out, theirs(torch.tensor(x)).detach().numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: F.softshrink(cc.ones(2), -1.0),
            ValueError,
            "lambd must be at least 0, got -1",
        ),
        (lambda: F.hardshrink(cc.ones(2, dtype=cc.int64)), DTypeError, "hardshrink: .* must be float32 or float64"),
        (lambda: F.glu(cc.ones(2, 3)), ShapeError, "Halving dimension must be even, but dimension 1 is size 3"),
        (lambda: F.glu(cc.ones(())), ShapeError, "needs at least one axis"),
        (lambda: F.prelu(cc.ones(2, 3), cc.ones(2)), ShapeError, "must have 1 or 3 elements, one a channel; got 2"),
        (lambda: F.prelu(cc.ones(2, 3), cc.ones(1, 1)), ShapeError, r"one axis or none, got shape \(1, 1\)"),
        (lambda: F.prelu(cc.ones(2), cc.ones(1, dtype=cc.float64)), DTypeError, "input is float32, weight float64"),
        (lambda: F.rrelu(cc.ones(2), 0.5, 0.1), ShapeError, "lower must not exceed upper, got 0.5 and 0.1"),
        (lambda: F.gumbel_softmax(cc.ones(2), tau=0), ShapeError, "tau must be above 0, got 0"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()

"""Losses of elements, margins and distances: gradients against torch, numbers at the edges, and what is refused.

That values, dtypes and second derivatives are torch's is shown with torch's own samples, in tests/opinfo.
"""

import functools
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as theirs

import convcore as cc
import convcore.nn.functional as F
from convcore.errors import DTypeError, ShapeError
from convcore.testing import assert_close, gradgradcheck

RNG = np.random.default_rng(3)
X, T = RNG.standard_normal((2, 3, 5))
PROBABILITY, SIGN = 1 / (1 + np.exp(-X)), np.where(T > 0, 1, -1)
LABELS = np.array([4, 0, 2])

# name, arguments, settings
CASES = [
    ("mse_loss", (X, T), {"weight": T**2}),
    ("l1_loss", (X, T), {"weight": T**2}),
    ("smooth_l1_loss", (X, T), {"beta": 0.7}),
    ("smooth_l1_loss", (X, T), {"beta": 0}),
    ("huber_loss", (X, T), {"delta": 0.7, "weight": T**2}),
    ("binary_cross_entropy", (PROBABILITY, PROBABILITY[::-1]), {"weight": T[0] ** 2}),
    ("binary_cross_entropy_with_logits", (X, PROBABILITY), {"weight": T[0] ** 2, "pos_weight": X[1] ** 2}),
    ("kl_div", (X, PROBABILITY), {}),
    ("kl_div", (X, T), {"log_target": True}),
    ("poisson_nll_loss", (X, 5 * PROBABILITY), {"full": True}),
    ("poisson_nll_loss", (PROBABILITY, 5 * PROBABILITY), {"log_input": False}),
    ("gaussian_nll_loss", (X, T, PROBABILITY), {"full": True}),
    ("soft_margin_loss", (X, SIGN), {}),
    ("margin_ranking_loss", (X, T, SIGN), {"margin": 0.3}),
    ("hinge_embedding_loss", (X, SIGN), {}),
    ("cosine_embedding_loss", (X, T, SIGN[:, 0]), {"margin": 0.1}),
    ("multi_margin_loss", (X, LABELS), {"p": 2, "weight": T[0] ** 2}),
    ("multilabel_margin_loss", (X, np.array([[1, 3, -1, 0, 0], [4, -1, 0, 0, 0], [-1, 1, 2, 3, 4]])), {}),
    ("multilabel_soft_margin_loss", (X, PROBABILITY), {"weight": T[0] ** 2}),
    ("triplet_margin_loss", (X, T, X[::-1]), {"swap": True, "p": 3}),
    ("triplet_margin_with_distance_loss", (X, T, X[::-1]), {"margin": 0.5}),
]


def leaf(array, library):
    tensor = library.tensor(np.array(array))
    return tensor.requires_grad_() if tensor.is_floating_point() else tensor


def converted(settings, library):
    return {k: library.tensor(np.array(v)) if isinstance(v, np.ndarray) else v for k, v in settings.items()}


@pytest.mark.filterwarnings("ignore:kl_div", "ignore:reduction")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "arrays", "settings"), CASES, ids=[c[0] for c in CASES])
def test_losses_are_torchs(name, arrays, settings, reduction):
    results = []
    for library, functions in ((cc, F), (torch, theirs)):
        leaves = [leaf(a, library) for a in arrays]
        out = getattr(functions, name)(*leaves, reduction=reduction, **converted(settings, library))
        cotangent = library.tensor(np.random.default_rng(1).standard_normal(tuple(out.shape)))
        out.backward(cotangent)
        results.append([out.detach().numpy(), *[x.grad.numpy() for x in leaves if x.requires_grad]])
    for ours, expected in zip(*results, strict=True):
        assert_close(ours, expected, 1e-12, 1e-12)


@pytest.mark.parametrize("p", [0, 0.5, 1, 2, 3, math.inf])
def test_distances_and_their_corners(p):
    """Also the gradient of the length of a vector that is 0, or has a 0 in it."""
    x = np.array([[1.0, -2, 3], [0, 0, 0], [0, 4, -2], [2, 0, 0]])
    for call in (
        lambda t, functions: functions.normalize(t, p),
        lambda t, functions: functions.pairwise_distance(t, t[0], p, keepdim=True),
        lambda t, functions: functions.pdist(t, p),
    ):
        mine, their = leaf(x, cc), leaf(x, torch)
        out, expected = call(mine, F), call(their, theirs)
        cotangent = RNG.standard_normal(tuple(expected.shape))
        out.backward(cc.tensor(cotangent))
        (gradient,) = torch.autograd.grad(expected, their, torch.tensor(cotangent), materialize_grads=True)
        assert_close(out.detach().numpy(), expected.detach().numpy(), 1e-12, 1e-12)
        assert_close(mine.grad.numpy(), gradient.numpy(), 1e-12, 1e-12)


def test_numbers_at_the_edges():
    large = cc.tensor([1e4, -1e4, math.inf, -math.inf, math.nan])
    expected = theirs.logsigmoid(torch.tensor(large.numpy())).numpy()
    np.testing.assert_array_equal(F.logsigmoid(large).numpy(), expected)
    # A certain mistake costs 100, not infinity, and still has a gradient.
    x = cc.tensor([0.0, 1.0], requires_grad=True)
    F.binary_cross_entropy(x, cc.tensor([1.0, 0.0]), reduction="sum").backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [-1e12, 1e12])
    # Beyond the parabola infinity has the slope of the line.
    x = cc.tensor([math.inf, -math.inf], requires_grad=True)
    F.huber_loss(x, cc.zeros(2), "sum", delta=2.0).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [2, -2])
    # A target of probability 0 has no influence.
    zero = cc.tensor([0.0, 1.0], requires_grad=True)
    F.kl_div(cc.zeros(2), zero, reduction="sum").backward()
    assert zero.grad is not None
    assert np.isfinite(zero.grad.numpy()).all()


def test_classifiers_have_second_derivatives():
    x = cc.tensor(X, requires_grad=True)
    labels, weight = cc.tensor(np.array([4, -100, 2])), cc.tensor(T[0] ** 2)
    for reduction in ("none", "mean", "sum"):
        settings: dict[str, Any] = {"reduction": reduction, "label_smoothing": 0.2}
        assert gradgradcheck(functools.partial(F.cross_entropy, target=labels, weight=weight, **settings), [x])
    assert gradgradcheck(lambda x: F.nll_loss(x.log_softmax(1), labels, weight), [x])


def test_older_arguments_say_what_to_write():
    x, t = cc.tensor(X), cc.tensor(T)
    for average, reduce, name in ((False, None, "sum"), (None, False, "none"), (True, True, "mean")):
        with pytest.warns(UserWarning, match=f"mse_loss: size_average and reduce .* write reduction='{name}'"):
            out = F.mse_loss(x, t, average, reduce)
        np.testing.assert_array_equal(out.numpy(), F.mse_loss(x, t, reduction=name).numpy())
    with pytest.warns(UserWarning, match="kl_div: reduction='mean' divides by the number of elements; 'batchmean'"):
        F.kl_div(x, t)


ONE, ROWS, WHOLE = cc.tensor(0.5), cc.tensor(X), cc.tensor(LABELS)
WRONG = [
    (lambda: F.mse_loss(ROWS, ROWS, reduction="median"), ShapeError, "mse_loss: reduction must be 'none', 'mean' or"),
    (lambda: F.l1_loss(ROWS, ROWS, weight=ONE), ShapeError, "l1_loss: weight must have input's shape"),
    (lambda: F.smooth_l1_loss(ROWS, ROWS, beta=-1), ShapeError, "beta must be at least 0, got -1"),
    (lambda: F.huber_loss(ROWS, ROWS, delta=0), ShapeError, "delta must be greater than 0, got 0"),
    (lambda: F.binary_cross_entropy(ROWS, ROWS), ShapeError, "probabilities from 0 to 1, but .* use binary_cross_ent"),
    (lambda: F.binary_cross_entropy(ROWS[0], ROWS), ShapeError, "target must have input's shape"),
    (lambda: F.binary_cross_entropy_with_logits(ROWS, ROWS[:1]), ShapeError, "target must have input's shape"),
    (lambda: F.gaussian_nll_loss(ROWS, ROWS, -ROWS), ShapeError, "var must not be negative, its smallest"),
    (lambda: F.gaussian_nll_loss(ROWS, ROWS, cc.ones(2)), ShapeError, "var must have input's shape, or one axis"),
    (lambda: F.logsigmoid(WHOLE), DTypeError, "logsigmoid: input must be float32 or float64"),
    (lambda: F.margin_ranking_loss(ROWS, ROWS, ONE), ShapeError, "all tensors must have the same number of axes"),
    (lambda: F.cosine_embedding_loss(ROWS, ROWS, ROWS), ShapeError, r"needs inputs \(N, D\) with a target \(N,\)"),
    (lambda: F.multi_margin_loss(ROWS, WHOLE, p=3), ShapeError, "p must be 1 or 2, got 3"),
    (lambda: F.multi_margin_loss(ROWS, WHOLE + 2), ShapeError, "labels must lie from 0 to 4, got 6"),
    (lambda: F.multi_margin_loss(ROWS, ROWS), DTypeError, "labels must be int64, got float64"),
    (lambda: F.multi_margin_loss(ROWS, WHOLE[:2]), ShapeError, r"target must have the shape \(3,\)"),
    (lambda: F.multi_margin_loss(ROWS, WHOLE, weight=ROWS[0, :2]), ShapeError, "for each of the 5 classes"),
    (lambda: F.multilabel_margin_loss(ROWS[0], cc.tensor([0, 1, 2, 3, -2])), ShapeError, "from -1 to 4, got -2"),
    (lambda: F.multilabel_margin_loss(ROWS[:, :0], WHOLE), ShapeError, "K >= 1 classes"),
    (lambda: F.triplet_margin_loss(ROWS, ROWS, ROWS, margin=0), ShapeError, "margin must be greater than 0, got 0"),
    (lambda: F.triplet_margin_loss(ROWS, ROWS, ONE), ShapeError, "triplet_margin_loss: all tensors must have the same"),
    (lambda: F.pairwise_distance(ONE, ONE), ShapeError, "an axis along which to measure, got two scalars"),
    (lambda: F.pairwise_distance([1.0], ROWS), DTypeError, "x1 must be a tensor, got list"),  # pyright: ignore
    (lambda: F.pdist(ROWS[0]), ShapeError, r"input must have 2 axes \(N, D\)"),
    (lambda: F.pdist(ROWS, -1), ShapeError, "p must be at least 0, got -1"),
    (lambda: F.cosine_similarity(WHOLE, WHOLE, 0), DTypeError, "must be float32 or float64, got int64 for both"),
    (lambda: F.normalize(ROWS, dim=2), ShapeError, "normalize: dim must be from -2 to 1"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[message[:40] for *_, message in WRONG])
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_normalize_writes_where_it_is_told():
    out = cc.zeros(3, 5, dtype=cc.float64)
    assert F.normalize(ROWS, out=out) is out
    np.testing.assert_allclose((out * out).sum(1).numpy(), 1)

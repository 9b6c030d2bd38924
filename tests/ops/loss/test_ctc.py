"""ctc_loss against torch, and against the sum over all paths."""

import itertools

import numpy as np
import pytest
import torch

import convcore as cc
from convcore.errors import DTypeError, ShapeError
from convcore.nn import functional as F

CLASSES = 5


def problem(t=9, n=4, s=4, seed=0, repeats=False):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((t, n, CLASSES))
    labels = rng.integers(1, 2 if repeats else CLASSES, (n, s))
    return logits, labels, rng.integers(s + (s if repeats else 0), t + 1, n), rng.integers(0, s + 1, n)


def both(logits, labels, steps, lengths, dtype="float64", **settings):
    """Losses and gradients of the logits, of convcore and torch."""
    results = []
    for library in (cc, torch):
        x = library.tensor(logits.astype(dtype), requires_grad=True)
        given = [library.tensor(np.asarray(a)) for a in (labels, steps, lengths)]
        y = x.log_softmax(-1)
        loss = library.nn.functional.ctc_loss(y, *given, **settings)
        weight = np.random.default_rng(1).standard_normal(tuple(loss.shape)).astype(dtype)
        (loss * library.tensor(weight)).sum().backward()
        results.append((loss.detach().numpy(), x.grad.numpy()))
    return results


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("blank", [0, CLASSES - 1])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_losses_and_gradients_are_torchs(reduction, repeats, blank, dtype, tolerance):
    logits, labels, steps, lengths = problem(repeats=repeats)
    labels = labels if blank == 0 else labels - 1
    ours, theirs = both(logits, labels, steps, lengths, dtype, blank=blank, reduction=reduction)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_sequences_one_behind_the_other():
    logits, labels, steps, lengths = problem(seed=3)
    joined = np.concatenate([row[:length] for row, length in zip(labels, lengths, strict=True)])
    (padded, _), _ = both(logits, labels, steps, lengths, reduction="none")
    (ours, _), (theirs, _) = both(logits, joined, steps, lengths, reduction="none")
    np.testing.assert_array_equal(ours, padded)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_targets_without_an_alignment(zero_infinity):
    logits, labels, _, _ = problem(t=8, s=4, repeats=True)
    logits = logits[:5]  # aaaa needs 7 steps
    ours, theirs = both(logits, labels, [5, 5, 4, 0], [4, 3, 1, 0], reduction="none", zero_infinity=zero_infinity)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-12)
    assert np.isinf(ours[0][0]) == (not zero_infinity)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-9, atol=1e-12)


def test_the_loss_is_the_sum_over_all_paths():
    logits, labels, *_ = problem(t=5, n=1, s=2)
    p = np.exp(cc.tensor(logits).log_softmax(-1).numpy()[:, 0])
    total = 0.0
    for path in itertools.product(range(CLASSES), repeat=5):
        joined = [k for k, _ in itertools.groupby(path) if k != 0]
        if joined == labels[0].tolist():
            total += float(np.prod([p[t, k] for t, k in enumerate(path)]))
    y = cc.tensor(logits[:, 0]).log_softmax(-1)
    loss = cc.nn.CTCLoss(reduction="sum")(y, cc.tensor(labels[0]), (5,), (2,))
    assert loss.shape == ()
    np.testing.assert_allclose(float(loss), -np.log(total), rtol=1e-12)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"blank": 5}, ShapeError, "blank must be from 0 to 4, got 5"),
        ({"input_lengths": (10, 1, 1, 1)}, ShapeError, "input_lengths must be at most T = 9"),
        ({"input_lengths": (1, 1)}, ShapeError, "input_lengths must be one length of at least 0 for each of 4"),
        ({"input_lengths": (1.5, 1, 1, 1)}, DTypeError, "input_lengths must hold integers, got float64"),
        ({"target_lengths": (5, 1, 1, 1)}, ShapeError, "target_lengths must be at most S = 4"),
        ({"targets": cc.ones(4, 4)}, DTypeError, "targets must hold integers, got float32"),
        ({"targets": cc.full((4, 4), 7)}, ShapeError, "targets must be from 0 to 4"),
        ({"targets": cc.tensor([1, 2])}, ShapeError, r"have one axis of sum\(target_lengths\) = 4 labels"),
        ({"log_probs": cc.ones(9)}, ShapeError, r"log_probs must be \(T, N, C\) or \(T, C\), got shape \(9,\)"),
        ({"reduction": "max"}, ShapeError, "reduction must be 'none', 'mean' or 'sum', got 'max'"),
    ],
)
def test_wrong_arguments(changed, error, message):
    arguments = {
        "log_probs": cc.zeros(9, 4, CLASSES),
        "targets": cc.ones(4, 4, dtype=cc.int64),
        "input_lengths": (9, 9, 9, 9),
        "target_lengths": (1, 1, 1, 1),
    }
    with pytest.raises(error, match=message):
        F.ctc_loss(**{**arguments, **changed})

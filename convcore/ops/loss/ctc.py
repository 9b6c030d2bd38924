"""Connectionist temporal classification: the probability of a label sequence, summed over all alignments.

A path assigns a class to each of T steps. Merging repeats and removing blanks gives its labels: --aa-b-bb is abb. The
loss is -log of the sum of the probabilities of all paths of the target.

With blanks between the labels of the target, l = (-, a, -, b, -), and the log probabilities y[t, k], in log space

    alpha[t, s]   the log probability of all paths up to step t that end at l[s]
                  = y[t, l[s]] + logsumexp(alpha[t-1, s], alpha[t-1, s-1], and alpha[t-1, s-2], which skips a blank
                  between different labels)
    beta[t, s]    the same for the paths from step t on that start at l[s]
    loss          = -logsumexp of the last two alpha[T-1, s]

The share of the paths through l[s] at step t is exp(alpha + beta - y[t, l[s]] + loss). Its sum over all s with
l[s] = k is -d loss / d y[t, k]. torch's gradient adds exp(y[t, k]), which the gradient of log_softmax cancels.

Source: A. Graves et al., "Connectionist Temporal Classification" (2006), equations 6 to 10 and 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, Variable, once_differentiable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import check_float_tensors, integer, require_tensors
from convcore.ops.loss.reduction import read_reduction

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class CtcLoss(Function):
    """The loss of each sequence; all recursions run over the batch at once, in float64."""

    @staticmethod
    def forward(ctx, log_probs, labels, steps, lengths, blank, zero_infinity):
        y = log_probs.array.astype(np.float64)
        extended = np.full((len(labels), 2 * labels.shape[1] + 1), blank)
        extended[:, 1::2] = labels
        passes = np.zeros(extended.shape, np.bool_)  # labels that may follow without a blank
        passes[:, 2:] = (extended[:, 2:] != blank) & (extended[:, 2:] != extended[:, :-2])
        emitted = np.take_along_axis(y, np.broadcast_to(extended, (len(y), *extended.shape)), 2)
        ends = 2 * lengths
        with np.errstate(all="ignore"):
            alpha = _forwards(emitted, passes, ends)
            loss = _losses(alpha, steps, ends)
            ctx.dtype = log_probs.array.dtype
            if ctx.needs_input_grad[0]:
                beta = _backwards(emitted, passes, steps, ends)
                share = np.exp(alpha + beta - emitted + loss[:, None])
                share = np.where(np.isneginf(alpha) & ~np.isinf(loss)[:, None], 0.0, share)
                gradient = np.exp(y)
                t, n, _ = np.ogrid[: len(y), : len(labels), :1]
                np.subtract.at(gradient, (t, n, np.broadcast_to(extended, emitted.shape)), share)
                gradient[np.arange(len(y))[:, None] >= steps] = 0
                if zero_infinity:
                    gradient[:, np.isinf(loss)] = 0
                ctx.gradient = gradient
        return wrap((np.where(np.isinf(loss), 0.0, loss) if zero_infinity else loss).astype(ctx.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        with np.errstate(all="ignore"):
            gradient = ctx.gradient * grad_out.array[:, None]
        return wrap(gradient.astype(ctx.dtype)), None, None, None, None, None


def _shifted(rows: np.ndarray, by: int) -> np.ndarray:
    """Each row shifted to the right, filled with -inf."""
    result = np.full(rows.shape, -np.inf)
    result[:, by:] = rows[:, : rows.shape[1] - by]
    return result


def _forwards(emitted: np.ndarray, passes: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """alpha at all steps, also at those after the last step of a sequence."""
    alpha = np.full(emitted.shape, -np.inf)
    if not len(alpha):
        return alpha
    positions = np.arange(emitted.shape[2])
    inside = positions <= ends[:, None]
    alpha[0, :, :2] = emitted[0, :, :2]
    for t in range(1, len(alpha)):
        before = alpha[t - 1]
        reached = np.logaddexp(before, _shifted(before, 1))
        reached = np.logaddexp(reached, np.where(passes, _shifted(before, 2), -np.inf))
        alpha[t] = np.where(inside, reached + emitted[t], -np.inf)
    alpha[0] = np.where(inside, alpha[0], -np.inf)
    return alpha


def _losses(alpha: np.ndarray, steps: np.ndarray, ends: np.ndarray) -> np.ndarray:
    rows = np.arange(len(ends))
    if not len(alpha):
        return np.where(ends == 0, 0.0, np.inf)
    last = alpha[np.maximum(steps - 1, 0), rows]
    total = np.logaddexp(last[rows, ends], np.where(ends > 0, last[rows, np.maximum(ends - 1, 0)], -np.inf))
    return np.where(steps > 0, -total, np.where(ends == 0, 0.0, np.inf))


def _backwards(emitted: np.ndarray, passes: np.ndarray, steps: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """beta, from the last step of each sequence backwards."""
    beta = np.full(emitted.shape, -np.inf)
    after = np.full(emitted.shape[1:], -np.inf)
    positions = np.arange(emitted.shape[2])
    final = (positions == ends[:, None]) | ((positions == ends[:, None] - 1) & (ends[:, None] > 0))
    for t in reversed(range(len(beta))):
        onward = np.logaddexp(after, _shifted(after[:, ::-1], 1)[:, ::-1])
        skipped = _shifted(np.where(passes, after, -np.inf)[:, ::-1], 2)[:, ::-1]
        reached = np.logaddexp(onward, skipped) + emitted[t]
        started = np.where(final, emitted[t], -np.inf)
        left = (steps - 1 - t)[:, None]
        after = np.where(left == 0, started, np.where(left > 0, reached, -np.inf))
        beta[t] = after
    return beta


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log-likelihood of label sequences, summed over all alignments with the steps.

    Args:
        log_probs: (T, N, C), or (T, C) for one sequence: log probabilities, as `log_softmax` returns them; float32 or
            float64.
        targets: (N, S) with any padding, or all sequences concatenated in one axis; integers other than blank.
        input_lengths, target_lengths: (N,) or sequences of N integers: the numbers of steps and labels.
        blank: the class of no label.
        reduction: "none" returns (N,), "sum" the sum, "mean" the mean of the losses, each divided by its number of
            labels.
        zero_infinity: set the loss and the gradient of sequences without an alignment (too few steps) to 0.

    Raises:
        ShapeError: a length or the blank is out of range, or shapes do not match.
        DTypeError: log_probs is not a float tensor, or targets are not integers.
    """
    check_float_tensors("ctc_loss", log_probs=log_probs)
    require_tensors("ctc_loss", targets=targets)
    read_reduction("ctc_loss", reduction)
    if targets.array.dtype.kind not in "iu":
        raise DTypeError(f"ctc_loss: targets must hold integers, got {targets.array.dtype}")
    single = log_probs.array.ndim == 2
    y = log_probs.unsqueeze(1) if single else log_probs
    if y.array.ndim != 3:
        raise ShapeError(f"ctc_loss: log_probs must be (T, N, C) or (T, C), got shape {log_probs.array.shape}")
    count, batch, classes = y.array.shape
    if not 0 <= integer("ctc_loss", "blank", blank, 0) < classes:
        raise ShapeError(f"ctc_loss: blank must be from 0 to {classes - 1}, got {blank}")
    steps = _lengths("input_lengths", input_lengths, batch)
    lengths = _lengths("target_lengths", target_lengths, batch)
    if (steps > count).any():
        raise ShapeError(f"ctc_loss: input_lengths must be at most T = {count}, got {steps.tolist()}")
    labels = _labels(targets.array, lengths, single)
    used = np.arange(labels.shape[1]) < lengths[:, None]
    if ((labels < 0) | (labels >= classes))[used].any():
        raise ShapeError(f"ctc_loss: targets must be from 0 to {classes - 1}")
    losses = CtcLoss.apply(y, np.where(used, labels, blank), steps, lengths, blank, zero_infinity)
    if reduction == "none":
        return losses.squeeze(0) if single else losses
    if reduction == "sum":
        return losses.sum()
    return (losses / wrap(np.maximum(lengths, 1).astype(losses.array.dtype))).mean()


def _lengths(name: str, given: Any, batch: int) -> np.ndarray:
    given_lengths = given.array if isinstance(given, Variable) else np.asarray(given)
    if given_lengths.dtype.kind not in "iu" and given_lengths.size:
        raise DTypeError(f"ctc_loss: {name} must hold integers, got {given_lengths.dtype}")
    if given_lengths.size != batch or (given_lengths < 0).any():
        raise ShapeError(f"ctc_loss: {name} must be one length of at least 0 for each of {batch} sequences")
    return given_lengths.reshape(-1).astype(np.int64)


def _labels(targets: np.ndarray, lengths: np.ndarray, single: bool) -> np.ndarray:
    """The targets as (N, S)."""
    if targets.ndim == 2 and targets.shape[0] == len(lengths):
        if targets.shape[1] < lengths.max(initial=0):
            raise ShapeError(f"ctc_loss: target_lengths must be at most S = {targets.shape[1]}, got {lengths.tolist()}")
        return targets
    if targets.ndim != 1 or targets.size < lengths.sum() or (targets.size > lengths.sum() and not single):
        raise ShapeError(
            f"ctc_loss: targets must be (N, S), or have one axis of sum(target_lengths) = {lengths.sum()} labels, got "
            f"shape {targets.shape}"
        )
    labels = np.zeros((len(lengths), lengths.max(initial=0)), np.int64)
    starts = np.cumsum(lengths) - lengths
    for row, start, length in zip(labels, starts, lengths, strict=True):
        row[:length] = targets[start : start + length]
    return labels

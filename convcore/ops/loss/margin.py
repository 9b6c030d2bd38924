"""Margin losses: 0 once one score exceeds another by a margin, max(0, margin + worse - better).

Exactly at the margin, as in torch, the gradient is 0 for the losses that compare classes, and the full gradient for
those that compare distances.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError, array_table
from convcore.ops.activation.functions import logsigmoid
from convcore.ops.core.arguments import check_float_tensors, require_tensors
from convcore.ops.core.broadcast import check_broadcast
from convcore.ops.elementwise.functions import minimum, where
from convcore.ops.loss.reduction import read_reduction, reduced
from convcore.ops.reduce.distance import pairwise_distance

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - target * (input1 - input2)): rank one score above the other.

    Args:
        input1, input2: scores.
        target: 1 where input1 should be larger, -1 where input2 should be larger.
        margin: the required difference.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ShapeError: the numbers of axes differ.
    """
    reduction = read_reduction("margin_ranking_loss", reduction, size_average, reduce)
    require_tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    _check_same_ndim("margin_ranking_loss", input1=input1, input2=input2, target=target)
    check_broadcast("margin_ranking_loss", input1, input2, target, names=("input1", "input2", "target"))
    return reduced((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The distance for similar pairs, max(0, margin - distance) for dissimilar pairs.

    Args:
        input: distances.
        target: 1 for similar pairs, -1 for dissimilar pairs.
        margin: the required distance of dissimilar pairs.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.
    """
    reduction = read_reduction("hinge_embedding_loss", reduction, size_average, reduce)
    require_tensors("hinge_embedding_loss", input=input, target=target)
    check_broadcast("hinge_embedding_loss", input, target, names=("input", "target"))
    apart = where(target != 1, (margin - input).clamp(min=0), 0.0)
    return reduced(apart + where(target != -1, input, 0.0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cosine for similar pairs, max(0, cosine - margin) for dissimilar pairs.

    Args:
        input1, input2: (N, D), or (D,) for one pair.
        target: (N,), or no axes for one pair: 1 for similar pairs, -1 for dissimilar pairs.
        margin: the largest cosine of dissimilar pairs without a loss.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ShapeError: the shapes do not match.
    """
    reduction = read_reduction("cosine_embedding_loss", reduction, size_average, reduce)
    require_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    axes = target.array.ndim
    if axes > 1 or input1.array.ndim != axes + 1 or input2.array.ndim != axes + 1:
        rows = [("input1", input1.array, "N, D"), ("input2", input2.array, "N, D"), ("target", target.array, "N")]
        raise ShapeError(
            f"cosine_embedding_loss: needs inputs (N, D) with a target (N,), or (D,) with a target without axes\n"
            f"{array_table(rows)}"
        )
    squares = ((x * x).sum(axes) + 1e-12 for x in (input1, input2))
    cosine = (input1 * input2).sum(axes) / (next(squares) * next(squares)).sqrt()
    together = where(target == 1, 1 - cosine, 0.0)
    return reduced(together + where(target == -1, (cosine - margin).clamp(min=0), 0.0), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over all wrong classes k of max(0, margin - input[target] + input[k])^p, divided by the class count.

    Args:
        input: scores (N, K), or (K,) for one row.
        target: int64 labels (N,), or one label.
        p: 1 or 2.
        margin: the required lead of the right class.
        weight: (K,) a factor for each row, selected by the label.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ShapeError: the shapes do not match, p is not 1 or 2, or a label is out of range.
    """
    op = "multi_margin_loss"
    reduction = read_reduction(op, reduction, size_average, reduce)
    check_float_tensors(op, input=input, weight=weight)
    if p not in (1, 2):
        raise ShapeError(f"{op}: p must be 1 or 2, got {p}")
    rows = input if input.array.ndim > 1 else input.reshape(1, -1)
    _check_labels(op, input, target, rows.array.shape[:1], -1)
    classes = rows.array.shape[-1]
    if weight is not None and weight.array.shape != (classes,):
        table = array_table([("input", input.array, "N, K"), ("weight", weight.array, "K")])
        raise ShapeError(f"{op}: weight must have one element for each of the {classes} classes\n{table}")
    labels = target.reshape(-1, 1)
    excess = _positive(rows - rows.gather(1, labels) + margin)
    others = wrap(labels.array != np.arange(classes))
    losses = where(others, excess if p == 1 else excess * excess, 0.0)
    if weight is not None:
        losses = losses * weight.detach()[labels]
    losses = losses.sum(1) / classes
    return reduced(losses if target.array.ndim else losses.reshape(()), reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over right classes j and wrong classes k of max(0, 1 - input[j] + input[k]), divided by K.

    Args:
        input: scores (N, K), or (K,) for one row.
        target: int64, of input's shape: the right classes of a row, in any order, terminated by -1.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ShapeError: the shapes do not match, or a label is out of range.
    """
    op = "multilabel_margin_loss"
    reduction = read_reduction(op, reduction, size_average, reduce)
    check_float_tensors(op, input=input)
    _check_labels(op, input, target, input.array.shape, -2)
    rows = input if input.array.ndim > 1 else input.reshape(1, -1)
    labels = target.array.reshape(rows.array.shape)
    listed = np.logical_and.accumulate(labels >= 0, axis=1)  # labels after the first -1 are ignored
    labels = np.where(listed, labels, 0)
    right = np.zeros(labels.shape, np.bool_)
    np.logical_or.at(right, (np.arange(len(labels))[:, None], labels), listed)
    excess = _positive(1 - rows.gather(1, wrap(labels)).unsqueeze(2) + rows.unsqueeze(1))  # N, right, wrong
    pairs = wrap(listed[:, :, None] & ~right[:, None, :])
    losses = where(pairs, excess, 0.0).sum((1, 2)) / max(labels.shape[1], 1)
    return reduced(losses if input.array.ndim > 1 else losses.reshape(()), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The binary cross-entropy of logits, averaged over the classes.

    Args:
        input: logits (..., K).
        target: 0 or 1 for each class, of input's shape.
        weight: a factor for each class; broadcasts.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none', over the rows.
    """
    reduction = read_reduction("multilabel_soft_margin_loss", reduction, size_average, reduce)
    require_tensors("multilabel_soft_margin_loss", input=input, target=target, weight=weight)
    check_broadcast("multilabel_soft_margin_loss", input, target, names=("input", "target"))
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        losses = losses * weight
    return reduced(losses.mean(-1), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + distance(anchor, positive) - distance(anchor, negative)), of vectors.

    Args:
        anchor, positive, negative: (..., D); positive has the anchor's class, negative another.
        margin: the required difference of the distances.
        p, eps: as in `pairwise_distance`.
        swap: use distance(positive, negative) where that is smaller (Balntas et al. 2016).
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ShapeError: margin is not positive, or the numbers of axes differ.
    """
    reduction = read_reduction("triplet_margin_loss", reduction, size_average, reduce)

    def distance(x1: Tensor, x2: Tensor) -> Tensor:
        return pairwise_distance(x1, x2, p, eps)

    return _triplet("triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with any distance of two tensors; by default `pairwise_distance`."""
    reduction = read_reduction("triplet_margin_with_distance_loss", reduction)
    distance = distance_function or pairwise_distance
    return _triplet("triplet_margin_with_distance_loss", anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(op, anchor, positive, negative, distance, margin, swap, reduction) -> Tensor:
    require_tensors(op, anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ShapeError(f"{op}: margin must be greater than 0, got {margin}")
    _check_same_ndim(op, anchor=anchor, positive=positive, negative=negative)
    far = distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced((margin + distance(anchor, positive) - far).clamp(min=0), reduction)


def _positive(x: Tensor) -> Tensor:
    """x for positive x, else 0, also for NaN."""
    return where(x > 0, x, 0.0)


def _check_same_ndim(op: str, **tensors: Tensor) -> None:
    if len({tensor.array.ndim for tensor in tensors.values()}) > 1:
        table = array_table([(name, tensor.array, "") for name, tensor in tensors.items()])
        raise ShapeError(f"{op}: all tensors must have the same number of axes\n{table}")


def _check_labels(op: str, input: Tensor, target: Tensor, shape: tuple[int, ...], below: int) -> None:
    """Check int64 labels of this shape (for a single row also without axes), from `below` + 1 to the last class."""
    require_tensors(op, target=target)
    table = array_table([("input", input.array, "N, K"), ("target", target.array, "")])
    if input.array.ndim > 2 or (input.array.ndim and input.array.shape[-1] == 0):
        raise ShapeError(f"{op}: input must have the shape (N, K) or (K,) with K >= 1 classes\n{table}")
    if target.array.dtype != np.int64:
        raise DTypeError(f"{op}: labels must be int64, got {target.array.dtype}; convert them with target.long()")
    if target.array.shape != shape and not (target.array.size == 1 and target.array.ndim == 0 and shape == (1,)):
        raise ShapeError(f"{op}: target must have the shape {shape}\n{table}")
    classes = input.array.shape[-1] if input.array.ndim else 1
    wrong = (target.array <= below) | (target.array >= classes)
    if wrong.any():
        raise ShapeError(
            f"{op}: labels must lie from {below + 1} to {classes - 1}, got {target.array[wrong].flat[0]}\n{table}"
        )

"""Classification losses: cross-entropy and negative log-likelihood.

Cross-entropy of logits x with a label t, with class weights w and label smoothing e (Szegedy et al. 2016, section 7):

    loss = -(1 - e) * w[t] * l[t] - e/K * sum_k w[k] * l[k],   l = log_softmax(x), K classes

The mean divides the sum of the losses by the sum of w[t], not by the number of rows: a row of weight 2 counts as two
rows. The gradient: loss = -sum_k q[k] * l[k] with q[k] = (1 - e) * w[t] * [k == t] + e/K * w[k], and
d l[k] / d x[j] = [k == j] - p[j] with p = softmax(x), so

    grad_x[j] = grad_loss * (p[j] * sum_k q[k] - q[j])
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Function, Variable, is_grad_enabled, wrap
from convcore.engine import dispatch
from convcore.errors import DTypeError, ShapeError, UnsupportedError, array_table
from convcore.ops.activation.softmax import log_softmax, softmax
from convcore.ops.core.arguments import check_float_tensors, integer
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.layout import contiguous
from convcore.ops.core.rows import from_rows, rows_along
from convcore.ops.linear.matmul import linear
from convcore.ops.loss.reduction import read_reduction, reduced
from kernels.cpu.loss import cross_entropy_forward, cross_entropy_grad_input
from kernels.cpu.reduce import sum_chunks

if TYPE_CHECKING:
    from convcore.tensor import Tensor

ELEMENTS_PER_CHUNK = 4096  # exp costs some nanoseconds: enough work for a thread, small enough to balance the load


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between logits and labels, or probabilities.

    Args:
        input: logits, (N, K), (K,) or (N, K, d1, d2, ...) with K classes; float32 or float64.
        target: labels, int64, of input's shape without the class axis; or probabilities of input's shape and dtype.
        weight: (K,) weight of each class.
        size_average, reduce: torch's older form of `reduction`.
        ignore_index: rows with this label count neither in the loss nor in the mean.
        reduction: 'mean', 'sum', or 'none' for a loss of the labels' shape. With labels the mean is weighted.
        label_smoothing: the share, 0 to 1, of the target that is spread evenly over all classes.

    Raises:
        ShapeError: shapes do not match, or a label is out of range.
        DTypeError: the labels are not int64.
        UnsupportedError: `ignore_index` with probabilities, or a weight that requires a gradient.
    """
    reduction = read_reduction("cross_entropy", reduction, size_average, reduce)
    _check_tensors("cross_entropy", input, target, weight)
    if not 0 <= label_smoothing <= 1:
        raise ShapeError(f"cross_entropy: label_smoothing must lie from 0 to 1, got {label_smoothing}")
    if target.array.dtype.kind == "f" and target.array.shape == input.array.shape:
        return _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    ignore_index = _check_labels("cross_entropy", input, target, weight, ignore_index)
    return CrossEntropy.apply(input, target, weight, ignore_index, reduction, float(label_smoothing))


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability of the labels: cross-entropy of an input that is a log_softmax already.

    The arguments and errors are those of `cross_entropy`.
    """
    reduction = read_reduction("nll_loss", reduction, size_average, reduce)
    _check_tensors("nll_loss", input, target, weight)
    ignore_index = _check_labels("nll_loss", input, target, weight, ignore_index)
    return NllLoss.apply(input, target, weight, ignore_index, reduction)


class CrossEntropy(Function):
    """Saves the logits and, per row, the maximum and the sum of exponentials."""

    @staticmethod
    def forward(ctx, x, target, weight, ignore_index, reduction, label_smoothing):
        rows, labels = rows_along(x.array, _class_axis(x.array.shape)), contiguous(target.array).reshape(-1)
        weights = _weights(weight, x)
        per_chunk = _rows_per_chunk(rows)
        loss, maxima, sums = (memory.empty(rows.shape[0], rows.dtype) for _ in range(3))
        workspace, totals = np.empty((2, ceil_div(rows.shape[0], per_chunk), 1)), np.empty((2, 1))
        cross_entropy_forward(
            rows, labels, weights, loss, maxima, sums, workspace, label_smoothing, ignore_index, per_chunk
        )
        sum_chunks(workspace, totals)
        totals = totals.reshape(2)
        ctx.save_for_backward(x, target, weight)
        ctx.maxima, ctx.sums, ctx.settings = maxima, sums, (ignore_index, reduction, label_smoothing)
        ctx.total_weight = totals[1]
        return _reduced(loss, totals, reduction, target.array.shape)

    @staticmethod
    def backward(ctx, grad_out):
        x, target, weight = ctx.saved_tensors
        ignore_index, reduction, label_smoothing = ctx.settings
        if is_grad_enabled():  # create_graph: the same gradient in differentiable operations
            share = _target_shares(x, target, weight, ignore_index, label_smoothing)
            axis = _class_axis(x.array.shape)
            gradient = softmax(x, axis) * share.sum(axis, keepdim=True) - share
            return gradient * _row_gradients(grad_out, reduction, ctx.total_weight, axis), None, None, None, None, None
        rows = rows_along(x.array, _class_axis(x.array.shape))
        grad_loss = _grad_of_rows(grad_out.array, reduction, ctx.total_weight, rows.shape[0])
        grad_x = memory.empty(rows.shape, rows.dtype)
        cross_entropy_grad_input(
            rows, contiguous(target.array).reshape(-1), _weights(weight, x), ctx.maxima, ctx.sums,
            grad_loss, grad_x, label_smoothing, ignore_index, _rows_per_chunk(rows),
        )  # fmt: skip
        return wrap(from_rows(grad_x, x.array.shape, _class_axis(x.array.shape))), None, None, None, None, None


class NllLoss(Function):
    """Selects one element per row. Linear in the input, so the gradient needs only labels and weights."""

    @staticmethod
    def forward(ctx, x, target, weight, ignore_index, reduction):
        rows, labels = rows_along(x.array, _class_axis(x.array.shape)), contiguous(target.array).reshape(-1)
        counted = labels != ignore_index
        columns = np.where(counted, labels, 0)
        row_weight = np.where(counted, _weights(weight, x)[columns], 0)
        loss = np.zeros(len(labels), rows.dtype)
        with np.errstate(all="ignore"):
            np.multiply(-row_weight, rows[np.arange(len(labels)), columns], out=loss, where=counted)
        totals = loss.sum(dtype=np.float64), row_weight.sum(dtype=np.float64)
        ctx.columns, ctx.row_weight, ctx.reduction = columns, row_weight, reduction
        ctx.total_weight, ctx.shape = totals[1], x.array.shape
        return _reduced(loss, totals, reduction, target.array.shape)

    @staticmethod
    def backward(ctx, grad_out):
        labels, axis = len(ctx.columns), _class_axis(ctx.shape)
        if is_grad_enabled():
            picked = np.zeros((labels, ctx.shape[axis]), grad_out.array.dtype)
            picked[np.arange(labels), ctx.columns] = -ctx.row_weight
            picked = wrap(from_rows(picked, ctx.shape, axis))
            return picked * _row_gradients(grad_out, ctx.reduction, ctx.total_weight, axis), None, None, None, None
        grad_loss = _grad_of_rows(grad_out.array, ctx.reduction, ctx.total_weight, labels)
        grad_x = np.zeros((labels, ctx.shape[axis]), grad_loss.dtype)
        # Only rows that count: an ignored row keeps 0, even if no row counts and 1 / 0 makes grad_loss infinite.
        rows = np.flatnonzero(ctx.row_weight)
        grad_x[rows, ctx.columns[rows]] = -ctx.row_weight[rows] * grad_loss[rows]
        return wrap(from_rows(grad_x, ctx.shape, axis)), None, None, None, None


def _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing) -> Tensor:
    """-sum_k w[k] * target[k] * log_softmax(input)[k], with gradients for both."""
    if ignore_index >= 0:
        raise UnsupportedError(
            f"cross_entropy: ignore_index = {ignore_index} needs labels, but target holds probabilities (a float "
            "target of input's shape); leave ignore_index out"
        )
    axis = _class_axis(input.array.shape)
    _check_weight("cross_entropy", input, weight, axis)
    if label_smoothing > 0:
        target = target * (1 - label_smoothing) + label_smoothing / input.array.shape[axis]
    terms = log_softmax(input, axis) * target
    if weight is not None:
        terms = terms * weight.reshape(*[-1 if a == axis else 1 for a in range(input.array.ndim)])
    return reduced(-terms.sum(axis), reduction)


def _reduced(loss: np.ndarray, totals: Any, reduction: str, shape: tuple[int, ...]) -> Tensor:
    """The losses in the labels' shape, their sum, or the sum divided by the sum of weights (NaN if no row counts)."""
    if reduction == "none":
        return wrap(loss.reshape(shape))
    with np.errstate(all="ignore"):
        total = totals[0] if reduction == "sum" else np.divide(totals[0], totals[1])
        return wrap(np.asarray(total, loss.dtype))


def _grad_of_rows(grad_out: np.ndarray, reduction: str, total_weight: float, rows: int) -> np.ndarray:
    """The gradient of the loss of every row."""
    if reduction == "none":
        return contiguous(grad_out.reshape(-1))
    with np.errstate(all="ignore"):
        scale = np.float64(grad_out) / (total_weight if reduction == "mean" else 1.0)
        return np.full(rows, scale, grad_out.dtype)


def _row_gradients(grad_out: Tensor, reduction: str, total_weight: float, axis: int) -> Tensor:
    """The gradient of the loss of every row, in a shape that broadcasts to the input's; differentiable."""
    if reduction == "none":
        return grad_out.unsqueeze(axis)
    return grad_out / float(total_weight) if reduction == "mean" else grad_out


def _target_shares(x: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, smoothing: float) -> Tensor:
    """q of the module's docstring: loss = -sum_k q[k] * l[k] for every row; 0 for ignored rows."""
    axis, labels = _class_axis(x.array.shape), target.array.reshape(-1)
    weights = _weights(weight, x)
    counted = labels != ignore_index
    rows, columns = np.flatnonzero(counted), labels[counted]
    shares = np.where(counted[:, None], smoothing / len(weights) * weights, 0).astype(x.array.dtype)
    shares[rows, columns] += (1 - smoothing) * weights[columns]
    return wrap(from_rows(shares, x.array.shape, axis))


def _class_axis(shape: tuple[int, ...]) -> int:
    return 0 if len(shape) == 1 else 1


def _rows_per_chunk(rows: np.ndarray) -> int:
    return max(ELEMENTS_PER_CHUNK // rows.shape[1], 1)


def _weights(weight: Tensor | None, x: Tensor) -> np.ndarray:
    if weight is None:
        return _ones(x.array.shape[_class_axis(x.array.shape)], x.array.dtype)
    return contiguous(weight.array)


@functools.lru_cache(maxsize=16)
def _ones(count: int, dtype: np.dtype) -> np.ndarray:
    """Shared by all calls: never write to it. Not marked as read-only, which would compile the kernels once more."""
    return np.ones(count, dtype)


def _check_tensors(op: str, input: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
    check_float_tensors(op, input=input, weight=weight)
    if not isinstance(target, Variable):
        raise DTypeError(f"{op}: target must be a tensor, got {type(target).__name__}; convcore.tensor(...) makes one")


def _check_weight(op: str, x: Tensor, weight: Tensor | None, axis: int) -> None:
    if weight is None:
        return
    table = array_table([("input", x.array, "N, K, ..." if axis else "K"), ("weight", weight.array, "K")])
    if weight.array.shape != (x.array.shape[axis],):
        raise ShapeError(f"{op}: weight must have one element for each of the {x.array.shape[axis]} classes\n{table}")
    if weight.requires_grad:
        raise UnsupportedError(f"{op}: weight requires a gradient, which this loss does not compute; detach() it")


def _check_labels(op: str, x: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> int:
    """Check the arguments of a loss with labels; returns `ignore_index` as an int."""
    shape = x.array.shape
    axis = _class_axis(shape)

    def table() -> str:
        return array_table([("input", x.array, "N, K, ..." if axis else "K"), ("target", target.array, "N, ...")])

    if not shape or shape[axis] == 0:
        raise ShapeError(
            f"{op}: input must have the shape (N, K), (K,) or (N, K, d1, ...) with K >= 1 classes\n{table()}"
        )
    if target.array.dtype != np.int64:
        also = " (a float target holds probabilities, and then has input's shape)" if op == "cross_entropy" else ""
        raise DTypeError(
            f"{op}: labels must be int64, got {target.array.dtype}; convert them with target.long(){also}\n{table()}"
        )
    expected = shape[:axis] + shape[axis + 1 :]
    if target.array.shape != expected:
        raise ShapeError(f"{op}: labels must have input's shape without the class axis, {expected}\n{table()}")
    _check_weight(op, x, weight, axis)
    ignore_index = integer(op, "ignore_index", ignore_index, -(1 << 63))
    dispatch.of(check_range, target.array)(op, target.array, shape[axis], ignore_index)
    return ignore_index


def check_range(op: str, labels: np.ndarray, classes: int, ignore_index: int) -> None:
    """Refuse labels that are neither classes nor `ignore_index`."""
    # Read as unsigned, a negative label is very large, so one maximum checks both ends of the range.
    if labels.size == 0 or labels.view(np.uint64).max() < classes:
        return
    wrong = ((labels < 0) | (labels >= classes)) & (labels != ignore_index)
    if wrong.any():
        position = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"target[{', '.join(map(str, position))}]" if position else "target"
        raise ShapeError(
            f"{op}: {where} is {labels[position]}, but labels must lie from 0 to {classes - 1} (input has {classes} "
            f"classes) or be ignore_index = {ignore_index}; {int(wrong.sum())} of {labels.size} are out of range"
        )


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """`cross_entropy` of the logits of a linear layer.

    Args:
        input: (.., D).
        linear_weight: (K, ..., D), the weight of the layer; axes between the first and the last become positions.
        linear_bias: (K, ...), or None.
        target, weight, reduction, ignore_index, label_smoothing: as in `cross_entropy`; None ignores -100.
        options: accepted for compatibility with torch, which splits the rows to save memory; without effect.

    Raises:
        ShapeError: the shapes do not match, or there are positions but no batch.
    """
    check_float_tensors("linear_cross_entropy", input=input, linear_weight=linear_weight, linear_bias=linear_bias)
    if linear_weight.array.ndim < 2 or input.array.ndim < min(linear_weight.array.ndim - 1, 2):
        raise ShapeError(
            "linear_cross_entropy: input must be (.., D) and linear_weight (K, .., D), with a batch if there are "
            "positions, got shapes "
            f"{input.array.shape} and {linear_weight.array.shape}"
        )
    outputs = linear_weight.array.shape[:-1]
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(math.prod(outputs), linear_weight.array.shape[-1]), bias)
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(
        logits.reshape(*input.array.shape[:-1], *outputs), target, weight, ignore_index=ignored, reduction=reduction,
        label_smoothing=label_smoothing,
    )  # fmt: skip

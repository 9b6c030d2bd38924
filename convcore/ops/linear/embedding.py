"""Tables that are looked up: embedding, sums of bags of embeddings, one-hot vectors.

embedding      out[i] = weight[input[i]]             grad_weight[r] = sum of grad_out[i] over input[i] == r
embedding_bag  out[b] = sum, mean or maximum over the entries of bag b
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import DTypeError, ShapeError, UnsupportedError, array_table
from convcore.ops.core.arguments import check_float_tensors, integer, require_tensors
from convcore.ops.elementwise.functions import where
from convcore.ops.shape.indexing import Scatter

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A new last axis with 1 at each class and 0 elsewhere.

    Args:
        tensor: classes, int64, of any shape.
        num_classes: the length of the new axis; -1 is one more than the largest class.

    Returns:
        (..., num_classes), int64.

    Raises:
        ShapeError: a class is negative or too large, or there is none and num_classes is not given.
        DTypeError: the classes are not int64.
    """
    require_tensors("one_hot", tensor=tensor)
    classes, count = tensor.array, integer("one_hot", "num_classes", num_classes, -1)
    if classes.dtype != np.int64:
        raise DTypeError(f"one_hot: classes must be int64, got {classes.dtype}; convert them with .long()")
    if classes.size == 0:
        if count <= 0:
            raise ShapeError("one_hot: an empty tensor does not say how many classes there are; give num_classes")
        return wrap(np.zeros((*classes.shape, count), np.int64))
    count = int(classes.max()) + 1 if count == -1 else count
    if classes.min() < 0 or classes.max() >= count:
        raise ShapeError(
            f"one_hot: classes must lie from 0 to {count - 1}, got {classes.min()} to {classes.max()}; "
            "num_classes must be larger than the largest class"
        )
    if count > np.iinfo(np.int64).max:
        raise ShapeError(f"one_hot: an axis cannot have {count} classes, got the class {classes.max()}")
    return wrap((classes[..., None] == np.arange(count)).astype(np.int64))


class Embedding(Function):
    """Rows of the weight. `factors` scales the gradient of each entry: 0 for the padding, shares for frequent rows."""

    @staticmethod
    def forward(ctx, weight, rows, factors):
        ctx.shape, ctx.rows, ctx.factors = weight.array.shape, rows, factors
        return wrap(weight.array[rows])

    @staticmethod
    def backward(ctx, grad_out):
        if ctx.factors is not None:
            grad_out = grad_out * wrap(ctx.factors.astype(grad_out.array.dtype)[..., None])
        return Scatter.apply(grad_out, ctx.shape, (ctx.rows, Ellipsis), False), None, None


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Look up rows of a table.

    Args:
        input: row numbers, int32 or int64, of any shape.
        weight: (V, D), float32 or float64.
        padding_idx: a row that gets no gradient; negative numbers count from the last.
        max_norm: rows that are looked up and are longer than this are first shortened to it, in place.
        norm_type: which norm measures them.
        scale_grad_by_freq: divide each row's gradient by how often it was looked up.
        sparse: refused; gradients are dense.

    Returns:
        (*input.shape, D).

    Raises:
        ShapeError: a row number is out of range, or the table has not two axes.
        DTypeError: the row numbers are not integers.
    """
    rows = _rows("embedding", input, weight, sparse)
    padding = _padding("embedding", padding_idx, weight)
    if max_norm is not None:
        _shorten(weight, rows, max_norm, norm_type)
    return Embedding.apply(weight, rows, _factors(rows, padding, scale_grad_by_freq))


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of bags of rows of a table; empty bags give 0.

    Args:
        input: row numbers: (B, N), one bag a row, or (N,) with `offsets`.
        weight, max_norm, norm_type, scale_grad_by_freq, sparse: as of `embedding`.
        offsets: where each bag begins in a 1-D input; the first one at 0.
        mode: 'sum', 'mean' or 'max'.
        per_sample_weights: a factor for each entry, of input's shape; with 'sum' alone.
        include_last_offset: whether offsets end with the length of input.
        padding_idx: a row that counts in no bag.

    Returns:
        (B, D).

    Raises:
        ShapeError: the shapes do not fit, or a number is out of range.
        DTypeError: row numbers or offsets are not integers.
    """
    op = "embedding_bag"
    rows = _rows(op, input, weight, sparse)
    if mode not in ("sum", "mean", "max"):
        raise ShapeError(f"{op}: mode must be 'sum', 'mean' or 'max', got {mode!r}")
    starts = _bag_starts(op, rows, offsets, include_last_offset)
    if per_sample_weights is not None:
        check_float_tensors(op, weight=weight, per_sample_weights=per_sample_weights)
        if mode != "sum" or per_sample_weights.array.shape != rows.shape:
            table = array_table([("input", input.array, ""), ("per_sample_weights", per_sample_weights.array, "")])
            raise ShapeError(f"{op}: per_sample_weights needs mode='sum' and input's shape, mode is {mode!r}\n{table}")
        per_sample_weights = per_sample_weights.reshape(-1)
    padding = _padding(op, padding_idx, weight)
    rows = rows.reshape(-1)
    if max_norm is not None:
        _shorten(weight, rows, max_norm, norm_type)
    bags = np.searchsorted(starts, np.arange(rows.size), side="right") - 1
    counted = np.ones(rows.size, np.bool_) if padding is None else rows != padding
    entries = Embedding.apply(weight, rows[counted], _factors(rows, None, scale_grad_by_freq, counted))
    bags, shape = bags[counted], (starts.size, weight.array.shape[1])
    if mode == "max":
        return _largest(entries, bags, shape)
    if per_sample_weights is not None:
        entries = entries * per_sample_weights[wrap(counted)].unsqueeze(1)
    total = Scatter.apply(entries, shape, (bags, Ellipsis), False)
    if mode == "mean":
        sizes = np.maximum(np.bincount(bags, minlength=starts.size), 1).astype(weight.array.dtype)
        total = total / wrap(sizes[:, None])
    return total


def _largest(entries: Tensor, bags: np.ndarray, shape: tuple[int, int]) -> Tensor:
    """The maximum of each bag and column; the first of equal entries gets the gradient."""
    first, filled = np.zeros(shape, np.int64), np.zeros((shape[0], 1), np.bool_)
    for bag in np.unique(bags):
        places = np.flatnonzero(bags == bag)
        first[bag], filled[bag] = places[np.argmax(entries.array[places], axis=0)], True
    if not len(bags):
        return wrap(np.zeros(shape, entries.array.dtype))
    return where(wrap(filled), entries[wrap(first), wrap(np.arange(shape[1]))], 0.0)


def _bag_starts(op: str, rows: np.ndarray, offsets: Tensor | None, include_last: bool) -> np.ndarray:
    if rows.ndim == 2:
        if offsets is not None:
            raise ShapeError(f"{op}: a 2-D input is one bag a row, and takes no offsets")
        return np.arange(len(rows)) * rows.shape[1]
    require_tensors(op, offsets=offsets)
    if rows.ndim != 1 or offsets is None or offsets.array.ndim != 1:
        raise ShapeError(f"{op}: input must be (B, N), or (N,) with 1-D offsets; got input of shape {rows.shape}")
    starts = offsets.array
    if starts.dtype.kind not in "iu":
        raise DTypeError(f"{op}: offsets must be integers, got {starts.dtype}")
    if starts.size and (starts[0] != 0 or starts[-1] > rows.size or (np.diff(starts) < 0).any()):
        raise ShapeError(f"{op}: offsets must begin with 0 and rise to at most {rows.size}, the length of input")
    if include_last and not starts.size:
        raise ShapeError(f"{op}: include_last_offset=True needs at least one offset")
    return starts[:-1] if include_last else starts


def _rows(op: str, input: Tensor, weight: Tensor, sparse: bool) -> np.ndarray:
    """The row numbers, checked."""
    require_tensors(op, input=input, weight=weight)
    rows = input.array
    table = array_table([("input", rows, ""), ("weight", weight.array, "V, D")])
    if rows.dtype not in (np.int32, np.int64):
        raise DTypeError(f"{op}: input must be int32 or int64, got {rows.dtype}\n{table}")
    if weight.array.ndim != 2:
        raise ShapeError(f"{op}: weight must have 2 axes (V, D)\n{table}")
    if sparse:
        raise UnsupportedError(f"{op}: sparse gradients are not supported; leave sparse out")
    if rows.size and not (rows.min() >= 0 and rows.max() < len(weight.array)):
        raise ShapeError(
            f"{op}: row numbers must lie from 0 to {len(weight.array) - 1}, got {rows.min()} to {rows.max()}\n{table}"
        )
    return np.array(rows)


def _padding(op: str, padding_idx: int | None, weight: Tensor) -> int | None:
    if padding_idx is None:
        return None
    count = len(weight.array)
    number = integer(op, "padding_idx", padding_idx, -count)
    if number >= count:
        raise ShapeError(f"{op}: padding_idx must be less than {count}, the number of rows, got {number}")
    return number % count


def _factors(rows: np.ndarray, padding: int | None, by_frequency: bool, counted: Any = ...) -> np.ndarray | None:
    """By what the gradient of each entry is multiplied; None for 1."""
    factors = None
    if by_frequency and rows.size:
        factors = 1 / np.bincount(rows.reshape(-1))[rows]
    if padding is not None:
        factors = np.where(rows == padding, 0.0, 1.0 if factors is None else factors)
    return None if factors is None else factors[counted]


def _shorten(weight: Tensor, rows: np.ndarray, max_norm: float, norm_type: float) -> None:
    """Scale down, in place, the rows that are longer than max_norm."""
    used = np.unique(rows)
    table = weight.before_write()
    lengths = np.linalg.norm(table[used], norm_type, axis=1)
    long = lengths > max_norm
    table[used[long]] *= (max_norm / (lengths[long] + 1e-7))[:, None].astype(table.dtype)
    weight.mark_changed()

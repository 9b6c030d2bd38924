"""Sorting, top-k, unique values, searches in sorted sequences, counts. NaN sorts as the largest value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.axes import axis
from convcore.ops.core.dtypes import as_tensors, clone, int32, int64
from convcore.ops.shape.indexing import gather, getitem, in_range
from convcore.ops.shape.views import reshape

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class Ordered(NamedTuple):
    """The result of `sort` and `topk`."""

    values: Any
    indices: Any


def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Tensor:
    """The indices that sort the elements along `dim` in ascending order; equal elements keep their order"""
    axis_index = axis("argsort", dim, input.array.ndim)
    array = input.array
    if array.ndim == 0:
        return wrap(np.zeros((), int64))
    if not descending:
        return wrap(np.argsort(array, axis=axis_index, kind="stable"))
    backwards = np.argsort(np.flip(array, axis_index), axis=axis_index, kind="stable")
    return wrap(array.shape[axis_index] - 1 - np.flip(backwards, axis_index))


def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Ordered:
    """(values, indices): the elements along `dim` in ascending order, and their indices; equal ones keep their order"""
    if input.array.ndim == 0:
        axis("sort", dim, 0)
        return Ordered(clone(input), wrap(np.zeros((), int64)))
    indices = argsort(input, dim, descending)
    return Ordered(gather(input, dim, indices), indices)


def msort(input: Tensor) -> Tensor:
    """The elements along the first axis in ascending order"""
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Ordered:
    """(values, indices): the k largest elements along `dim` (the smallest without `largest`), in order"""
    axis_index = axis("topk", dim, input.array.ndim)
    size = input.array.shape[axis_index] if input.array.ndim else 1
    if not isinstance(k, (int, np.integer)) or not 0 <= k <= size:
        raise ShapeError(f"topk: k must be from 0 to {size}, the size of axis {dim}, got {k}")
    if input.array.ndim == 0:
        return sort(input, dim)
    indices = argsort(input, dim, largest).narrow(axis_index, 0, int(k))
    return Ordered(gather(input, dim, indices), indices)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in ascending order, or the distinct slices along `dim`

    Returns:
        The values; then, if requested, the index of each element's value, and the number of occurrences (int64).
    """
    axis_index = None if dim is None else axis("unique", dim, input.array.ndim)
    values, inverse, counts = np.unique(
        input.array, return_inverse=True, return_counts=True, axis=axis_index, equal_nan=False
    )
    shape = input.array.shape if axis_index is None else (input.array.shape[axis_index],)
    results = [(values, True), (inverse.reshape(shape), return_inverse), (counts, return_counts)]
    return _those_wanted(results)


def _those_wanted(results: Sequence[tuple[np.ndarray, bool]]) -> Any:
    wanted = [wrap(np.asarray(array)) for array, chosen in results if chosen]
    return wanted[0] if len(wanted) == 1 else tuple(wanted)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements, or slices along `dim`, without those equal to their predecessor; results as in `unique`"""
    axis_index = 0 if dim is None else axis("unique_consecutive", dim, input.array.ndim)
    array = input.array.reshape(-1) if dim is None else np.moveaxis(input.array, axis_index, 0)
    rows = array.reshape(array.shape[0], array.size // max(array.shape[0], 1))
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    starts = np.flatnonzero(fresh)
    values = array[starts] if dim is None else np.moveaxis(array[starts], 0, axis_index)
    inverse = np.cumsum(fresh) - 1
    inverse = inverse.reshape(input.array.shape) if dim is None else inverse
    counts = np.diff(np.append(starts, len(rows)))
    return _those_wanted([(values, True), (inverse, return_inverse), (counts, return_counts)])


def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """The index at which each value would be inserted into the sorted sequences along the last axis

    Args:
        sorted_sequence: of one axis, or of the values' shape but for the last axis.
        out_int32: indices of int32 instead of int64.
        right, side: insert after equal elements if `right`, or side="right"; before them by default.
        sorter: the indices that sort an unsorted sequence.
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ShapeError(f'searchsorted: side must be "left" or "right" and agree with right={right}, got {side!r}')
    sequence = sorted_sequence.array
    values = input.array if isinstance(input, Variable) else np.asarray(input)
    if sequence.ndim == 0 or (sequence.ndim > 1 and sequence.shape[:-1] != values.shape[:-1]):
        raise ShapeError(
            f"searchsorted: the sequence must have 1 axis or the values' shape but for the last, got {sequence.shape} "
            f"and {values.shape}"
        )
    if isinstance(input, Variable) and sequence.dtype != values.dtype:
        raise DTypeError(f"searchsorted: both must have one dtype, got {sequence.dtype} and {values.dtype}")
    if sorter is not None:
        if sorter.array.shape != sequence.shape or sorter.array.dtype != np.int64:
            raise ShapeError(f"searchsorted: sorter must be int64 of the sequence's shape {sequence.shape}")
        if ((sorter.array < 0) | (sorter.array >= sequence.shape[-1])).any():
            raise ShapeError("searchsorted: sorter holds an index out of range")
        sequence = np.take_along_axis(sequence, sorter.array, -1)
    which = "right" if right or side == "right" else "left"
    if sequence.ndim == 1:
        positions = np.asarray(np.searchsorted(sequence, values, which))
    else:
        positions = np.empty(values.shape, int64)
        for row in np.ndindex(*sequence.shape[:-1]):
            positions[row] = np.searchsorted(sequence[row], values[row], which)
    return wrap(positions.astype(int32 if out_int32 else int64))


def bucketize(input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The index of each element's bucket between ascending `boundaries`"""
    if boundaries.array.ndim != 1:
        raise ShapeError(f"bucketize: boundaries must have 1 axis, got shape {boundaries.array.shape}")
    values, limits = as_tensors("bucketize", input, boundaries)
    return searchsorted(limits, values, out_int32=out_int32, right=right)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of the integers 0, 1, .. occurs, or the sum of the weights of those elements"""
    array = input.array
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array < 0).any():
        raise ShapeError(f"bincount: input must be 1-D integers of at least 0, got shape {array.shape}, {array.dtype}")
    if weights is not None and weights.array.shape != array.shape:
        raise ShapeError(f"bincount: weights must have the input's shape {array.shape}, got {weights.array.shape}")
    if minlength < 0:
        raise ShapeError(f"bincount: minlength must be at least 0, got {minlength}")
    if weights is None:
        return wrap(np.bincount(array, minlength=minlength).astype(int64))
    dtype = weights.array.dtype if weights.array.dtype == np.float32 else np.float64
    return wrap(np.bincount(array, weights.array, minlength).astype(dtype))


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened tensor at the positions `index`, in the shape of `index`"""
    if index.array.dtype.kind != "i":
        raise DTypeError(f"take: index must hold integers, got {index.array.dtype}")
    flat = reshape(input, input.array.size)
    return getitem(flat, (in_range("take", index.array, input.array.size, -input.array.size),))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with broadcasting of the other axes, and negative indices that count from the end.

    Without `dim`, the indices refer to the flattened tensor and must not be negative.
    """
    if indices.array.dtype.kind != "i":
        raise DTypeError(f"take_along_dim: indices must hold integers, got {indices.array.dtype}")
    if dim is None:
        return gather(reshape(input, input.array.size), 0, reshape(indices, indices.array.size))
    if indices.array.ndim != input.array.ndim:
        raise ShapeError(
            f"take_along_dim: both need equal numbers of axes, got {input.array.shape} and {indices.array.shape}"
        )
    axis_index = axis("take_along_dim", dim, input.array.ndim)

    def broadcast(tensor: Tensor, other: Tensor) -> Tensor:
        shape = [own if i == axis_index else max(own, others) if 0 not in (own, others) else 0 for i, (own, others) in
                 enumerate(zip(tensor.array.shape, other.array.shape, strict=True))]  # fmt: skip
        return tensor.expand(shape)

    size = input.array.shape[axis_index]
    positions = in_range("take_along_dim", indices.array, size, -size) % np.int64(size)
    return gather(broadcast(input, wrap(positions)), axis_index, broadcast(wrap(positions), input))

"""Order: sorting, the largest, unique values, places in sorted sequences, counts. NaN counts as the largest value."""

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
    """What `sort` and `topk` return."""

    values: Any
    indices: Any


def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Tensor:
    """Where along `dim` the elements in rising order stand; equal ones keep their order"""
    place = axis("argsort", dim, input.array.ndim)
    array = input.array
    if array.ndim == 0:
        return wrap(np.zeros((), int64))
    if not descending:
        return wrap(np.argsort(array, axis=place, kind="stable"))
    backwards = np.argsort(np.flip(array, place), axis=place, kind="stable")
    return wrap(array.shape[place] - 1 - np.flip(backwards, place))


def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Ordered:
    """(values, indices): the elements along `dim` in rising order, and where they stood; equal ones keep their order"""
    if input.array.ndim == 0:
        axis("sort", dim, 0)
        return Ordered(clone(input), wrap(np.zeros((), int64)))
    indices = argsort(input, dim, descending)
    return Ordered(gather(input, dim, indices), indices)


def msort(input: Tensor) -> Tensor:
    """The elements along the first axis in rising order"""
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Ordered:
    """(values, indices): the k largest elements along `dim` (smallest where not `largest`), in order"""
    place = axis("topk", dim, input.array.ndim)
    size = input.array.shape[place] if input.array.ndim else 1
    if not isinstance(k, (int, np.integer)) or not 0 <= k <= size:
        raise ShapeError(f"topk: k must be from 0 to {size}, the size of axis {dim}, got {k}")
    if input.array.ndim == 0:
        return sort(input, dim)
    indices = argsort(input, dim, largest).narrow(place, 0, int(k))
    return Ordered(gather(input, dim, indices), indices)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements in rising order, or the different slices along `dim`

    Returns:
        The values; then, where asked for, for each element which of them it is, and how often each occurs (int64).
    """
    place = None if dim is None else axis("unique", dim, input.array.ndim)
    values, inverse, counts = np.unique(
        input.array, return_inverse=True, return_counts=True, axis=place, equal_nan=False
    )
    shape = input.array.shape if place is None else (input.array.shape[place],)
    results = [(values, True), (inverse.reshape(shape), return_inverse), (counts, return_counts)]
    return _those_wanted(results)


def _those_wanted(results: Sequence[tuple[np.ndarray, bool]]) -> Any:
    wanted = [wrap(np.asarray(array)) for array, chosen in results if chosen]
    return wanted[0] if len(wanted) == 1 else tuple(wanted)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements, or slices along `dim`, without those that equal the one before; results as of `unique`"""
    place = 0 if dim is None else axis("unique_consecutive", dim, input.array.ndim)
    array = input.array.reshape(-1) if dim is None else np.moveaxis(input.array, place, 0)
    rows = array.reshape(array.shape[0], array.size // max(array.shape[0], 1))
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    starts = np.flatnonzero(fresh)
    values = array[starts] if dim is None else np.moveaxis(array[starts], 0, place)
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
    """Where each value would stand in the sorted sequences along the last axis, before equal ones or behind them

    Args:
        sorted_sequence: of one axis, or of the values' shape but for the last axis.
        out_int32: indices of int32 instead of int64.
        right, side: behind equal elements where `right`, or side="right".
        sorter: the order that sorts the sequence, where it is not sorted.
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
        places = np.asarray(np.searchsorted(sequence, values, which))
    else:
        places = np.empty(values.shape, int64)
        for row in np.ndindex(*sequence.shape[:-1]):
            places[row] = np.searchsorted(sequence[row], values[row], which)
    return wrap(places.astype(int32 if out_int32 else int64))


def bucketize(input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of the bucket between rising `boundaries` in which each element lies"""
    if boundaries.array.ndim != 1:
        raise ShapeError(f"bucketize: boundaries must have 1 axis, got shape {boundaries.array.shape}")
    values, limits = as_tensors("bucketize", input, boundaries)
    return searchsorted(limits, values, out_int32=out_int32, right=right)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of the numbers 0, 1, .. occurs, or the sum of the weights of those elements"""
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
    """The elements of the flattened tensor at the places `index`, in its shape"""
    if index.array.dtype.kind != "i":
        raise DTypeError(f"take: index must hold integers, got {index.array.dtype}")
    flat = reshape(input, input.array.size)
    return getitem(flat, (in_range("take", index.array, input.array.size, -input.array.size),))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` in which the other axes broadcast and negative places count from the end.

    Without `dim` the places are those of the flattened tensor, from 0 on.
    """
    if indices.array.dtype.kind != "i":
        raise DTypeError(f"take_along_dim: indices must hold integers, got {indices.array.dtype}")
    if dim is None:
        return gather(reshape(input, input.array.size), 0, reshape(indices, indices.array.size))
    if indices.array.ndim != input.array.ndim:
        raise ShapeError(
            f"take_along_dim: both need equal numbers of axes, got {input.array.shape} and {indices.array.shape}"
        )
    place = axis("take_along_dim", dim, input.array.ndim)

    def spread(tensor: Tensor, other: Tensor) -> Tensor:
        shape = [own if i == place else max(own, others) if 0 not in (own, others) else 0 for i, (own, others) in
                 enumerate(zip(tensor.array.shape, other.array.shape, strict=True))]  # fmt: skip
        return tensor.expand(shape)

    size = input.array.shape[place]
    places = in_range("take_along_dim", indices.array, size, -size) % np.int64(size)
    return gather(spread(input, wrap(places)), place, spread(wrap(places), input))

"""Reading and writing parts of a tensor: x[index], gather.

An index follows NumPy's rules (integers, slices, None, Ellipsis, bool masks, integer tensors). Slices and integers
give views; masks and index tensors copy. The gradient of a read is a scatter: grad_x is zero except at the index,
where the gradients of all reads of an element are summed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import integer
from convcore.ops.core.axes import axis

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def array_index(index: Any) -> tuple[tuple[Any, ...], bool]:
    """The index for NumPy, and whether it is basic: slices and integers only, which give a view.

    The Ellipsis at the end makes NumPy return an array, never a scalar.
    """
    parts = index if isinstance(index, tuple) else (index,)
    result = [p.array if isinstance(p, Variable) else p for p in parts]
    refuse_bytes("index", result)
    # 0-dimensional integer tensors count as integers, as in torch.
    result = [int(p) if isinstance(p, np.ndarray) and p.ndim == 0 and p.dtype.kind in "iu" else p for p in result]
    basic = all(p is None or p is Ellipsis or isinstance(p, (int, np.integer, slice)) for p in result)
    basic = basic and not any(isinstance(p, bool) for p in result)
    if not any(p is Ellipsis for p in result):
        result.append(Ellipsis)
    return tuple(result), basic


def refuse_bytes(op: str, parts: Sequence[Any]) -> None:
    """Refuse uint8 arrays as an index: torch reads them as masks, NumPy as positions."""
    if any(isinstance(p, np.ndarray) and p.dtype == np.uint8 for p in parts):
        raise DTypeError(
            f"{op}: uint8 may mean positions or a mask; use index.long() for positions, index.bool() for a mask"
        )


def frozen(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index with copies of its lists and arrays, so that the user may change the originals before backward."""
    return tuple([np.array(p) if isinstance(p, (np.ndarray, list)) else p for p in index])


class Index(Function):
    """x[index]"""

    @staticmethod
    def forward(ctx, x, index, basic):
        ctx.shape, ctx.basic = x.array.shape, basic
        ctx.index = frozen(index) if ctx.needs_input_grad[0] else index
        out = x.array[index]
        return x.view_of_memory(out) if basic else wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        return Scatter.apply(grad_out, ctx.shape, ctx.index, ctx.basic), None, None


class Scatter(Function):
    """Zeros of a shape, with values added at an index; repeated indices accumulate."""

    @staticmethod
    def forward(ctx, values, shape, index, basic):
        ctx.index, ctx.basic = index, basic
        out = np.zeros(shape, values.array.dtype)
        if basic:
            out[index] = values.array
        else:
            np.add.at(out, index, values.array)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        return Index.apply(grad_out, ctx.index, ctx.basic), None, None, None


def getitem(input: Tensor, index: Any) -> Tensor:
    """input[index]"""
    return Index.apply(input, *array_index(index))


def in_range(op: str, positions: np.ndarray, size: int, first: int = 0) -> np.ndarray:
    """`positions`, checked to be from `first` to size - 1; `first` is 0, or -size if negative ones count from the end.

    Raises:
        IndexError: a position is out of range.
    """
    outside = (positions < first) | (positions >= size)
    if outside.any():
        value = positions[outside].flat[0]
        if size == 0:
            raise IndexError(f"{op}: index {value} is out of range, for the axis is empty")
        raise IndexError(f"{op}: index must be from {first} to {size - 1}, got {value}")
    return positions


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """out[i][j].. = the element of input at [i][j].., with the coordinate of axis `dim` replaced by index[i][j]..

    Shapes: index has as many axes as the input, none longer except `dim`; the result has the shape of index.

    Raises:
        IndexError: an index is negative or too large.
    """
    axis_index = axis("gather", dim, input.array.ndim)
    if input.array.ndim == 0 and index.array.ndim == 1:
        input = input.reshape(1)
    where, shape = index.array, input.array.shape
    if where.dtype.kind not in "iu":
        raise DTypeError(f"gather: index must hold integers, got {where.dtype}")
    if where.size == 0 and len(shape) <= 1:  # torch accepts every empty index here
        return getitem(input.reshape(-1), (np.zeros(0, np.int64),)).reshape(where.shape)
    if where.ndim != len(shape) or any(
        w > s for i, (w, s) in enumerate(zip(where.shape, shape, strict=True)) if i != axis_index
    ):
        raise ShapeError(
            f"gather: index must have the input's number of axes and be no larger outside dim={dim}, "
            f"got index {where.shape} for input {shape}"
        )
    in_range("gather", where, shape[axis_index] if shape else 1)
    if len(shape) == 0:
        return getitem(input, ())
    return Index.apply(input, coordinates(where, axis_index), False)


def coordinates(positions: np.ndarray, axis_index: int) -> tuple[np.ndarray, ...]:
    """The NumPy index for positions along one axis: the coordinates along all other axes stay the same."""
    result = list(np.ogrid[tuple(slice(0, s) for s in positions.shape)])
    result[axis_index] = positions
    return tuple(result)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the nonzero elements: (count, axes), or a tuple of one vector for each axis; int64"""
    if input.array.ndim == 0:
        found = np.flatnonzero(input.array)
        return (wrap(found),) if as_tuple else wrap(np.zeros((found.size, 0), np.int64))
    positions = np.nonzero(input.array)
    return tuple([wrap(p.copy()) for p in positions]) if as_tuple else wrap(np.stack(positions, axis=1))


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The indices of the nonzero elements, truncated or padded with `fill_value` to `size` rows: (size, axes); int64"""
    count = integer("nonzero_static", "size", size, 0)
    found = nonzero(input).array[:count]
    result = np.full((count, input.array.ndim), fill_value, np.int64)
    result[: len(found)] = found
    return wrap(result)


def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """The coordinates, one tensor for each axis, of the elements with these flat indices; int64"""
    sizes = [integer("unravel_index", "shape", s, 0) for s in (shape if isinstance(shape, Sequence) else [shape])]
    if indices.array.dtype.kind not in "iu":
        raise DTypeError(f"unravel_index: indices must hold integers, got {indices.array.dtype}")
    where, count = indices.array.astype(np.int64), math.prod(sizes)
    if where.size and not ((where >= -count) & (where < count)).all():
        raise ShapeError(f"unravel_index: indices must be from {-count} to {count - 1} for shape {tuple(sizes)}")
    result = []
    for size in reversed(sizes):
        result.append(wrap(np.asarray(where % max(size, 1), np.int64)))
        where = where // max(size, 1)
    return tuple(reversed(result))


def argwhere(input: Tensor) -> Tensor:
    """The indices of the nonzero elements: (count, axes); int64"""
    return nonzero(input)

"""Rearranging elements: flips, rolls, rotations, repetition, triangles and diagonals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convcore.autograd import Function, Variable, wrap
from convcore.engine.capture import constant
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import integer, varargs_or_keyword
from convcore.ops.core.axes import axes, axis
from convcore.ops.core.dtypes import element_type, int64, require_tensor
from convcore.ops.create.creation import zeros
from convcore.ops.elementwise.functions import where
from convcore.ops.elementwise.in_place import Overwrite
from convcore.ops.shape.indexing import Index, Scatter, getitem
from convcore.ops.shape.joining import cat
from convcore.ops.shape.views import expand, permute, reshape, sizes, transpose

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def flip(input: Tensor, *axes_: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """A copy with the elements along the axes `dims` in reverse order"""
    named = axes_ if dims is None else (dims,)
    given: Any = named[0] if len(named) == 1 and isinstance(named[0], Sequence) else named
    flipped = axes("flip", tuple(given), input.array.ndim) if len(given) else ()
    if not input.array.ndim or not flipped:
        return input.clone()
    index = tuple([slice(None, None, -1) if i in flipped else slice(None) for i in range(input.array.ndim)])
    return Index.apply(input, index, True).clone()


def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order"""
    if input.array.ndim < 2:
        raise ShapeError(f"fliplr: needs at least 2 axes, got shape {input.array.shape}")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order"""
    if input.array.ndim < 1:
        raise ShapeError("flipud: input must have at least 1 axis, got shape ()")
    return flip(input, 0)


def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """The elements shifted cyclically along axes; without dims, those of the flattened tensor"""
    require_tensor("roll", "input", input)
    if dims is None or (isinstance(dims, Sequence) and not dims):
        if isinstance(shifts, Sequence) and len(shifts) != 1:
            raise ShapeError(f"roll: several shifts need as many dims, got {shifts}")
        return reshape(roll(reshape(input, -1), shifts, 0), input.array.shape) if input.array.size else input.clone()
    shift = list(shifts) if isinstance(shifts, Sequence) else [shifts]
    positions = list(dims) if isinstance(dims, Sequence) else [dims]
    if len(shift) != len(positions):
        raise ShapeError(f"roll: shifts and dims must be equally many, got {shift} and {positions}")
    moved = input
    for amount, dim in zip(shift, positions, strict=True):
        axis_index = axis("roll", dim, input.array.ndim, "dims")
        if not input.array.ndim:
            raise ShapeError("roll: a tensor without axes has no dims; leave them out")
        if input.array.size:
            order = np.roll(np.arange(input.array.shape[axis_index]), amount)
            moved = getitem(moved, (*[slice(None)] * axis_index, wrap(constant(order))))
    return moved if moved is not input else input.clone()


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two axes rotated k times by 90 degrees, from the first axis towards the second"""
    if len(dims) != 2 or input.array.ndim < 2:
        raise ShapeError(f"rot90: needs 2 dims and at least 2 axes, got dims {dims} and shape {input.array.shape}")
    first, second = (axis("rot90", d, input.array.ndim, "dims") for d in dims)
    if first == second:
        raise ShapeError(f"rot90: dims must be different axes, got {dims}")
    k = integer("rot90", "k", k, -(1 << 62)) % 4
    if k == 0:
        return input.clone()
    if k == 2:
        return flip(input, first, second)
    flipped = flip(input, second if k == 1 else first)
    return transpose(flipped, first, second)


def repeat(input: Tensor, *repeats_: int | Sequence[int], repeats: Sequence[int] | None = None) -> Tensor:
    """The tensor repeated, with one count for each axis; new axes are added in front"""
    counts = sizes("repeat", varargs_or_keyword(repeats_, repeats))
    if len(counts) < input.array.ndim or any(c < 0 for c in counts):
        raise ShapeError(f"repeat: needs a count of at least 0 for each of {input.array.ndim} axes, got {counts}")
    shape = (1,) * (len(counts) - input.array.ndim) + input.array.shape
    expanded = expand(reshape(input, [s for size in shape for s in (1, size)]),
                      [s for count, size in zip(counts, shape, strict=True) for s in (count, size)])  # fmt: skip
    return reshape(expanded, [count * size for count, size in zip(counts, shape, strict=True)]).clone()


def tile(input: Tensor, *dims_: int | Sequence[int], dims: Sequence[int] | None = None) -> Tensor:
    """`repeat`; missing counts of leading axes are 1"""
    counts = sizes("tile", varargs_or_keyword(dims_, dims))
    return repeat(input, (1,) * (input.array.ndim - len(counts)) + counts)


def repeat_interleave(
    input: Tensor, repeats: int | Tensor | None = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element along `dim` (of the flattened tensor by default) repeated by its count in `repeats`

    With one argument alone, a tensor of counts, each index is repeated by its count.
    """
    if repeats is None:
        return wrap(np.repeat(np.arange(input.array.size), input.array))
    x = reshape(input, -1) if dim is None else input
    axis_index = 0 if dim is None else axis("repeat_interleave", dim, input.array.ndim)
    if x.array.ndim == 0:
        x = reshape(x, 1)
    counts = repeats.array if isinstance(repeats, Variable) else np.asarray(repeats)
    if counts.dtype.kind not in "iu" or (counts < 0).any() or counts.ndim > 1:
        raise DTypeError(f"repeat_interleave: repeats must be integers of at least 0, got {repeats}")
    if counts.size not in (1, x.array.shape[axis_index]):
        raise ShapeError(
            f"repeat_interleave: repeats must be 1 or {x.array.shape[axis_index]} numbers, got {counts.size}"
        )
    order = np.repeat(np.arange(x.array.shape[axis_index]), counts.reshape(-1) if counts.size != 1 else counts.item())
    return getitem(x, (*[slice(None)] * axis_index, wrap(constant(order))))


def _triangle(op: str, keep: Any, input: Tensor, diagonal: int) -> Tensor:
    if input.array.ndim < 2:
        raise ShapeError(f"{op}: needs at least 2 axes, got shape {input.array.shape}")
    mask = wrap(constant(keep(np.ones(input.array.shape[-2:], np.bool_), diagonal)))
    return where(mask, input, wrap(constant(np.zeros((), input.array.dtype))))


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of matrices, up to the k-th diagonal above the main one (k = `diagonal`); 0 elsewhere"""
    return _triangle("tril", np.tril, input, diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of matrices, from the k-th diagonal above the main one (k = `diagonal`); 0 elsewhere"""
    return _triangle("triu", np.triu, input, diagonal)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The rows and columns of the lower triangle of a row x col matrix: (2, n)"""
    return wrap(np.stack(np.tril_indices(row, offset, col)).astype(element_type("tril_indices", dtype, int64)))


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The rows and columns of the upper triangle of a row x col matrix: (2, n)"""
    return wrap(np.stack(np.triu_indices(row, offset, col)).astype(element_type("triu_indices", dtype, int64)))


def diagonal_indices(
    op: str, input: Tensor, offset: int, dim1: int, dim2: int
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """The row and column indices of a diagonal, and the order of axes that puts dim1 and dim2 last."""
    ndim = input.array.ndim
    if ndim < 2:
        raise ShapeError(f"{op}: needs at least 2 axes, got shape {input.array.shape}")
    first, second = axis(op, dim1, ndim, "dim1"), axis(op, dim2, ndim, "dim2")
    if first == second:
        raise ShapeError(f"{op}: dim1 and dim2 must be different axes, got {dim1} and {dim2}")
    rows, columns = _on_diagonal(input.array.shape[first], input.array.shape[second], offset)
    return rows, columns, [*[i for i in range(ndim) if i not in (first, second)], first, second]


class Diagonal(Function):
    """A diagonal of the last two axes, in the same memory. The gradient is grad_out on the diagonal and 0 elsewhere."""

    @staticmethod
    def forward(ctx, x, offset, rows, columns):
        ctx.shape, ctx.index = x.array.shape, (..., rows, columns)
        out = x.array.diagonal(offset, -2, -1)
        out.flags.writeable = x.array.flags.writeable
        return x.view_of_memory(out)

    @staticmethod
    def backward(ctx, grad_out):
        return Scatter.apply(grad_out, ctx.shape, ctx.index, False), None, None, None


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A diagonal of the planes of two axes, as the last axis; a view of the same memory"""
    rows, columns, order = diagonal_indices("diagonal", input, offset, dim1, dim2)
    return Diagonal.apply(permute(input, order), offset, rows, columns)


def _on_diagonal(height: int, width: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
    count = max(min(height + min(offset, 0), width - max(offset, 0)), 0)
    return np.arange(count) - min(offset, 0), np.arange(count) + max(offset, 0)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last axis of the input on a diagonal and 0 elsewhere; their axes are dim1 and dim2"""
    ndim = input.array.ndim + 1
    if input.array.ndim < 1:
        raise ShapeError("diag_embed: input must have at least 1 axis, got shape ()")
    first, second = axis("diag_embed", dim1, ndim, "dim1"), axis("diag_embed", dim2, ndim, "dim2")
    if first == second:
        raise ShapeError(f"diag_embed: dim1 and dim2 must be different axes, got {dim1} and {dim2}")
    count = input.array.shape[-1]
    size = count + max(offset, -offset)
    rows, columns = _on_diagonal(size, size, offset)
    plane = zeros((*input.array.shape[:-1], size, size), dtype=input.array.dtype)
    filled = Overwrite.apply(plane, input, (..., rows, columns), False, "diag_embed")
    others = iter(range(ndim - 2))
    positions = {first: ndim - 2, second: ndim - 1}
    return permute(filled, [positions[i] if i in positions else next(others) for i in range(ndim)])


diagonal_of = diagonal


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """For a vector, the matrix with it on a diagonal; for a matrix, a diagonal of it"""
    if input.array.ndim not in (1, 2):
        raise ShapeError(f"diag: input must be a vector or a matrix, got shape {input.array.shape}")
    return diag_embed(input, diagonal) if input.array.ndim == 1 else diagonal_of(input, diagonal).clone()


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements on a diagonal"""
    return diag_embed(reshape(input, -1), offset)


def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix"""
    if input.array.ndim != 2:
        raise ShapeError(f"trace: input must be a matrix, got shape {input.array.shape}")
    return diagonal(input).sum()


def block_diag(*tensors: Tensor) -> Tensor:
    """The block-diagonal matrix of the tensors"""
    from_two = [reshape(t, 1, -1) if t.array.ndim < 2 else t for t in tensors]
    for position, t in enumerate(from_two):
        if t.array.ndim > 2:
            raise ShapeError(f"block_diag: tensors must have at most 2 axes, tensors[{position}] is {t.array.shape}")
    dtype = np.result_type(*[t.array.dtype for t in from_two]) if from_two else np.float32
    height, width = (sum([t.array.shape[i] for t in from_two]) for i in (0, 1))
    result = zeros((height, width), dtype=dtype)
    row = column = 0
    for t in from_two:
        window = slice(row, row + t.array.shape[0]), slice(column, column + t.array.shape[1])
        result = Overwrite.apply(result, t.to(dtype), window, True, "block_diag")
        row, column = row + t.array.shape[0], column + t.array.shape[1]
    return result


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Each vector expanded over the grid of all; "xy" swaps the first two axes"""
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    if not given or indexing not in ("ij", "xy"):
        raise ShapeError(f'meshgrid: needs tensors, and indexing "ij" or "xy", got {len(given)} and {indexing!r}')
    if any(t.array.ndim > 1 for t in given) or len({t.array.dtype for t in given}) > 1:
        raise ShapeError("meshgrid: tensors must have at most 1 axis and one dtype")
    swapped = indexing == "xy" and len(given) > 1
    if swapped:
        given[:2] = given[1], given[0]
    shape = [t.array.size for t in given]
    grids = [expand(reshape(t, [-1 if i == j else 1 for j in range(len(given))] if t.array.size else
                            [0 if i == j else 1 for j in range(len(given))]), shape)
             for i, t in enumerate(given)]  # fmt: skip
    if swapped:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


class Windows(Function):
    """Windows along an axis of x, as a view: the axis indexes the windows, a new last axis the elements of a window.

    Overlapping windows share elements; the view is then read-only, as the result of `expand`.
    """

    @staticmethod
    def forward(ctx, x, axis_index, size, step):
        ctx.shape, ctx.axis_index = x.array.shape, axis_index
        ctx.starts = np.arange(0, ctx.shape[axis_index] - size + 1, step)
        ctx.size = size
        windows = sliding_window_view(x.array, size, axis_index, writeable=step >= size and x.array.flags.writeable)
        return x.view_of_memory(windows[(*[slice(None)] * axis_index, slice(None, None, step))])

    @staticmethod
    def backward(ctx, grad_out):
        index = (*[slice(None)] * ctx.axis_index, ctx.starts[:, None] + np.arange(ctx.size))
        return Scatter.apply(grad_out.movedim(-1, ctx.axis_index + 1), ctx.shape, index, False), None, None, None


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` elements along an axis, `step` apart, as a view with a window's elements as a new last axis"""
    axis_index = axis("unfold", dimension, input.array.ndim)
    size, step = integer("unfold", "size", size, 0), integer("unfold", "step", step, 1)
    x = reshape(input, 1) if input.array.ndim == 0 else input
    total = x.array.shape[axis_index]
    if size > total:
        raise ShapeError(f"unfold: size must be at most {total}, the size of axis {dimension}, got {size}")
    result = Windows.apply(x, axis_index, size, step)
    return reshape(result, size) if input.array.ndim == 0 else result


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector, as rows"""
    if len(tensors) == 1:
        return tensors[0].clone()
    grids = meshgrid(*tensors)
    count = math.prod([t.array.size for t in tensors])
    return cat([reshape(g, count, 1) for g in grids], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r elements of a vector, in its order: (count, r); with replacement, elements may repeat"""
    if input.array.ndim != 1:
        raise ShapeError(f"combinations: input must be a vector, got shape {input.array.shape}")
    count = integer("combinations", "r", r, 0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    positions = np.array(list(choose(range(input.array.size), count)), np.int64).reshape(-1, count)
    return getitem(input, (wrap(positions if count else np.zeros(0, np.int64)),))

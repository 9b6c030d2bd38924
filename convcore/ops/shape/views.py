"""Shapes: reshape, transpose, broadcast, narrow. Nothing is computed, or copied where the strides allow a view.

A view shares the memory and the version counter of its input, so that backward notices an in-place change of one where
the other was saved. The gradient of each operation is the inverse rearrangement of grad_out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Function, wrap
from convcore.errors import ShapeError
from convcore.ops.core.arguments import integer, varargs_or_keyword
from convcore.ops.core.axes import axes, axis
from convcore.ops.core.broadcast import unbroadcast
from convcore.ops.core.device import MemoryFormat, check_memory_format
from convcore.ops.core.dtypes import require_tensor
from convcore.ops.core.layout import row_major

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class Reshape(Function):
    """The elements in row-major order with another shape; a copy where the strides do not allow a view."""

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = x.array.shape
        array = x.array
        if len(shape) == 2 and array.shape[:1] == shape[:1]:
            array = row_major(array)  # of flattened channels-last images there is no view; NumPy copies value by value
        out = array.reshape(shape)
        if np.may_share_memory(out, x.array):
            return x.view_of_memory(out)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        return reshape(grad_out, ctx.shape), None


class Permute(Function):
    """Axis i of the result is axis order[i] of x."""

    @staticmethod
    def forward(ctx, x, order):
        ctx.order = order
        return x.view_of_memory(x.array.transpose(order))

    @staticmethod
    def backward(ctx, grad_out):
        return Permute.apply(grad_out, tuple(np.argsort(ctx.order).tolist())), None


class Expand(Function):
    """x repeated along new axes and axes of length 1, without copying; the result is read-only."""

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = x.array.shape
        return x.view_of_memory(np.broadcast_to(x.array, shape))

    @staticmethod
    def backward(ctx, grad_out):
        return unbroadcast(grad_out, ctx.shape), None


class Contiguous(Function):
    """A copy in row-major memory order."""

    @staticmethod
    def forward(ctx, x):
        out = memory.empty(x.array.shape, x.array.dtype)
        np.copyto(out, x.array)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        return grad_out


def sizes(op: str, arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """A shape given as one sequence or as several integers; -1 is allowed and returned unchanged."""
    if len(arguments) == 1 and isinstance(arguments[0], Sequence):
        arguments = tuple(arguments[0])
    return tuple([integer(op, f"shape[{i}]", a, minimum=-1) for i, a in enumerate(arguments)])


def reshape(input: Tensor, *shape_: int | Sequence[int], shape: Sequence[int] | None = None) -> Tensor:
    """The elements in row-major order with another shape; one size may be -1 and is then computed."""
    wanted = sizes("reshape", varargs_or_keyword(shape_, shape))
    count = input.array.size
    known = math.prod([s for s in wanted if s != -1])
    unknown = wanted.count(-1)
    if unknown > 1 or (unknown == 0 and known != count) or (unknown == 1 and (known == 0 or count % known)):
        raise ShapeError(
            f"reshape: {count} elements of shape {input.array.shape} do not fill the shape {wanted}; the product of "
            "the sizes must be the same, and at most one size may be -1"
        )
    return Reshape.apply(input, tuple([count // known if s == -1 else s for s in wanted]))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Join the axes from start_dim to end_dim into one, in row-major (channel, then row, then column) order."""
    shape = input.array.shape
    start, end = axis("flatten", start_dim, len(shape)), axis("flatten", end_dim, len(shape))
    if start > end:
        raise ShapeError(f"flatten: start_dim must not lie behind end_dim, got {start_dim} and {end_dim}")
    joined = math.prod(shape[start : end + 1])
    return Reshape.apply(input, (*shape[:start], joined, *shape[end + 1 :]))


def permute(input: Tensor, *dims_: int | Sequence[int], dims: Sequence[int] | None = None) -> Tensor:
    """Reorder the axes: axis i of the result is axis dims[i] of the input."""
    listed = varargs_or_keyword(dims_, dims)
    given = listed[0] if len(listed) == 1 and isinstance(listed[0], Sequence) else listed
    order = tuple([axis("permute", d, input.array.ndim) for d in given])  # pyright: ignore[reportArgumentType]
    if sorted(order) != list(range(input.array.ndim)):
        raise ShapeError(f"permute: dims must name each of the {input.array.ndim} axes once, got {tuple(given)}")
    return Permute.apply(input, order)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swap two axes."""
    order = list(range(input.array.ndim))
    first, second = axis("transpose", dim0, len(order), "dim0"), axis("transpose", dim1, len(order), "dim1")
    if order:
        order[first], order[second] = second, first
    return Permute.apply(input, tuple(order))


def t(input: Tensor) -> Tensor:
    """The transposed matrix; tensors of fewer than two axes are returned unchanged."""
    if input.array.ndim > 2:
        raise ShapeError(f"t: input must be a matrix, got shape {input.array.shape}; use transpose() or permute()")
    return permute(input, *reversed(range(input.array.ndim)))


def reversed_axes(input: Tensor) -> Tensor:
    """The axes in reverse order."""
    return permute(input, *reversed(range(input.array.ndim)))


def contiguous(input: Tensor, memory_format: MemoryFormat = MemoryFormat.contiguous_format) -> Tensor:
    """The tensor itself if it has this memory format, else a copy in it.

    Raises:
        ShapeError: the format is for another number of axes.
    """
    order = _memory_order("contiguous", input, memory_format)
    if order is None or input.array.transpose(order).flags.c_contiguous:
        return input
    if order == tuple(range(len(order))):
        return Contiguous.apply(input)
    return Permute.apply(Contiguous.apply(Permute.apply(input, order)), tuple(np.argsort(order).tolist()))


def is_contiguous(input: Tensor, memory_format: MemoryFormat = MemoryFormat.contiguous_format) -> bool:
    """Whether the tensor is dense in memory, in the order of the memory format"""
    if memory_format in _AXES and input.array.ndim != _AXES[memory_format]:
        return False
    order = _memory_order("is_contiguous", input, memory_format)
    return order is None or input.array.transpose(order).flags.c_contiguous


_AXES = {MemoryFormat.channels_last: 4, MemoryFormat.channels_last_3d: 5}


def _memory_order(op: str, input: Tensor, memory_format: MemoryFormat) -> tuple[int, ...] | None:
    """The axes from the outermost in memory to the innermost; None for preserve_format."""
    ndim = input.array.ndim
    wanted = _AXES.get(check_memory_format(op, memory_format), ndim)
    if wanted != ndim:
        raise ShapeError(f"{op}: {memory_format.name} needs {wanted} axes, got shape {input.array.shape}")
    if memory_format is MemoryFormat.preserve_format:
        return None
    return (0, *range(2, ndim), 1) if memory_format in _AXES else tuple(range(ndim))


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Remove axes of length 1: all of them, or only those in `dim`; longer axes in `dim` stay."""
    none = isinstance(dim, Sequence) and not dim
    chosen = () if none else axes("squeeze", dim, input.array.ndim)
    shape = input.array.shape
    return Reshape.apply(input, tuple([s for i, s in enumerate(shape) if not (i in chosen and s == 1)]))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert an axis of length 1 so that it becomes axis `dim`."""
    shape = input.array.shape
    axis_index = axis("unsqueeze", dim, len(shape) + 1)
    return Reshape.apply(input, (*shape[:axis_index], 1, *shape[axis_index:]))


def expand(input: Tensor, *shape: int | Sequence[int], size: Sequence[int] | None = None) -> Tensor:
    """Broadcast axes of length 1 (and new axes in front) to the given sizes without a copy; -1 keeps a size."""
    wanted = sizes("expand", varargs_or_keyword(shape, size))
    have = input.array.shape
    added = len(wanted) - len(have)
    target = tuple([have[i - added] if s == -1 and i >= added else s for i, s in enumerate(wanted)])
    fits = added >= 0 and -1 not in target and all(h in (1, t) for h, t in zip(have, target[added:], strict=True))
    if not fits:
        raise ShapeError(
            f"expand: shape {have} cannot be repeated to {wanted}: sizes other than 1 must stay (or be given as -1), "
            "new axes come in front and need a size"
        )
    return Expand.apply(input, target)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """The input broadcast to the shape of another tensor, as by `expand`"""
    return expand(input, other.array.shape)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """The elements in row-major order with the shape of another tensor"""
    return reshape(input, other.array.shape)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """The input broadcast to a shape, as by `expand`"""
    return expand(input, size)


def broadcast_shapes(*shapes: int | Sequence[int]) -> tuple[int, ...]:
    """The shape that tensors of these shapes broadcast to"""
    given = [tuple(s) if isinstance(s, Sequence) else (s,) for s in shapes]
    try:
        return np.broadcast_shapes(*given)
    except ValueError:
        raise ShapeError(f"broadcast_shapes: {given} do not broadcast: sizes must be equal or 1") from None


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors, broadcast to their common shape"""
    shape = broadcast_shapes(*[t.array.shape for t in tensors])
    return tuple([expand(t, shape) for t in tensors])


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes moved to other positions; the rest keep their order"""
    pairs = [tuple(d) if isinstance(d, Sequence) else (d,) for d in (source, destination)]
    ndim = input.array.ndim
    names = "source", "destination"
    froms, tos = ([axis("movedim", d, ndim, name) for d in dims] for name, dims in zip(names, pairs, strict=True))
    if len(froms) != len(tos) or len(set(froms)) != len(froms) or len(set(tos)) != len(tos):
        raise ShapeError(f"movedim: source and destination must be equally many different axes, got {pairs}")
    if ndim == 0:
        return permute(input)
    positions = dict(zip(tos, froms, strict=True))
    others = iter([i for i in range(ndim) if i not in froms])
    return permute(input, [positions[i] if i in positions else next(others) for i in range(ndim)])


moveaxis = movedim
swapdims = transpose


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose` under NumPy's name"""
    return transpose(input, axis0, axis1)


def matrix_transpose(input: Tensor) -> Tensor:
    """The last two axes swapped"""
    if input.array.ndim < 2:
        raise ShapeError(f"mT: needs at least 2 axes, got shape {input.array.shape}")
    return transpose(input, -2, -1)


def adjoint(input: Tensor) -> Tensor:
    """The transposed matrix; the input must have 2 axes or none"""
    if input.array.ndim not in (0, 2):
        raise ShapeError(f"H: input must be a matrix, got shape {input.array.shape}")
    return reversed_axes(input)


def ravel(input: Tensor) -> Tensor:
    """The elements in row-major order in one axis"""
    return reshape(input, input.array.size)


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis split into several; the product of `sizes` is the size of the axis, and one of them may be -1"""
    axis_index = axis("unflatten", dim, input.array.ndim)
    shape = input.array.shape
    if input.array.ndim == 0 or len(sizes) == 0:
        raise ShapeError(f"unflatten: needs an axis and at least one size, got shape {shape} and sizes {tuple(sizes)}")
    known = math.prod([s for s in sizes if s != -1])
    counts = [shape[axis_index] // known if s == -1 and known else s for s in sizes]
    if math.prod(counts) != shape[axis_index] or any(s < 0 for s in counts):
        raise ShapeError(f"unflatten: sizes {tuple(sizes)} do not fill axis {dim} of size {shape[axis_index]}")
    return reshape(input, *shape[:axis_index], *counts, *shape[axis_index + 1 :])


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A view of `length` elements along an axis, from `start` on"""
    if input.array.ndim == 0:
        raise ShapeError("narrow: input must have an axis to cut, got shape ()")
    axis_index = axis("narrow", dim, input.array.ndim)
    size = input.array.shape[axis_index]
    first, count = integer("narrow", "start", start, -size), integer("narrow", "length", length, 0)
    first += size if first < 0 else 0
    if first + count > size:
        raise ShapeError(
            f"narrow: start + length must be at most {size}, the size of axis {dim}, got {start}, {length}"
        )
    return Narrow.apply(input, (slice(None),) * axis_index + (slice(first, first + count),))


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """A view of one slice along an axis, without the axis"""
    if input.array.ndim == 0:
        raise ShapeError("select: input must have an axis to cut, got shape ()")
    axis_index = axis("select", dim, input.array.ndim)
    size = input.array.shape[axis_index]
    number = integer("select", "index", index, -(1 << 62))
    if not -size <= number < size:
        raise ShapeError(f"select: index must be from {-size} to {size - 1} for axis {dim}, got {number}")
    return reshape(
        narrow(input, axis_index, number % size, 1),
        input.array.shape[:axis_index] + input.array.shape[axis_index + 1 :],
    )


class Narrow(Function):
    """A view of a slice; the gradient is zero outside it."""

    @staticmethod
    def forward(ctx, x, index):
        ctx.shape, ctx.index = x.array.shape, index
        return x.view_of_memory(x.array[index])

    @staticmethod
    def backward(ctx, grad_out):
        return Widen.apply(grad_out, ctx.shape, ctx.index), None


class Widen(Function):
    """Zeros of a shape, with a slice set to x."""

    @staticmethod
    def forward(ctx, x, shape, index):
        ctx.index = index
        out = memory.empty(shape, x.array.dtype)
        out.fill(0)
        out[index] = x.array
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        return Narrow.apply(grad_out, ctx.index), None, None


def _each(op: str, function: Any, tensors: tuple[Any, ...]) -> Any:
    """The result for one tensor, or a tuple for several, given as arguments or as a list."""
    several = len(tensors) == 1 and isinstance(tensors[0], (list, tuple))
    given = tensors[0] if several else tensors
    for position, tensor in enumerate(given):
        require_tensor(op, f"tensors[{position}]", tensor)
    results = tuple([function(t) for t in given])
    return results if several or len(tensors) > 1 else results[0]


def atleast_1d(*tensors: Any) -> Any:
    """Tensors without axes as vectors of one element"""
    return _each("atleast_1d", lambda t: reshape(t, 1) if t.array.ndim == 0 else t, tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors of fewer than 2 axes as matrices of one row"""
    return _each("atleast_2d", lambda t: reshape(t, 1, t.array.size) if t.array.ndim < 2 else t, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors of fewer than 3 axes with axes of size 1: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1)"""
    return _each(
        "atleast_3d",
        lambda t: t if t.array.ndim > 2 else reshape(t, *((1, t.array.size) if t.array.ndim < 2 else t.array.shape), 1),
        tensors,
    )

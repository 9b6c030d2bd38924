"""Shapes: reshape, transpose, broadcast, join and cut. Nothing is computed, and where NumPy can, nothing is copied.

A result that shows the memory of its input is a view: it shares the version counter, so that an in-place change of one
is noticed by whatever saved the other. The gradient of each operation is the same elements put back in their place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Function, wrap
from convcore.errors import ShapeError
from convcore.ops.arguments import integer
from convcore.ops.arithmetic import unbroadcast
from convcore.ops.axes import axes, axis
from convcore.ops.dtypes import as_tensors

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class Reshape(Function):
    """The elements in logical (row-major) order under another shape; a copy where the strides do not allow a view."""

    @staticmethod
    def forward(ctx, x, shape):
        ctx.shape = x.array.shape
        out = x.array.reshape(shape)
        return x.view_of_memory(out) if np.may_share_memory(out, x.array) else wrap(out)

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
    """A copy whose elements lie in memory in row-major order."""

    @staticmethod
    def forward(ctx, x):
        out = memory.empty(x.array.shape, x.array.dtype)
        np.copyto(out, x.array)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        return grad_out


class Cat(Function):
    """Tensors side by side along one axis."""

    @staticmethod
    def forward(ctx, dim, *tensors):
        ctx.dim = dim
        ctx.sizes = [t.array.shape[dim] for t in tensors]
        return wrap(np.concatenate([t.array for t in tensors], axis=dim))

    @staticmethod
    def backward(ctx, grad_out):
        parts = split(grad_out, ctx.sizes, ctx.dim)
        return None, *[p if n else None for p, n in zip(parts, ctx.needs_input_grad[1:], strict=True)]


def sizes(op: str, arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """A shape given as one sequence or as several integers; -1 is allowed and left as it is."""
    if len(arguments) == 1 and isinstance(arguments[0], Sequence):
        arguments = tuple(arguments[0])
    return tuple([integer(op, f"shape[{i}]", a, minimum=-1) for i, a in enumerate(arguments)])


def reshape(input: Tensor, *shape: int | Sequence[int]) -> Tensor:
    """The elements in row-major order under another shape, in which one size may be -1 and is then found out."""
    wanted = sizes("reshape", shape)
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


def permute(input: Tensor, *dims: int | Sequence[int]) -> Tensor:
    """Reorder the axes: axis i of the result is axis dims[i] of the input."""
    given = dims[0] if len(dims) == 1 and isinstance(dims[0], Sequence) else dims
    order = tuple([axis("permute", d, input.array.ndim) for d in given])  # pyright: ignore[reportArgumentType]
    if sorted(order) != list(range(input.array.ndim)):
        raise ShapeError(f"permute: dims must name each of the {input.array.ndim} axes once, got {tuple(given)}")
    return Permute.apply(input, order)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swap two axes."""
    order = list(range(input.array.ndim))
    first, second = axis("transpose", dim0, len(order)), axis("transpose", dim1, len(order))
    if order:
        order[first], order[second] = second, first
    return Permute.apply(input, tuple(order))


def t(input: Tensor) -> Tensor:
    """The transposed matrix; tensors of fewer than two axes stay as they are."""
    if input.array.ndim > 2:
        raise ShapeError(f"t: needs a matrix, got shape {input.array.shape}; use transpose() or permute()")
    return permute(input, *reversed(range(input.array.ndim)))


def reversed_axes(input: Tensor) -> Tensor:
    """The axes in reverse order."""
    return permute(input, *reversed(range(input.array.ndim)))


def contiguous(input: Tensor) -> Tensor:
    """The tensor itself where its elements lie in row-major order, else a copy that does."""
    return input if input.array.flags.c_contiguous else Contiguous.apply(input)


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Remove axes of length 1: those in `dim` that have it, or all."""
    chosen = axes("squeeze", dim, input.array.ndim)
    shape = input.array.shape
    return Reshape.apply(input, tuple([s for i, s in enumerate(shape) if not (i in chosen and s == 1)]))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert an axis of length 1 so that it becomes axis `dim`."""
    shape = input.array.shape
    place = axis("unsqueeze", dim, len(shape) + 1)
    return Reshape.apply(input, (*shape[:place], 1, *shape[place:]))


def expand(input: Tensor, *shape: int | Sequence[int]) -> Tensor:
    """Repeat axes of length 1 (and new axes in front) up to the given sizes without a copy; -1 keeps a size."""
    wanted = sizes("expand", shape)
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
    """The input repeated to the shape of another tensor, as by `expand`"""
    return expand(input, other.array.shape)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along an existing axis; their other sizes must be equal.

    Shapes: (.., size_i, ..) each -> (.., sum of size_i, ..). Dtypes are promoted as in arithmetic.
    """
    if len(tensors) == 0:
        raise ShapeError("cat: needs at least one tensor, got none")
    first = tensors[0].array.shape
    place = axis("cat", dim, len(first))
    for position, tensor in enumerate(tensors):
        shape = tensor.array.shape
        if len(first) == 0 or shape[:place] + shape[place + 1 :] != first[:place] + first[place + 1 :]:
            raise ShapeError(
                f"cat: all sizes but that of axis {place} must be equal and there must be an axis, got shapes {first} "
                f"(tensors[0]) and {shape} (tensors[{position}])"
            )
    return Cat.apply(place, *as_tensors("cat", *tensors))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis `dim`."""
    shapes = {t.array.shape for t in tensors}
    if len(shapes) != 1:
        raise ShapeError(f"stack: needs tensors of one shape, got {sorted(shapes) or 'none'}")
    return cat([unsqueeze(t, dim) for t in tensors], dim)


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Cut into views along an axis: pieces of one size (the last may be smaller), or of the listed sizes."""
    place = axis("split", dim, tensor.array.ndim)
    if tensor.array.ndim == 0:
        raise ShapeError("split: a tensor without axes cannot be cut")
    total = tensor.array.shape[place]
    if isinstance(split_size_or_sections, Sequence):
        pieces = [integer("split", "section", s, minimum=0) for s in split_size_or_sections]
        if sum(pieces) != total:
            raise ShapeError(f"split: the sections must add up to {total}, the size of axis {dim}, got {pieces}")
    else:
        size = integer("split", "split_size", split_size_or_sections, minimum=1)
        pieces = [min(size, total - start) for start in range(0, total, size)] or [0]
    ends = np.cumsum(pieces).tolist()
    ahead = (slice(None),) * place
    return tuple([tensor[(*ahead, slice(end - size, end))] for size, end in zip(pieces, ends, strict=True)])


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut into at most `chunks` views of equal size along an axis; the last may be smaller."""
    count = integer("chunk", "chunks", chunks, minimum=1)
    place = axis("chunk", dim, input.array.ndim)
    if input.array.ndim == 0:
        raise ShapeError("chunk: a tensor without axes cannot be cut")
    total = input.array.shape[place]
    return split(input, max(-(-total // count), 1), place) if total else split(input, [0] * count, place)

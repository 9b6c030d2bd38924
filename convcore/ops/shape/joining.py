"""Joining tensors, and splitting them along an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import integer
from convcore.ops.core.axes import axis
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.dtypes import as_tensors
from convcore.ops.shape.views import atleast_1d, atleast_2d, atleast_3d, narrow, reshape, select, unsqueeze

if TYPE_CHECKING:
    from convcore.tensor import Tensor


MOST_PIECES = 1 << 20


class Cat(Function):
    """The concatenation of tensors along one axis."""

    @staticmethod
    def forward(ctx, dim, *tensors):
        ctx.dim = dim
        ctx.sizes = [t.array.shape[dim] for t in tensors]
        return wrap(np.concatenate([t.array for t in tensors], axis=dim))

    @staticmethod
    def backward(ctx, grad_out):
        parts = split(grad_out, ctx.sizes, ctx.dim)
        return None, *[p if n else None for p, n in zip(parts, ctx.needs_input_grad[1:], strict=True)]


def _listed(op: str, tensors: Any) -> list[Any]:
    if not isinstance(tensors, (list, tuple)) or not all(isinstance(t, Variable) for t in tensors):
        raise DTypeError(f"{op}: tensors must be a list or tuple of tensors, got {type(tensors).__name__}")
    if len(tensors) == 0:
        raise ShapeError(f"{op}: tensors must hold at least one tensor, got none")
    return list(tensors)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along an existing axis; their other sizes must be equal.

    Shapes: (.., size_i, ..) each -> (.., sum of size_i, ..). Dtypes are promoted as in arithmetic. Tensors of shape
    (0,) are always accepted and add nothing.
    """
    given = _listed("cat", tensors)
    ndim = max([t.array.ndim for t in given])
    filled = [t for t in given if t.array.shape != (0,)] if ndim > 1 else given
    first = filled[0].array.shape
    axis_index = axis("cat", dim, len(first))
    for position, tensor in enumerate(filled):
        shape = tensor.array.shape
        if (
            len(first) == 0
            or shape[:axis_index] + shape[axis_index + 1 :] != first[:axis_index] + first[axis_index + 1 :]
        ):
            raise ShapeError(
                f"cat: all sizes but that of axis {axis_index} must be equal and there must be an axis, got shapes "
                f"{first} (tensors[0]) and {shape} (tensors[{position}])"
            )
    converted = as_tensors("cat", *given)
    if len(filled) < len(given):
        empty_shape = [0 if i == axis_index else s for i, s in enumerate(first)]
        converted = [t.reshape(empty_shape) if t.array.shape == (0,) else t for t in converted]
    return Cat.apply(axis_index, *converted)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis `dim`."""
    given = _listed("stack", tensors)
    shapes = {t.array.shape for t in given}
    if len(shapes) != 1:
        raise ShapeError(f"stack: needs tensors of one shape, got {sorted(shapes)}")
    return cat([unsqueeze(t, dim) for t in given], dim)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the second axis, vectors along the only one"""
    given = [atleast_1d(t) for t in _listed("hstack", tensors)]
    return cat(given, 0 if given[0].array.ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the first axis, vectors as rows"""
    return cat([atleast_2d(t) for t in _listed("vstack", tensors)], 0)


row_stack = vstack


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the third axis"""
    return cat([atleast_3d(t) for t in _listed("dstack", tensors)], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the second axis, vectors as columns"""
    given = _listed("column_stack", tensors)
    return cat([reshape(t, t.array.size, 1) if t.array.ndim < 2 else t for t in given], 1)


def _split_at(tensor: Tensor, ends: list[int], axis_index: int) -> tuple[Tensor, ...]:
    """Views of consecutive parts, which end before the positions `ends`."""
    return tuple(
        [
            narrow(tensor, axis_index, start, max(end - start, 0))
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]
    )


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Split into views along an axis: pieces of one size (the last may be smaller), or of the listed sizes."""
    axis_index = axis("split", dim, tensor.array.ndim)
    if tensor.array.ndim == 0:
        raise ShapeError("split: tensor must have an axis to cut, got shape ()")
    total = tensor.array.shape[axis_index]
    if isinstance(split_size_or_sections, Sequence):
        pieces = [integer("split", "section", s, minimum=0) for s in split_size_or_sections]
        if sum(pieces) != total:
            raise ShapeError(f"split: the sections must add up to {total}, the size of axis {dim}, got {pieces}")
    else:
        size = integer("split", "split_size", split_size_or_sections, minimum=1 if total else 0)
        pieces = [min(size, total - start) for start in range(0, total, max(size, 1))] or [0]
    return _split_at(tensor, np.cumsum(pieces).tolist(), axis_index)


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Split into views of the listed sizes along an axis"""
    return split(input, list(split_sizes), dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Split into at most `chunks` views of equal size along an axis; the last may be smaller."""
    count = _pieces("chunk", "chunks", chunks)
    axis_index = axis("chunk", dim, input.array.ndim)
    if input.array.ndim == 0:
        raise ShapeError("chunk: input must have an axis to cut, got shape ()")
    total = input.array.shape[axis_index]
    return split(input, max(ceil_div(total, count), 1), axis_index) if total else split(input, [0] * count, axis_index)


unsafe_chunk = chunk


def unsafe_split(tensor: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`split` into pieces of one size. torch does not check in-place changes of the results"""
    return split(tensor, split_size, dim)


def _pieces(op: str, name: str, value: int) -> int:
    """The number of pieces, checked. An empty axis can be split into any number of pieces, so there must be a limit."""
    count = integer(op, name, value, minimum=1)
    if count > MOST_PIECES:
        raise ShapeError(f"{op}: {name} must be at most {MOST_PIECES}, got {count}")
    return count


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Split into views along an axis: into a number of pieces of nearly equal size, or before the listed positions."""
    if input.array.ndim == 0:
        raise ShapeError("tensor_split: input must have an axis to cut, got shape ()")
    axis_index = axis("tensor_split", dim, input.array.ndim)
    total = input.array.shape[axis_index]
    where = indices_or_sections
    if isinstance(where, Variable):
        if where.array.dtype != np.int64 or where.array.ndim > 1:
            raise ShapeError(
                f"tensor_split: indices_or_sections must be int64 of at most 1 axis, got {where.array.dtype}"
            )
        where = where.array.tolist()
    if isinstance(where, Sequence):
        ends = [
            slice(0, integer("tensor_split", "indices_or_sections", i, -(1 << 62))).indices(total)[1] for i in where
        ]
        starts, ends = [0, *ends], [*ends, total]
        return tuple([narrow(input, axis_index, s, max(e - s, 0)) for s, e in zip(starts, ends, strict=True)])
    count = _pieces("tensor_split", "indices_or_sections", where)
    size, larger = divmod(total, count)
    return _split_at(input, np.cumsum([size + (i < larger) for i in range(count)]).tolist(), axis_index)


def _split_along(
    op: str, input: Tensor, indices_or_sections: Any, axis_index: int, axes_needed: int
) -> tuple[Tensor, ...]:
    if input.array.ndim < axes_needed:
        raise ShapeError(f"{op}: input must have at least {axes_needed} axes, got shape {input.array.shape}")
    if isinstance(indices_or_sections, int):
        size = input.array.shape[axis_index]
        if indices_or_sections < 1 or size % indices_or_sections:
            raise ShapeError(
                f"{op}: indices_or_sections must divide {size}, the size of axis {axis_index}, "
                f"got {indices_or_sections}"
            )
    return tensor_split(input, indices_or_sections, axis_index)


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` into equal parts along the second axis, or the only one of a vector"""
    return _split_along("hsplit", input, indices_or_sections, 0 if input.array.ndim == 1 else 1, 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along the first axis into equal parts"""
    return _split_along("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along the third axis into equal parts"""
    return _split_along("dsplit", input, indices_or_sections, 2, 3)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without the axis"""
    if input.array.ndim == 0:
        raise ShapeError("unbind: input must have an axis to cut, got shape ()")
    axis_index = axis("unbind", dim, input.array.ndim)
    return tuple([select(input, axis_index, i) for i in range(input.array.shape[axis_index])])


def iterate(input: Tensor) -> Iterator[Tensor]:
    """An iterator over the slices along the first axis"""
    if input.array.ndim == 0:
        raise DTypeError("iter: a tensor without axes cannot be iterated over; use item()")
    return iter([input[i] for i in range(len(input.array))])

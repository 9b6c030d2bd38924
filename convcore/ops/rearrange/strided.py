"""as_strided: a tensor of the elements of another, read with arbitrary strides.

The elements are numbered in row-major order, from 0. torch numbers them in memory order: for a contiguous tensor that
is the same. For others convcore chooses the memory layout itself, so only the row-major numbering is well defined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import ShapeError
from convcore.ops.core.arguments import integer
from convcore.ops.elementwise.in_place import Overwrite
from convcore.ops.shape.indexing import Scatter
from convcore.ops.shape.views import reshape

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class AsStrided(Function):
    """out[i, j, ..] = element offset + i * stride[0] + j * stride[1] + .. of x."""

    @staticmethod
    def forward(ctx, x, positions):
        ctx.shape, ctx.positions = x.array.shape, positions
        return wrap(x.array.reshape(-1)[positions, ...])

    @staticmethod
    def backward(ctx, grad_out):
        size = int(np.prod(ctx.shape, dtype=np.int64))
        return reshape(Scatter.apply(grad_out, (size,), (ctx.positions, ...), False), ctx.shape), None


def _positions(op: str, count: int, size: Sequence[int], stride: Sequence[int], offset: int | None) -> np.ndarray:
    """For each element of the result, the number of the source element."""
    sizes = [integer(op, f"size[{i}]", s, 0) for i, s in enumerate(size)]
    strides = [integer(op, f"stride[{i}]", s, 0) for i, s in enumerate(stride)]
    first = integer(op, "storage_offset", 0 if offset is None else offset, 0)
    if len(sizes) != len(strides):
        raise ShapeError(f"{op}: size and stride must be equally many, got {tuple(sizes)} and {tuple(strides)}")
    last = first + sum([(size - 1) * stride for size, stride in zip(sizes, strides, strict=True)])
    if 0 not in sizes and last >= count:
        raise ShapeError(f"{op}: size, stride and storage_offset reach element {last} of a tensor of {count} elements")
    positions = np.full((1,) * len(sizes), first)
    for axis, (size_of, step) in enumerate(zip(sizes, strides, strict=True)):
        positions = positions + (np.arange(size_of) * step).reshape([-1 if i == axis else 1 for i in range(len(sizes))])
    return positions


def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """A tensor of shape `size`: element [i, j, ..] is element offset + i * stride[0] + j * stride[1].. of the input

    Unlike in torch, the elements are numbered in row-major order, whatever the strides, and the result is a copy.

    Raises:
        ShapeError: an element beyond the last one would be read.
    """
    return AsStrided.apply(input, _positions("as_strided", input.array.size, size, stride, storage_offset))


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """The input with the elements that `as_strided` reads replaced by those of `src`, of shape `size`"""
    op = "as_strided_scatter"
    positions = _positions(op, input.array.size, size, stride, storage_offset)
    if src.array.shape != positions.shape:
        raise ShapeError(f"{op}: src must have the shape size = {positions.shape}, got {src.array.shape}")
    flat = Overwrite.apply(reshape(input, input.array.size), src.to(input.array.dtype), (positions, ...), False, op)
    return reshape(flat, input.array.shape)

"""torch's `*_copy` operations, which copy the view that the operation without `_copy` returns.

And their inverses, `*_scatter`: the input with such a view replaced by other values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.errors import ShapeError
from convcore.ops.core.arguments import integer
from convcore.ops.core.axes import axis
from convcore.ops.core.broadcast import unbroadcast
from convcore.ops.core.dtypes import as_tensors, clone, require_tensor
from convcore.ops.elementwise.in_place import Overwrite
from convcore.ops.rearrange import functions as rearrange
from convcore.ops.rearrange import strided
from convcore.ops.shape import joining
from convcore.ops.shape import views as shape
from convcore.ops.shape.indexing import getitem
from convcore.ops.shape.views import permute

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def copy_of(view: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The operation that copies the result of `view`."""

    def copied(input: Tensor, *args: Any, **settings: Any) -> Any:
        require_tensor(name, "input", input)
        result = view(input, *args, **settings)
        return tuple([clone(r) for r in result]) if isinstance(result, tuple) else clone(result)

    copied.__name__ = copied.__qualname__ = name
    copied.__doc__ = f"A copy of the result of `{name.removesuffix('_copy')}`, with the same arguments"
    return copied


def detach(input: Tensor) -> Tensor:
    """The same memory, outside the graph."""
    return input.detach()


def slice_of(input: Tensor, dim: int, start: int | None, end: int | None, step: int) -> tuple[slice, ...]:
    """The index of a slice along an axis."""
    axis_index = axis("slice", dim, input.array.ndim)
    if input.array.ndim == 0:
        raise ShapeError("slice: input must have an axis to cut, got shape ()")
    return (*[slice(None)] * axis_index, slice(start, end, integer("slice", "step", step, 1)))


def _slice(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    return getitem(input, slice_of(input, dim, start, end, step))


alias_copy = copy_of(lambda input: input, "alias_copy")
as_strided_copy = copy_of(strided.as_strided, "as_strided_copy")
detach_copy = copy_of(detach, "detach_copy")
diagonal_copy = copy_of(rearrange.diagonal, "diagonal_copy")
expand_copy = copy_of(shape.expand, "expand_copy")
narrow_copy = copy_of(shape.narrow, "narrow_copy")
permute_copy = copy_of(shape.permute, "permute_copy")
select_copy = copy_of(shape.select, "select_copy")
slice_copy = copy_of(_slice, "slice_copy")
split_copy = copy_of(joining.split, "split_copy")
split_with_sizes_copy = copy_of(joining.split_with_sizes, "split_with_sizes_copy")
squeeze_copy = copy_of(shape.squeeze, "squeeze_copy")
t_copy = copy_of(shape.t, "t_copy")
transpose_copy = copy_of(shape.transpose, "transpose_copy")
unbind_copy = copy_of(joining.unbind, "unbind_copy")
unfold_copy = copy_of(rearrange.unfold, "unfold_copy")
unsqueeze_copy = copy_of(shape.unsqueeze, "unsqueeze_copy")
view_copy = copy_of(shape.reshape, "view_copy")


def _replaced(op: str, input: Tensor, src: Tensor, index: tuple[Any, ...], basic: bool = True) -> Tensor:
    """The input with its part at an index replaced by `src`, which has the shape of the part."""
    require_tensor(op, "src", src)
    part = input.array[index].shape
    if src.array.shape != part:
        raise ShapeError(f"{op}: src must have the shape {part} of the part that it replaces, got {src.array.shape}")
    return Overwrite.apply(input, src.to(input.array.dtype), (*index, ...) if basic else index, basic, op)


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """The input with one slice along an axis replaced by `src`, which lacks the axis"""
    axis_index = axis("select_scatter", dim, input.array.ndim)
    size = input.array.shape[axis_index] if input.array.ndim else 0
    number = integer("select_scatter", "index", index, -size)
    if number >= size:
        raise ShapeError(f"select_scatter: index must be from {-size} to {size - 1} for axis {dim}, got {number}")
    return _replaced("select_scatter", input, src, (*[slice(None)] * axis_index, number))


def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """The input with input[start:end:step] along an axis replaced by `src`"""
    return _replaced("slice_scatter", input, src, slice_of(input, dim, start, end, step))


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The input with a diagonal of the planes of two axes, as `diagonal` returns it, replaced by `src`"""
    rows, columns, order = rearrange.diagonal_indices("diagonal_scatter", input, offset, dim1, dim2)
    planes = permute(input, order)
    filled = _replaced("diagonal_scatter", planes, src, (..., rows, columns), basic=False)
    return permute(filled, np.argsort(order).tolist())


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """The input summed over the axes along which a tensor of this shape would be broadcast to the input's shape"""
    wanted = shape.sizes("sum_to_size", size)
    have = input.array.shape
    added = len(have) - len(wanted)
    if added < 0 or any(w not in (1, h) for w, h in zip(wanted, have[added:], strict=True)):
        raise ShapeError(
            f"sum_to_size: input of shape {have} cannot be summed to size {wanted}: sizes must be equal or 1"
        )
    return unbroadcast(input, wanted) if wanted else input.sum()


def fill(input: Tensor, value: Tensor | float) -> Tensor:
    """A tensor of the input's shape and dtype filled with one value, a number or a tensor without axes"""
    require_tensor("fill", "input", input)
    (new,) = as_tensors("fill", value, dtype=input.array.dtype)
    if new.array.ndim:
        raise ShapeError(f"fill: value must be a number or a tensor without axes, got shape {new.array.shape}")
    return Overwrite.apply(input, new, (...,), True, "fill")

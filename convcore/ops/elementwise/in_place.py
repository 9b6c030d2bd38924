"""Changes in place: x.add_(y), x += y, x[index] = value.

The memory stays the same, so every view of it sees the change. The graph, however, needs both the value before and the
value after. So a recorded change takes three steps: the ordinary operation computes the new value out of place, from a
stand-in for the old one; the result is copied into the memory; and the tensor takes over the result's node in the
graph. Tensors saved for backward that share the memory are invalid now: their version counter shows it, and backward
refuses them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, cast

import numpy as np

from convcore import memory
from convcore.autograd import Function, Variable, is_grad_enabled, wrap
from convcore.errors import DTypeError, GraphError, ShapeError, UnsupportedError
from convcore.ops.core.broadcast import unbroadcast
from convcore.ops.core.dtypes import as_tensors, category, convert, require_tensor
from convcore.ops.core.fusion import pending
from convcore.ops.core.public_api import guarded
from convcore.ops.elementwise.arithmetic import add
from convcore.ops.shape.indexing import Index, array_index, frozen
from convcore.ops.shape.views import sizes

if TYPE_CHECKING:
    from convcore.tensor import Tensor

P = ParamSpec("P")


def begin_recorded_change(op: str, x: Tensor, *args: Any) -> bool:
    """Prepare an in-place change of x; returns whether the graph records it.

    Lazy tensors that depend on the old value of x are computed first. Raises if the change is not allowed.
    """
    x.begin_in_place(op)
    recorded = is_grad_enabled() and any(isinstance(a, Variable) and a.requires_grad for a in (x, *args))
    if recorded and x.has_other_views():
        raise UnsupportedError(
            f"{op}: a recorded in-place change of memory that is shared with a view (slice, reshape, transpose ..) is "
            "not supported, because the view's gradient would be wrong; change a clone(), or use the ordinary operation"
        )
    return recorded


def change(op: str, x: Tensor, operation: Callable[..., Any], *args: Any, **settings: Any) -> Tensor:
    """Replace the elements of x by `operation(x, *args, **settings)`, of the same shape and a dtype that x can hold."""
    begin_recorded_change(op, x, *args)
    result = operation(x.before_change(), *args, **settings)
    if result.array.shape != x.array.shape:
        raise ShapeError(f"{op}: the result of shape {result.array.shape} does not fit into {x.array.shape} in place")
    if category(result.array.dtype) > category(x.array.dtype):
        raise DTypeError(f"{op}: a result of {result.array.dtype} cannot be stored in place in {x.array.dtype}")
    result = convert(result, x.array.dtype)
    np.copyto(x.before_write(), result.array)
    x.mark_changed()
    x.take_place_of(result)
    return x


def in_place_of(operation: Callable[P, Any]) -> Callable[P, Any]:
    """The in-place variant of `operation`, whose first argument is a tensor: a method of that tensor."""
    name = f"{operation.__name__}_"
    checked = guarded(operation, operation.__module__, is_method=True)

    def in_place(input: Tensor, *args: Any, **settings: Any) -> Tensor:
        return change(name, input, checked, *args, **settings)

    in_place.__name__ = in_place.__qualname__ = name
    in_place.__doc__ = f"`{operation.__name__}` in place"
    return cast(Callable[P, Any], in_place)


_add_ = in_place_of(add)


def add_(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """`add` in place"""
    waiting = pending(input)
    if waiting is not None and alpha == 1 and isinstance(other, Variable) and waiting.add_in_place(other):
        return input
    return _add_(input, other, alpha=alpha)


def in_place_view_of(operation: Callable[P, Any]) -> Callable[P, Any]:
    """The in-place variant of a view: a method that makes the tensor itself the view, as x.squeeze_() or x.t_()."""
    name = f"{operation.__name__}_"

    def in_place(input: Tensor, *args: Any, **settings: Any) -> Tensor:
        begin_recorded_change(name, input)
        result = cast(Any, operation)(input.before_change(), *args, **settings)
        input.before_write()
        input.array = result.array
        input.take_place_of(result)
        return input

    in_place.__name__ = in_place.__qualname__ = name
    in_place.__doc__ = f"`{operation.__name__}` in place"
    return cast(Callable[P, Any], in_place)


def _assign(op: str, array: np.ndarray, index: tuple[Any, ...], value: np.ndarray) -> None:
    """array[index] = value, with an error that names the shapes."""
    try:
        array[index] = value
    except ValueError:
        raise ShapeError(
            f"{op}: a value of shape {value.shape} does not broadcast to the shape {array[index].shape} of its place"
        ) from None


class Overwrite(Function):
    """x with new values at an index. The old values there no longer affect the result, so their gradient is 0."""

    @staticmethod
    def forward(ctx, x, value, index, basic, op):
        ctx.index, ctx.basic, ctx.op = frozen(index), basic, op
        ctx.value_shape = value.array.shape
        out = x.array.copy(order="K")
        _assign(op, out, index, value.array)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        grad_x = grad_value = None
        if ctx.needs_input_grad[0]:
            zero = wrap(np.zeros((), grad_out.array.dtype))
            grad_x = Overwrite.apply(grad_out, zero, ctx.index, ctx.basic, ctx.op)
        if ctx.needs_input_grad[1]:
            grad_value = unbroadcast(Index.apply(grad_out, ctx.index, ctx.basic), ctx.value_shape)
        return grad_x, grad_value, None, None, None


def put(op: str, x: Tensor, index: Any, value: Tensor | float) -> Tensor:
    """Set x[index] to `value`, converted to the dtype of x. An unrecorded change writes only the indexed elements."""
    position, basic = array_index(index)
    recorded = begin_recorded_change(op, x, value)
    (new,) = as_tensors(op, value, dtype=x.array.dtype)
    if recorded:
        return change(op, x, Overwrite.apply, new, position, basic, op)
    _assign(op, x.before_write(), position, new.array)
    x.mark_changed()
    return x


def copy_(input: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Replace the elements by those of `src`, which broadcasts. The copy is synchronous: `non_blocking` is ignored."""
    require_tensor("copy_", "src", src)
    return put("copy_", input, (), src)


def fill_(input: Tensor, value: Tensor | float) -> Tensor:
    """Set every element to one number, or to the element of a tensor without axes."""
    return put("fill_", input, (), value)


def zero_(input: Tensor) -> Tensor:
    """Set every element to 0."""
    return put("zero_", input, (), 0)


def resize_(input: Tensor, *size: Any) -> Tensor:
    """Give the tensor another shape; the first elements in row-major order are kept, added elements are uninitialised.

    The tensor gets new memory: other views of the old memory keep the old one.
    """
    return _resized("resize_", input, sizes("resize_", size))


def resize_as_(input: Tensor, other: Tensor) -> Tensor:
    """Give the tensor the shape of another, as `resize_` does."""
    return _resized("resize_as_", input, other.array.shape)


def _resized(op: str, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    if x.requires_grad:
        raise GraphError(f"{op}: a tensor that requires a gradient cannot be resized; detach() it first")
    if any(s < 0 for s in shape):
        raise ShapeError(f"{op}: sizes must be at least 0, got {shape}")
    array = memory.empty(shape, x.array.dtype)
    kept = min(array.size, x.array.size)
    array.reshape(-1)[:kept] = x.array.reshape(-1)[:kept]
    x.replace_array(wrap(array))
    return x


def setitem(input: Tensor, index: Any, value: Tensor | float) -> None:
    """input[index] = value"""
    put("setitem", input, index, value)

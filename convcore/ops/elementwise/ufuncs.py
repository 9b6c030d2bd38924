"""Builds elementwise functions from a NumPy ufunc and a derivative in tensor operations.

With y = f(x) the gradient is grad_out * f'(x). With y = f(a, b) each operand gets grad_out times the partial
derivative, summed over the broadcast axes. Derivatives are tensor operations, so second derivatives exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, Variable, wrap
from convcore.errors import DTypeError
from convcore.ops.core.broadcast import check_broadcast, unbroadcast
from convcore.ops.core.dtypes import as_tensors, clone, compute, convert, float32, floating, result_type

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class OfInput(Function):
    """y = f(x), with the derivative in terms of x."""

    ufunc: Any
    derivative: Any

    @classmethod
    def forward(cls, ctx, x):
        ctx.save_for_backward(x)
        return wrap(compute(cls.ufunc, x.array))

    @staticmethod
    def backward(ctx, grad_out):
        (x,) = ctx.saved_tensors
        return grad_out * ctx.function.derivative(x)


class OfOutput(OfInput):
    """y = f(x), with the derivative in terms of y."""

    @classmethod
    def forward(cls, ctx, x):
        out = wrap(compute(cls.ufunc, x.array))
        ctx.save_for_backward(out)
        return out


class Step(OfInput):
    """y = f(x) that is constant nearly everywhere, so its gradient is zero."""

    @classmethod
    def forward(cls, ctx, x):
        ctx.shape = x.array.shape
        return wrap(compute(cls.ufunc, x.array))

    @staticmethod
    def backward(ctx, grad_out):
        return wrap(np.zeros(ctx.shape, grad_out.array.dtype))


class OfTwo(Function):
    """y = f(a, b), with derivatives in terms of a, b and y; None means zero."""

    ufunc: Any
    derivatives: Any

    @classmethod
    def forward(cls, ctx, a, b):
        if a.array.shape != b.array.shape:
            check_broadcast(cls.__name__.lower(), a, b)
        out = wrap(compute(cls.ufunc, a.array, b.array))
        ctx.save_for_backward(a, b, out)
        return out

    @staticmethod
    def backward(ctx, grad_out):
        a, b, out = ctx.saved_tensors
        gradients = []
        for operand, derivative, needed in zip((a, b), ctx.function.derivatives, ctx.needs_input_grad, strict=True):
            if not needed:
                gradients.append(None)
            elif derivative is None:
                gradients.append(wrap(np.zeros(operand.array.shape, operand.array.dtype)))
            else:
                gradients.append(unbroadcast(grad_out * derivative(a, b, out), operand.array.shape))
        return tuple(gradients)


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _function(name: str, base: type[Function], **attributes: Any) -> Any:
    """A separate Function class, so that nodes of the graph carry the operation's name."""
    held = {key: staticmethod(value) if key == "derivative" else value for key, value in attributes.items()}
    return type(name.title().replace("_", ""), (base,), {"__doc__": base.__doc__, **held})


def of_input(name: str, ufunc: Any, derivative: Callable[[Any], Any], doc: str) -> Callable[[Tensor], Tensor]:
    """The function `name` of a float tensor; integers are converted to float32. `derivative` is a function of x."""
    applied = _function(name, OfInput, ufunc=ufunc, derivative=derivative)
    return _unary(name, applied, doc)


def of_output(name: str, ufunc: Any, derivative: Callable[[Any], Any], doc: str) -> Callable[[Tensor], Tensor]:
    """As `of_input`, but `derivative` is a function of y."""
    applied = _function(name, OfOutput, ufunc=ufunc, derivative=derivative)
    return _unary(name, applied, doc)


def _unary(name: str, applied: Any, doc: str) -> Callable[[Tensor], Tensor]:
    def function(input: Tensor) -> Tensor:
        return applied.apply(floating(name, input))

    return _named(function, name, doc)


def step(name: str, ufunc: Any, doc: str, bools: bool = False, rounds: bool = False) -> Callable[[Tensor], Tensor]:
    """A function that is constant nearly everywhere; integers stay integers.

    Args:
        bools: whether bools are accepted.
        rounds: whether integers are returned unchanged.
    """
    applied = _function(name, Step, ufunc=ufunc)

    def function(input: Tensor) -> Tensor:
        if not isinstance(input, Variable):
            raise DTypeError(f"{name}: input must be a tensor, got {type(input).__name__}")
        if input.array.dtype.kind == "b" and not bools:
            raise DTypeError(f"{name}: a bool tensor has no {name}; convert it with x.long()")
        return clone(input) if rounds and input.array.dtype.kind in "iu" else applied.apply(input)

    return _named(function, name, doc)


def predicate(name: str, test: Callable[[np.ndarray], Any], doc: str) -> Callable[[Tensor], Tensor]:
    """The function `name` that returns a bool for each element."""

    def function(input: Tensor) -> Tensor:
        if not isinstance(input, Variable):
            raise DTypeError(f"{name}: input must be a tensor, got {type(input).__name__}")
        return wrap(np.asarray(test(input.array)))

    return _named(function, name, doc)


# How a function of two operands treats integers.
KEEP, TO_FLOAT, REFUSE = "keep", "to float", "refuse"
# Which of the two operands may be a Python number.
NEITHER, SECOND, EITHER = "neither", "second", "either"


def of_two(
    name: str,
    ufunc: Any,
    derivatives: tuple[Any, Any],
    doc: str,
    integers: str = KEEP,
    bools: bool = True,
    scalars: str = NEITHER,
) -> Callable[[Tensor | float, Tensor | float], Tensor]:
    """The function `name` of two operands of one type, which broadcast.

    Args:
        derivatives: for each operand a function of (a, b, y), or None if the derivative is zero.
        integers: KEEP computes in integers, TO_FLOAT in float32, REFUSE raises DTypeError.
        bools: whether bools are accepted.
        scalars: which operand may be a Python number: NEITHER, SECOND or EITHER (one of them, never both).
    """
    applied = _function(name, OfTwo, ufunc=ufunc, derivatives=derivatives)

    def function(input: Tensor | float, other: Tensor | float) -> Tensor:
        if not isinstance(input, Variable) and (scalars != EITHER or not isinstance(other, Variable)):
            raise DTypeError(f"{name}: input must be a tensor, got {type(input).__name__}; use convcore.tensor(...)")
        if not isinstance(other, Variable) and scalars == NEITHER:
            raise DTypeError(f"{name}: other must be a tensor, got {type(other).__name__}; use convcore.tensor(...)")
        dtype = result_type(name, input, other)
        if dtype.kind == "b" and not bools:
            raise DTypeError(f"{name}: operands must be numbers, got bools; convert them with x.long()")
        if dtype.kind != "f" and integers != KEEP:
            if integers == REFUSE:
                raise DTypeError(f"{name}: operands must be float32 or float64, got {dtype}; convert with x.float()")
            dtype = float32
        return applied.apply(*as_tensors(name, input, other, dtype=dtype))

    return _named(function, name, doc)


def truth(array: np.ndarray, like: Any) -> Any:
    """A bool array as a factor of 0 and 1 in the dtype of the tensor `like`."""
    return convert(wrap(np.asarray(array)), like.array.dtype)

"""Arithmetic on two operands, with broadcasting: + - * / **, and negation.

Broadcasting repeats an operand along the axes that it lacks or in which it has length 1. Every repetition contributes
to the derivative, so the gradient is summed over these axes (`unbroadcast`). Gradients are made of differentiable
operations, so derivatives of any order exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, Variable, wrap
from convcore.errors import DTypeError
from convcore.ops.core.broadcast import check_broadcast, unbroadcast
from convcore.ops.core.dtypes import as_tensors, compute, floating, require_tensor, result_type
from convcore.ops.core.fusion import pending

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def _binary(op: str, ufunc: Any, a: Tensor, b: Tensor) -> Any:
    if a.array.shape != b.array.shape:
        check_broadcast(op, a, b)
    return wrap(compute(ufunc, a.array, b.array))


class Add(Function):
    """a + b; both gradients are grad_out."""

    @classmethod
    def apply(cls, a, b):
        for one, other in ((a, b), (b, a)):
            waiting = pending(one)
            fused = None if waiting is None else waiting.add(other)
            if fused is not None:
                return fused
        return super().apply(a, b)

    @staticmethod
    def forward(ctx, a, b):
        ctx.shapes = a.array.shape, b.array.shape
        return _binary("add", np.add, a, b)

    @staticmethod
    def backward(ctx, grad_out):
        return tuple(
            [unbroadcast(grad_out, s) if n else None for n, s in zip(ctx.needs_input_grad, ctx.shapes, strict=True)]
        )


class Sub(Function):
    """a - b; the gradients are grad_out and -grad_out."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.shapes = a.array.shape, b.array.shape
        return _binary("sub", np.subtract, a, b)

    @staticmethod
    def backward(ctx, grad_out):
        need_a, need_b = ctx.needs_input_grad
        return (
            unbroadcast(grad_out, ctx.shapes[0]) if need_a else None,
            unbroadcast(-grad_out, ctx.shapes[1]) if need_b else None,
        )


class Mul(Function):
    """a * b; each gradient is grad_out times the other operand, which is saved only if needed."""

    @staticmethod
    def forward(ctx, a, b):
        need_a, need_b = ctx.needs_input_grad
        ctx.shapes = a.array.shape, b.array.shape
        ctx.save_for_backward(a if need_b else None, b if need_a else None)
        return _binary("mul", np.multiply, a, b)

    @staticmethod
    def backward(ctx, grad_out):
        a, b = ctx.saved_tensors
        need_a, need_b = ctx.needs_input_grad
        return (
            unbroadcast(grad_out * b, ctx.shapes[0]) if need_a else None,
            unbroadcast(grad_out * a, ctx.shapes[1]) if need_b else None,
        )


class Div(Function):
    """a / b; the gradients are grad_out / b and -grad_out * a / b**2."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.shapes = a.array.shape, b.array.shape
        ctx.save_for_backward(a if ctx.needs_input_grad[1] else None, b)
        return _binary("div", np.true_divide, a, b)

    @staticmethod
    def backward(ctx, grad_out):
        a, b = ctx.saved_tensors
        need_a, need_b = ctx.needs_input_grad
        share = grad_out / b
        return (
            unbroadcast(share, ctx.shapes[0]) if need_a else None,
            unbroadcast(-share * (a / b), ctx.shapes[1]) if need_b else None,
        )


class Pow(Function):
    """a ** b; da = b * a**(b - 1), which is 0 for b = 0; db = a**b * log(a), which is 0 for a = 0 and b >= 0."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return _binary("pow", np.power if a.array.dtype.kind == "f" else _integer_power, a, b)

    @staticmethod
    def backward(ctx, grad_out):
        a, b = ctx.saved_tensors
        grad_a = grad_b = None
        if ctx.needs_input_grad[0]:
            slope = (b * a ** (b - 1)).where(b != 0, 0.0)
            grad_a = unbroadcast(grad_out * slope, a.array.shape)
        if ctx.needs_input_grad[1]:
            slope = (a**b * a.log()).where(~((a == 0) & (b >= 0)), 0.0)
            grad_b = unbroadcast(grad_out * slope, b.array.shape)
        return grad_a, grad_b


class Neg(Function):
    """-x"""

    @staticmethod
    def forward(ctx, x):
        return wrap(compute(np.negative, x.array))

    @staticmethod
    def backward(ctx, grad_out):
        return -grad_out


def _scaled(op: str, input: Tensor | float, other: Tensor | float, alpha: float) -> tuple[Any, Any]:
    """input and alpha * other as tensors of one dtype, which must represent alpha exactly."""
    if alpha == 1 and not isinstance(alpha, bool):
        return as_tensors(op, input, other)
    dtype = result_type(op, input, other)
    if dtype.kind != "f" and isinstance(alpha, float):
        raise DTypeError(f"{op}: alpha must be an integer for operands of {dtype}, got {alpha}; convert with x.float()")
    if dtype.kind != "b" and isinstance(alpha, bool):
        raise DTypeError(f"{op}: alpha must be a number for operands of {dtype}, got {alpha}")
    a, b = as_tensors(op, input, other, dtype=dtype)
    return a, as_tensors(op, mul(b, alpha), dtype=dtype)[0]


def add(input: Tensor | float, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """input + alpha * other"""
    return Add.apply(*_scaled("add", input, other, alpha))


def sub(input: Tensor | float, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """input - alpha * other"""
    if any(o.array.dtype.kind == "b" if isinstance(o, Variable) else isinstance(o, bool) for o in (input, other)):
        raise DTypeError("sub: bool tensors cannot be subtracted; use ^ (exclusive or), or convert with .long()")
    return Sub.apply(*_scaled("sub", input, other, alpha))


def rsub(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """other - alpha * input"""
    require_tensor("rsub", "input", input)
    return sub(other, input, alpha=alpha)


def mul(input: Tensor | float, other: Tensor | float) -> Tensor:
    """input * other, element by element"""
    return Mul.apply(*as_tensors("mul", input, other))


def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """input ** exponent; a negative power of an integer is 0 unless the integer is 1 or -1"""
    if not isinstance(input, Variable):
        require_tensor("pow", "exponent", exponent)
    dtype = result_type("pow", input, exponent)
    if dtype.kind in "iu" and isinstance(exponent, int) and exponent < 0:
        raise DTypeError("pow: an integer tensor has no negative powers; convert it with x.float()")
    return Pow.apply(*as_tensors("pow", input, exponent, dtype=dtype))


def reflected(operation: Callable[..., Tensor]) -> Callable[[Tensor, Tensor | float], Tensor]:
    """The operation with its operands swapped, for Python's `number <operator> tensor`."""

    def exchanged(input: Tensor, other: Tensor | float) -> Tensor:
        require_tensor(operation.__name__, "input", input)
        return operation(other, input)

    return exchanged


def square(input: Tensor) -> Tensor:
    """input * input, element by element; bools count as integers"""
    return pow(input, 2) if input.array.dtype.kind == "b" else mul(input, input)


def _integer_power(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a ** b, rounded towards zero for negative b."""
    power = np.power(a, np.abs(b), out=out)
    return np.where((b < 0) & (np.abs(power) != 1), 0, power).astype(a.dtype)


def neg(input: Tensor) -> Tensor:
    """-input"""
    if input.array.dtype.kind == "b":
        raise DTypeError("neg: a bool tensor has no negative; use ~ (logical not)")
    return Neg.apply(input)


def reciprocal(input: Tensor) -> Tensor:
    """1 / input"""
    return Div.apply(*as_tensors("reciprocal", 1.0, floating("reciprocal", input)))


subtract, multiply, negative = sub, mul, neg

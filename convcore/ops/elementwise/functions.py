"""Elementwise functions: exp, log, roots, tanh, sigmoid, ReLU, clamp, maximum and where.

With y = f(x) the gradient is grad_out * f'(x), written in terms of y where that is cheaper. ReLU, exp, erf, tanh and
sigmoid, which layers use, have kernels; the others use NumPy's loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, Variable, is_grad_enabled, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import meta
from convcore.ops.core.broadcast import check_broadcast, unbroadcast
from convcore.ops.core.dtypes import as_tensors, compute, floating, require_floating, require_tensor
from convcore.ops.core.fusion import pending
from convcore.ops.core.layout import empty_like, flat, like
from convcore.ops.elementwise.arithmetic import reciprocal
from convcore.ops.elementwise.in_place import change
from convcore.ops.elementwise.ufuncs import OfInput, of_input, of_output, step
from convcore.ops.shape.indexing import nonzero
from kernels.cpu.elementwise import functions as kernels

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class Compiled(Function):
    """y = f(x), elementwise, by two kernels: forward and gradient. Settings are scalars, the same for all elements.

    `gradient` is the gradient kernel's formula in tensor operations: it replaces the kernel where the backward pass is
    recorded (`create_graph`), so that the result can be differentiated again.
    """

    kernels: kernels.Elementwise
    saves_output = False  # whether the gradient is written in terms of y, and hence saves y

    @staticmethod
    def gradient(grad_out: Tensor, saved: Tensor, *settings: float) -> Tensor:
        raise NotImplementedError

    @classmethod
    def apply(cls, x, *settings):
        waiting = pending(x)
        fused = None if waiting is None else waiting.activate(cls.kernels, settings)
        return super().apply(x, *settings) if fused is None else fused

    @classmethod
    def forward(cls, ctx, x, *settings):
        out = empty_like(x.array)
        cls.kernels.forward(flat(x.array), flat(out), settings)
        result = wrap(out)
        ctx.save_for_backward(result if cls.saves_output else x)
        ctx.settings = settings
        return result

    @classmethod
    def backward(cls, ctx, grad_out):
        (saved,) = ctx.saved_tensors
        if is_grad_enabled():
            grad_x = cls.gradient(grad_out, saved, *ctx.settings)
        else:
            grad_x = wrap(empty_like(saved.array))
            given = flat(like(grad_out.array, saved.array))
            cls.kernels.grad_input(given, flat(saved.array), flat(grad_x.array), ctx.settings)
        return grad_x if not ctx.settings else (grad_x, *[None] * len(ctx.settings))


class Exp(Compiled):
    """y = e^x, y' = y"""

    kernels = kernels.exp
    saves_output = True

    @staticmethod
    def gradient(grad_out, saved):
        return grad_out * saved


class Erf(Compiled):
    """y = 2 / sqrt(pi) * integral of exp(-t^2) for t from 0 to x, y' = 2 / sqrt(pi) * exp(-x^2)"""

    kernels = kernels.erf

    @staticmethod
    def gradient(grad_out, saved):
        return grad_out * (exp(-saved * saved) * kernels.TWO_OVER_ROOT_PI)


class Tanh(Compiled):
    """y = tanh x, y' = 1 - y^2"""

    kernels = kernels.tanh
    saves_output = True

    @staticmethod
    def gradient(grad_out, saved):
        return grad_out * (1 - saved * saved)


class Sigmoid(Compiled):
    """y = 1 / (1 + e^-x), y' = y (1 - y). Where e^-x overflows, y is 0 as it should be."""

    kernels = kernels.sigmoid
    saves_output = True

    @staticmethod
    def gradient(grad_out, saved):
        return grad_out * (saved * (1 - saved))


class Relu(Compiled):
    """y = max(x, 0), y' = 1 where y > 0 and 0 elsewhere (also at 0). NaN stays NaN and lets the gradient pass."""

    kernels = kernels.relu
    saves_output = True

    @staticmethod
    def gradient(grad_out, saved):
        return where(saved.detach() <= 0, 0.0, grad_out)


class Where(Function):
    """a where the condition holds, b elsewhere; each gets the gradient of the elements that come from it."""

    @staticmethod
    def forward(ctx, condition, a, b):
        check_broadcast("where", condition, a, b, names=("condition", "input", "other"))
        ctx.save_for_backward(condition)
        ctx.shapes = a.array.shape, b.array.shape
        return wrap(np.where(condition.array, a.array, b.array))

    @staticmethod
    def backward(ctx, grad_out):
        (condition,) = ctx.saved_tensors
        _, need_a, need_b = ctx.needs_input_grad
        return (
            None,
            unbroadcast(where(condition, grad_out, 0.0), ctx.shapes[0]) if need_a else None,
            unbroadcast(where(condition, 0.0, grad_out), ctx.shapes[1]) if need_b else None,
        )


class Extremes(Function):
    """The larger (or smaller) of two elements; where they are equal, each gets half the gradient."""

    @staticmethod
    def forward(ctx, a, b, ufunc):
        check_broadcast(ufunc.__name__, a, b)
        ctx.save_for_backward(a, b)
        ctx.largest = ufunc is np.maximum
        return wrap(compute(ufunc, a.array, b.array))

    @staticmethod
    def backward(ctx, grad_out):
        a, b = (t.detach() for t in ctx.saved_tensors)
        lower, upper = (a, b) if ctx.largest else (b, a)
        shared = where(a == b, grad_out * 0.5, grad_out)
        return (
            unbroadcast(where(lower < upper, 0.0, shared), a.array.shape) if ctx.needs_input_grad[0] else None,
            unbroadcast(where(upper < lower, 0.0, shared), b.array.shape) if ctx.needs_input_grad[1] else None,
            None,
        )


def _inverse_root(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """1 / sqrt(x)"""
    return np.reciprocal(np.sqrt(x, out=out), out=out)


log = of_input("log", np.log, reciprocal, "The natural logarithm of each element: -inf at 0, NaN below")
sqrt = of_output("sqrt", np.sqrt, lambda y: 0.5 / y, "The square root of each element: NaN below 0")
rsqrt = of_output("rsqrt", _inverse_root, lambda y: y * y * y * -0.5, "1 / sqrt(x) of each element")
sign = step(
    "sign", lambda x, out=None: np.subtract(x > 0, x < 0, dtype=x.dtype) if x.dtype.kind != "b" else x.copy(),
    "-1, 0 or 1 by the sign of each element, 0 also for NaN", bools=True,
)  # fmt: skip


class Abs(OfInput):
    """y = |x|, y' = sign x, and 0 at 0"""

    ufunc = np.abs
    derivative = staticmethod(sign)


def exp(input: Tensor) -> Tensor:
    """e to the power of each element"""
    return Exp.apply(floating("exp", input))


def erf(input: Tensor) -> Tensor:
    """The error function of each element: the probability that a normal variable of variance 1/2 is within [-x, x]"""
    return Erf.apply(floating("erf", input))


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent of each element"""
    return Tanh.apply(floating("tanh", input))


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) of each element"""
    return Sigmoid.apply(floating("sigmoid", input))


def relu(input: Tensor) -> Tensor:
    """max(x, 0) of each element"""
    if isinstance(input, Variable) and meta(input).dtype.kind in "iu":
        return clamp_min(input, 0)
    require_floating("relu", input)
    return Relu.apply(input)


def relu_(input: Tensor) -> Tensor:
    """`relu` in place"""
    waiting = pending(input)
    if waiting is not None and waiting.activate_in_place(kernels.relu, ()):
        return input
    return change("relu_", input, relu)


def abs(input: Tensor) -> Tensor:
    """The absolute value of each element"""
    if input.array.dtype.kind == "b":
        raise DTypeError("abs: a bool tensor has no signs; convert it with x.long()")
    return Abs.apply(input)


absolute = abs


def where(condition: Tensor, input: Tensor | float | None = None, other: Tensor | float | None = None) -> Any:
    """`input` where the bool tensor `condition` holds, `other` elsewhere; all three broadcast.

    With `condition` alone, the indices where it is not 0, as `nonzero(condition, as_tuple=True)`.
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise DTypeError("where: needs both input and other, or neither")
    if not isinstance(condition, Variable) or condition.array.dtype.kind != "b":
        kind = condition.array.dtype if isinstance(condition, Variable) else type(condition).__name__
        raise DTypeError(f"where: condition must be a bool tensor, got {kind}; compare it first, e.g. x != 0")
    return Where.apply(condition, *as_tensors("where", input, other))


def where_of(input: Tensor, condition: Tensor, other: Tensor | float) -> Tensor:
    """`where` as a method: the input where the condition holds, `other` elsewhere"""
    return where(condition, input, other)


def masked_fill(input: Tensor, mask: Tensor, value: Tensor | float) -> Tensor:
    """`value` where the bool tensor `mask` holds, the input elsewhere"""
    require_tensor("masked_fill", "mask", mask)
    fill = value.array if isinstance(value, Variable) else np.asarray(value)
    if fill.ndim:
        raise ShapeError(f"masked_fill: value must be a number or a tensor without axes, got shape {fill.shape}")
    if fill.dtype.kind == "f" and input.array.dtype.kind != "f":
        raise DTypeError(f"masked_fill: a value of {fill.dtype} does not fit into {input.array.dtype}")
    return where(mask, *as_tensors("masked_fill", value, input, dtype=input.array.dtype))


def maximum(input: Tensor, other: Tensor | float) -> Tensor:
    """The larger of two elements; NaN where either is NaN"""
    require_tensor("maximum", "input", input)
    require_tensor("maximum", "other", other)
    return Extremes.apply(*as_tensors("maximum", input, other), np.maximum)


def minimum(input: Tensor, other: Tensor | float) -> Tensor:
    """The smaller of two elements; NaN where either is NaN"""
    require_tensor("minimum", "input", input)
    require_tensor("minimum", "other", other)
    return Extremes.apply(*as_tensors("minimum", input, other), np.minimum)


class Clamp(Function):
    """x clamped to [low, high]. The gradient goes to x where it is inside (limits included), else to the limit."""

    @staticmethod
    def forward(ctx, x, low, high):
        given = {name: t for name, t in (("input", x), ("min", low), ("max", high)) if t is not None}
        check_broadcast("clamp", *given.values(), names=list(given))
        if True in ctx.needs_input_grad:
            above = np.True_ if low is None else x.array >= low.array
            below = np.True_ if high is None else x.array <= high.array
            ordered = np.True_ if low is None or high is None else low.array < high.array
            ctx.passes = above & below, ~above & ordered & (x.array == x.array), ~below | ~ordered
            ctx.shapes = [None if t is None else t.array.shape for t in (x, low, high)]
        out = x.array if low is None else compute(np.maximum, x.array, low.array)
        return wrap(out if high is None else compute(np.minimum, out, high.array))

    @staticmethod
    def backward(ctx, grad_out):
        return tuple(
            [
                unbroadcast(where(wrap(np.asarray(mask)), grad_out, 0.0), shape) if needed else None
                for mask, shape, needed in zip(ctx.passes, ctx.shapes, ctx.needs_input_grad, strict=True)
            ]
        )


def clamp(input: Tensor, min: Tensor | float | None = None, max: Tensor | float | None = None) -> Tensor:
    """Each element clamped to [min, max]; the limits are numbers or tensors, and one of them may be omitted"""
    limits = [limit for limit in (min, max) if limit is not None]
    if not limits:
        raise DTypeError("clamp: needs min or max, or both; got neither")
    if input.array.dtype.kind == "b":
        raise DTypeError("clamp: a bool tensor has no order; convert it with x.long()")
    x, *limits = as_tensors("clamp", input, *limits)
    return Clamp.apply(x, None if min is None else limits[0], None if max is None else limits[-1])


def clamp_min(input: Tensor, min: Tensor | float) -> Tensor:
    """Each element, but at least `min`"""
    require_tensor("clamp_min", "input", input)
    x, low = as_tensors("clamp_min", input, min)
    return Clamp.apply(x, low, None)


def clamp_max(input: Tensor, max: Tensor | float) -> Tensor:
    """Each element, but at most `max`"""
    require_tensor("clamp_max", "input", input)
    x, high = as_tensors("clamp_max", input, max)
    return Clamp.apply(x, None, high)


clip = clamp

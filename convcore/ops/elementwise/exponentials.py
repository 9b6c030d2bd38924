"""Powers and logarithms of other bases, and related functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convcore.autograd import Function, Variable, wrap
from convcore.ops.core.dtypes import as_tensors, float64, floating, require_floating, require_tensor
from convcore.ops.elementwise.arithmetic import mul, pow, reciprocal
from convcore.ops.elementwise.functions import clamp, sigmoid, where
from convcore.ops.elementwise.ufuncs import REFUSE, of_input, of_output, of_two

if TYPE_CHECKING:
    from convcore.tensor import Tensor

LN2, LN10 = math.log(2), math.log(10)

exp2 = of_output("exp2", np.exp2, lambda y: y * LN2, "2 to the power of each element")
expm1 = of_output("expm1", np.expm1, lambda y: y + 1, "exp(x) - 1 of each element, exact also near 0")
log1p = of_input("log1p", np.log1p, lambda x: reciprocal(x + 1), "log(1 + x) of each element, exact also near 0")
log2 = of_input("log2", np.log2, lambda x: reciprocal(x * LN2), "The logarithm to base 2 of each element")
log10 = of_input("log10", np.log10, lambda x: reciprocal(x * LN10), "The logarithm to base 10 of each element")

logaddexp = of_two(
    "logaddexp", np.logaddexp, (lambda a, b, y: sigmoid(a - b), lambda a, b, y: sigmoid(b - a)),
    "log(exp(input) + exp(other)), without overflow on the way", REFUSE,
)  # fmt: skip
logaddexp2 = of_two(
    "logaddexp2", np.logaddexp2, (lambda a, b, y: sigmoid((a - b) * LN2), lambda a, b, y: sigmoid((b - a) * LN2)),
    "log2(2^input + 2^other), without overflow on the way", REFUSE,
)  # fmt: skip


def _log_odds(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """log(x / (1 - x))"""
    return np.log(np.divide(x, 1 - x, out=out), out=out)


def _logit_slope(x: Any) -> Any:
    """1 / (x (1 - x)): infinite at 0 and 1, and NaN outside, as logit itself."""
    return where((x < 0) | (x > 1), math.nan, reciprocal(x * (1 - x)))


_logit = of_input("logit", _log_odds, _logit_slope, "log(x / (1 - x)) of each element")


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)) of each element, the inverse of `sigmoid`; with `eps`, x is first clamped to [eps, 1 - eps]"""
    x = floating("logit", input)
    if eps is not None:
        x = clamp(x, eps, 1 - eps)
    return _logit(x)


def float_power(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """input ** exponent in float64"""
    if not isinstance(input, Variable):
        require_tensor("float_power", "exponent", exponent)
    return pow(*as_tensors("float_power", input, exponent, dtype=float64))


class MantissaExponent(NamedTuple):
    """The result of `frexp`."""

    mantissa: Any
    exponent: Any


class Frexp(Function):
    """x = m * 2^e with 1/2 <= |m| < 1; the gradient of m is 2^-e."""

    @staticmethod
    def forward(ctx, x):
        mantissa, exponent = np.frexp(x.array)
        ctx.exponent = np.asarray(exponent, np.int32)
        result = wrap(np.asarray(mantissa, x.array.dtype)), wrap(ctx.exponent)
        ctx.mark_non_differentiable(result[1])
        return result

    @staticmethod
    def backward(ctx, grad_mantissa, grad_exponent):
        return ldexp(grad_mantissa, wrap(np.asarray(-ctx.exponent)))


def frexp(input: Tensor) -> MantissaExponent:
    """(mantissa, exponent): input = mantissa * 2 ** exponent with 0.5 <= |mantissa| < 1; the exponent is int32"""
    require_floating("frexp", input)
    return MantissaExponent(*Frexp.apply(input))


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input * 2 ** other"""
    require_tensor("ldexp", "input", input)
    require_tensor("ldexp", "other", other)
    return mul(input, pow(2.0, other))

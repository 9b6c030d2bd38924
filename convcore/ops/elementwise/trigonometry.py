"""Trigonometric and hyperbolic functions, and their inverses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcore.ops.core.dtypes import floating
from convcore.ops.elementwise.arithmetic import mul, reciprocal
from convcore.ops.elementwise.functions import rsqrt, where
from convcore.ops.elementwise.ufuncs import REFUSE, TO_FLOAT, of_input, of_output, of_two

if TYPE_CHECKING:
    from convcore.tensor import Tensor

sin = of_input("sin", np.sin, lambda x: cos(x), "The sine of each element")
cos = of_input("cos", np.cos, lambda x: -sin(x), "The cosine of each element")
tan = of_output("tan", np.tan, lambda y: 1 + y * y, "The tangent of each element")
sinh = of_input("sinh", np.sinh, lambda x: cosh(x), "The hyperbolic sine of each element")
cosh = of_input("cosh", np.cosh, lambda x: sinh(x), "The hyperbolic cosine of each element")
asin = of_input("asin", np.arcsin, lambda x: rsqrt(1 - x * x), "The angle whose sine each element is; NaN beyond 1")
acos = of_input("acos", np.arccos, lambda x: -rsqrt(1 - x * x), "The angle whose cosine each element is; NaN beyond 1")
atan = of_input("atan", np.arctan, lambda x: reciprocal(1 + x * x), "The angle whose tangent each element is")
asinh = of_input("asinh", np.arcsinh, lambda x: rsqrt(x * x + 1), "The inverse of `sinh` at each element")
acosh = of_input("acosh", np.arccosh, lambda x: rsqrt((x - 1) * (x + 1)), "The inverse of `cosh`; NaN below 1")
atanh = of_input("atanh", np.arctanh, lambda x: reciprocal(1 - x * x), "The inverse of `tanh`; NaN beyond 1")
arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh


def _over_square(part: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """part / (a^2 + b^2), and 0 at the origin, as in torch."""
    square = a * a + b * b
    zero = square == 0
    return where(zero, 0.0, part / where(zero, 1.0, square))


atan2 = of_two(
    "atan2", np.arctan2, (lambda a, b, y: _over_square(b, a, b), lambda a, b, y: _over_square(-a, a, b)),
    "The angle between the x axis and the point (other, input)", TO_FLOAT,
)  # fmt: skip
arctan2 = atan2

hypot = of_two(
    "hypot", np.hypot, (lambda a, b, y: a / y, lambda a, b, y: b / y),
    "sqrt(input^2 + other^2), without overflow on the way", REFUSE,
)  # fmt: skip


def sinc(input: Tensor) -> Tensor:
    """sin(pi x) / (pi x) of each element, and 1 at 0"""
    x = mul(floating("sinc", input), math.pi)
    zero = x == 0
    safe = where(zero, 1.0, x)
    return where(zero, 1.0, sin(safe) / safe)


def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians"""
    return mul(floating("deg2rad", input), math.pi / 180)


def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees"""
    return mul(floating("rad2deg", input), 180 / math.pi)

"""exp, tanh and the logistic function of vectors: a few additions and multiplications where libm is called per element.

exp(x) = 2^n * exp(r), with n the integer next to x / ln 2 and r = x - n ln 2, at most (ln 2)/2 in size. ln 2 is split
into two numbers, the first short enough that n times it is exact (Cody & Waite, "Software manual for the elementary
functions", 1980, chapter 6). Adding 1.5 * 2^23 (float64: 2^52) rounds to an integer and leaves it in the low bits, from
where a shift brings n to the exponent.

exp(r) - 1 = r + r^2 q(r). The polynomial q is the one whose largest error, relative to r, is smallest for r of at most
(ln 2)/2 in size: Remez's exchange in 60 digits, for the function (exp(r) - 1 - r) / r^2 and the weight |r|. That error
is 1.3e-8 for float32 and 1.8e-17 for float64. In units of the last place the results are off by 1.1 (exp) and 2.5 (tanh
and the logistic function) at most. inf and NaN go where they should, and what is smaller than the smallest normal
number is 0.
"""

from typing import Any, NamedTuple

from numba.core import types

from kernels.cpu.simd import vabs, vcopysign, vfenced, vless, vmuladd, vselect, vsplat
from kernels.cpu.simd_integers import vbits, vfloats, vishift_left, visplat
from kernels.jit import inline, overload

LOG2_E = 1.4426950408889634


class _Constants(NamedTuple):
    """What exp needs to know of a float type."""

    rounding: float  # added to a small number, it leaves that number's nearest integer in the low bits
    mantissa_bits: int
    one: int  # the bits of 1.0
    ln2_high: float
    ln2_low: float
    polynomial: tuple[float, ...]  # q, from the highest power down
    lowest: float  # below it exp(x) is less than the smallest normal number
    overflow: float  # from here on exp(x) is more than the largest number


_CONSTANTS = {
    types.float32: _Constants(
        1.5 * 2**23, 23, 127 << 23, 0.693359375, -2.12194440054690583e-4,
        (0.0013946496240070184976, 0.0083666105872153278432, 0.041666281409973572706, 0.1666654279407387614,
         0.50000000620847118086),
        -87.33654475, 88.7228394,
    ),
    types.float64: _Constants(
        1.5 * 2**52, 52, 1023 << 52, 6.93147180369123816490e-01, 1.90821492927058770002e-10,
        (2.5114516347128540552e-8, 2.7626382056674594256e-7, 2.7557227827830376799e-6, 2.4801504312532130965e-5,
         1.9841269903157933883e-4, 0.0013888888932483948916, 0.0083333333333145404543, 0.041666666666573324528,
         0.16666666666666686064, 0.50000000000000055724),
        -708.3964185322641, 709.782712893384,
    ),
}  # fmt: skip


def _reduced(x: Any, value: Any) -> Any:
    """exp(r) - 1, and the integer vector that adds n to a float's exponent; x is an array of value's element type."""


@overload(_reduced)
def _reduced_of_type(x, value):
    rounding, mantissa_bits, _, ln2_high, ln2_low, polynomial, _, _ = _CONSTANTS[x.dtype]
    highest, others = polynomial[0], polynomial[1:]

    def reduced(x, value):
        value = vfenced(value)
        rounded = vfenced(vmuladd(value, vsplat(x, LOG2_E), vsplat(x, rounding)))
        n = vfenced(rounded - vsplat(x, rounding))
        r = vfenced(vmuladd(n, vsplat(x, -ln2_high), value))
        r = vmuladd(n, vsplat(x, -ln2_low), r)
        q = vsplat(x, highest)
        for coefficient in others:
            q = vmuladd(q, r, vsplat(x, coefficient))
        return vmuladd(r * r, q, r), vishift_left(vbits(rounded), mantissa_bits)

    return reduced


def vexp(x: Any, value: Any) -> Any:
    """e to the power of a vector; x is an array of its element type."""


@overload(vexp)
def _exp_of_type(x, value):
    lowest, overflow = _CONSTANTS[x.dtype].lowest, _CONSTANTS[x.dtype].overflow

    def exp(x, value):
        less_one, exponent = _reduced(x, value)
        power = vfloats(vbits(less_one + vsplat(x, 1)) + exponent)
        power = vselect(vless(value, vsplat(x, overflow)), power, value + vsplat(x, float("inf")))  # inf, or NaN
        return vselect(vless(value, vsplat(x, lowest)), vsplat(x, 0), power)

    return exp


def vtanh(x: Any, value: Any) -> Any:
    """The hyperbolic tangent of a vector: m / (m + 2) with m = exp(2 |x|) - 1, and x's sign."""


@overload(vtanh)
def _tanh_of_type(x, value):
    one = _CONSTANTS[x.dtype].one
    saturated = 40.0  # where the tangent of the half is 1 in both types

    def tanh(x, value):
        size = vabs(value) + vabs(value)
        size = vselect(vless(vsplat(x, saturated), size), vsplat(x, saturated), size)
        less_one, exponent = _reduced(x, size)
        scale = vfloats(visplat(x, one) + exponent)
        m = vmuladd(less_one, scale, scale - vsplat(x, 1))
        return vcopysign(m / (m + vsplat(x, 2)), value)

    return tanh


@inline
def vsigmoid(x, value):
    """1 / (1 + exp(-value)) of a vector; where exp overflows it is 0 as it should be."""
    one = vsplat(x, 1)
    return one / (one + vexp(x, vsplat(x, 0) - value))

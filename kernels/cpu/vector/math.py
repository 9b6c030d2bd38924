"""exp, tanh, erf and related functions of vectors: a few additions and multiplications instead of a libm call a value.

exp(x) = 2^n * exp(r), with n the integer next to x / ln 2 and r = x - n ln 2, at most (ln 2)/2 in size. ln 2 is split
into two parts, the first short enough that n times it is exact (Cody & Waite, "Software manual for the elementary
functions", 1980, chapter 6). Adding 1.5 * 2^23 (float64: 2^52) rounds to an integer and leaves it in the low bits, from
where a shift brings n to the exponent.

exp(r) - 1 = r + r^2 q(r). The polynomial q is the one whose largest error, relative to r, is smallest for r of at most
(ln 2)/2 in size: Remez's exchange in 60 digits, for the function (exp(r) - 1 - r) / r^2 and the weight |r|. That error
is 1.3e-8 for float32 and 1.8e-17 for float64. The polynomials of the other functions were found in the same way:

    log(1 + t) = 2 s + 2 s^3 l(s^2)         for t from 0 to 1, s = t / (t + 2), at most 1/3
    erf(x)     = x + x e(x^2)               below 1
               = 1 - exp(-c(x - 2))         from 1 on, where c is -log(1 - erf(x)) with errors weighed by 1 - erf(x)

The results are off by at most 1.1 (exp) and 2.5 (the others) units in the last place. inf and NaN give what they give
in libm, and results below the smallest normal number are 0.
"""

from typing import Any, NamedTuple

from numba.core import types

from kernels.cpu.vector.integers import vbits, vfloats, vishift_left, visplat
from kernels.cpu.vector.values import vabs, vcopysign, vfenced, vless, vmuladd, vrelu, vselect, vsplat
from kernels.jit import inline, overload

LOG2_E = 1.4426950408889634
MODERATE = 40.0  # 1 + exp(-40) is 1 in both types, as is the hyperbolic tangent of 20


class _Constants(NamedTuple):
    """What exp needs to know of a float type."""

    rounding: float  # added to a small value, it leaves the nearest integer in the low bits
    mantissa_bits: int
    one: int  # the bits of 1.0
    ln2_high: float
    ln2_low: float
    polynomial: tuple[float, ...]  # q, from the highest power down
    lowest: float  # below it exp(x) is less than the smallest normal number
    overflow: float  # from here on exp(x) is more than the largest number
    logarithm: tuple[float, ...]  # l
    error_small: tuple[float, ...]  # e
    error_large: tuple[float, ...]  # c
    error_one: float  # from here on erf(x) is 1


_CONSTANTS = {
    types.float32: _Constants(
        1.5 * 2**23, 23, 127 << 23, 0.693359375, -2.12194440054690583e-4,
        (0.0013946496240070184976, 0.0083666105872153278432, 0.041666281409973572706, 0.1666654279407387614,
         0.50000000620847118086),
        -87.33654475, 88.7228394,
        (0.14012206023306885163, 0.13999586486890906239, 0.20010847570097205872, 0.33333206622592764373),
        (7.8891191574878387936e-5, -8.0208456984069043977e-4, 0.0051895364619392613762, -0.026854445581508076231,
         0.11283600211815888544, -0.37612627140440545631, 0.12837916591465432051),
        (-1.8557399538845714335e-4, 7.1271926538173796557e-4, -0.0035436857848671958433, 0.016487272688590898755,
         0.92375307173821945019, 4.4181593579071506989, 5.3649410543836858184),
        4.0,
    ),
    types.float64: _Constants(
        1.5 * 2**52, 52, 1023 << 52, 6.93147180369123816490e-01, 1.90821492927058770002e-10,
        (2.5114516347128540552e-8, 2.7626382056674594256e-7, 2.7557227827830376799e-6, 2.4801504312532130965e-5,
         1.9841269903157933883e-4, 0.0013888888932483948916, 0.0083333333333145404543, 0.041666666666573324528,
         0.16666666666666686064, 0.50000000000000055724),
        -708.3964185322641, 709.782712893384,
        (0.085088636059136252941, 0.041703012799222935173, 0.060529806520167802314, 0.066504953505311505593,
         0.076932792597473880733, 0.090908719976904826641, 0.11111111983803831927, 0.14285714273944957124,
         0.20000000000078472383, 0.33333333333333152318),
        (-7.8011888740977515657e-10, 1.372297626592450327e-8, -1.6209175911748695663e-7, 1.6447517677871873706e-6,
         -1.4924744663335489733e-5, 1.2055295320495294236e-4, -8.5483259896967580333e-4, 0.0052239776074234678405,
         -0.026866170643276218303, 0.11283791670945253232, -0.37612638903183546628, 0.12837916709551256679),
        (4.8651882963024947019e-12, -3.6621307503543887812e-11, 7.1531946239667311316e-11, 2.5688283045172639173e-10,
         -2.6094936515484116599e-9, 1.3989972516100578286e-8, -5.769640915807399129e-8, 1.7317172139174940365e-7,
         -2.0372697593684031778e-7, -1.9521868663885192826e-6, 2.0706470490131566844e-5, -1.3530933080670053449e-4,
         7.3239937798854276118e-4, -0.0035707563478120370993, 0.016465118137390673045, 0.92375084182394275711,
         4.4181608059944132429, 5.364941264616636207),
        6.0,
    ),
}  # fmt: skip


def _polynomial(coefficients: tuple[float, ...]) -> Any:
    """The function (array, vector) of a polynomial, given from the highest power down, by Horner's rule."""
    highest, others = coefficients[0], coefficients[1:]

    @inline
    def polynomial(x, value):
        result = vsplat(x, highest)
        for coefficient in others:
            result = vmuladd(result, value, vsplat(x, coefficient))
        return result

    return polynomial


def _reduced(x: Any, value: Any) -> Any:
    """exp(r) - 1, and the integer vector that adds n to a float's exponent; x is an array of value's element type."""


@overload(_reduced)
def _reduced_of_type(x, value):
    constants = _CONSTANTS[x.dtype]
    rounding, mantissa_bits, ln2_high, ln2_low = constants[:2] + constants[3:5]
    polynomial = _polynomial(constants.polynomial)

    def reduced(x, value):
        value = vfenced(value)
        rounded = vfenced(vmuladd(value, vsplat(x, LOG2_E), vsplat(x, rounding)))
        n = vfenced(rounded - vsplat(x, rounding))
        r = vfenced(vmuladd(n, vsplat(x, -ln2_high), value))
        r = vmuladd(n, vsplat(x, -ln2_low), r)
        return vmuladd(r * r, polynomial(x, r), r), vishift_left(vbits(rounded), mantissa_bits)

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


def _moderate_expm1(x: Any, value: Any) -> Any:
    """exp(value) - 1, exact to the last places also near 0, where neither is exp(value) tiny nor overflows."""


@overload(_moderate_expm1)
def _moderate_expm1_of_type(x, value):
    one = _CONSTANTS[x.dtype].one

    def moderate_expm1(x, value):
        less_one, exponent = _reduced(x, value)
        scale = vfloats(visplat(x, one) + exponent)
        return vmuladd(less_one, scale, scale - vsplat(x, 1))

    return moderate_expm1


@inline
def vexpm1(x, value):
    """exp(value) - 1 of a vector; no digits are lost near 0."""
    result = vselect(vless(value, vsplat(x, MODERATE)), _moderate_expm1(x, value), vexp(x, value))
    return vselect(vless(value, vsplat(x, -MODERATE)), vsplat(x, -1), result)


@inline
def vtanh(x, value):
    """The hyperbolic tangent of a vector: m / (m + 2) with m = exp(2 |x|) - 1, and x's sign."""
    size = vabs(value) + vabs(value)
    m = _moderate_expm1(x, vselect(vless(vsplat(x, MODERATE), size), vsplat(x, MODERATE), size))
    return vcopysign(m / (m + vsplat(x, 2)), value)


@inline
def vsigmoid(x, value):
    """1 / (1 + exp(-value)) of a vector; where exp overflows it is 0 as it should be."""
    one = vsplat(x, 1)
    return one / (one + vexp(x, vsplat(x, 0) - value))


def vsoftplus(x: Any, value: Any) -> Any:
    """log(1 + exp(value)) of a vector: max(value, 0) + log(1 + exp(-|value|))."""


@overload(vsoftplus)
def _softplus_of_type(x, value):
    polynomial = _polynomial(_CONSTANTS[x.dtype].logarithm)

    def softplus(x, value):
        t = vexp(x, vsplat(x, 0) - vabs(value))
        s = t / (t + vsplat(x, 2))
        square = s * s
        half = vmuladd(s * square, polynomial(x, square), s)
        return vrelu(value) + (half + half)

    return softplus


def verf(x: Any, value: Any) -> Any:
    """The error function of a vector: 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to the value."""


@overload(verf)
def _erf_of_type(x, value):
    constants = _CONSTANTS[x.dtype]
    small, large = _polynomial(constants.error_small), _polynomial(constants.error_large)
    limit = constants.error_one

    def erf(x, value):
        size = vabs(value)
        size = vselect(vless(vsplat(x, limit), size), vsplat(x, limit), size)
        near = vmuladd(size, small(x, size * size), size)
        far = vsplat(x, 1) - vexp(x, vsplat(x, 0) - large(x, vfenced(size - vsplat(x, 2))))
        return vcopysign(vselect(vless(size, vsplat(x, 1)), near, far), value)

    return erf

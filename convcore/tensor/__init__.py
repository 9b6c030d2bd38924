"""Tensor: torch's operators and methods, each bound to an operation of `convcore.ops`.

here    arithmetic, comparison, reductions, products
shape   methods that move elements: shape, indexing, sorting, filling
data    what a tensor is without computations: dtype, device, export, printing, copies
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd.variable import set_tensor_class
from convcore.ops.activation import composed
from convcore.ops.core import dtypes

from convcore.ops.elementwise import (  # isort: skip  # packed: one name a line would be too long
    arithmetic, comparison, division, exponentials, functions as elementwise, in_place, real_numbers, rounding, special,
    trigonometry,
)  # fmt: skip
from convcore.ops.activation import softmax as probabilities
from convcore.ops.core.public_api import guard_methods
from convcore.ops.elementwise.in_place import in_place_of
from convcore.ops.linear import matmul as matrices
from convcore.ops.linear import products
from convcore.ops.reduce import functions as reduce
from convcore.ops.reduce import scan, statistics, vector_norm
from convcore.ops.shape import views as shapes
from convcore.tensor.data import Size
from convcore.tensor.shape import TensorParts

__all__ = ["Size", "Tensor"]


@guard_methods
class Tensor(TensorParts):
    """A NumPy array that remembers how it was computed.

    Create one with `convcore.tensor`, `convcore.zeros`, `convcore.from_numpy` and the like. Methods that end in an
    underscore change the tensor in place. Names, arguments and semantics are torch's, with one exception: `view` copies
    if the strides do not allow a view. A method is the function of the same name in `convcore.ops`, with the tensor as
    its first argument; `in_place_of` builds the in-place variant.
    """

    __slots__ = ()
    __array_priority__ = 1000  # for `array + tensor`, NumPy defers to the tensor's operator

    def __init__(self, array: np.ndarray, requires_grad: bool = False):
        super().__init__(array, requires_grad)
        self.version.watched().expose_for_ever()  # the caller holds the array and may write to it

    # Copies

    clone = dtypes.clone
    contiguous = shapes.contiguous
    is_contiguous = shapes.is_contiguous

    # Arithmetic

    __add__ = add = arithmetic.add
    __radd__ = arithmetic.reflected(arithmetic.add)
    __sub__ = sub = subtract = arithmetic.sub
    __rsub__ = rsub = arithmetic.rsub
    __mul__ = mul = multiply = arithmetic.mul
    __rmul__ = arithmetic.reflected(arithmetic.mul)
    __truediv__ = div = divide = division.div
    __rtruediv__ = __rdiv__ = arithmetic.reflected(division.div)
    __floordiv__ = floor_divide = division.floor_divide
    __rfloordiv__ = arithmetic.reflected(division.floor_divide)
    __mod__ = remainder = division.remainder
    __rmod__ = arithmetic.reflected(division.remainder)
    __pow__ = pow = arithmetic.pow
    __rpow__ = arithmetic.reflected(arithmetic.pow)
    __neg__ = neg = negative = arithmetic.neg
    __pos__ = positive = rounding.positive
    __abs__ = abs = absolute = elementwise.abs
    true_divide = division.true_divide
    fmod = division.fmod
    float_power = exponentials.float_power
    square = arithmetic.square
    reciprocal = arithmetic.reciprocal
    addcmul = division.addcmul
    addcdiv = division.addcdiv
    lerp = division.lerp
    copysign = division.copysign
    nextafter = division.nextafter
    heaviside = division.heaviside
    gcd = division.gcd
    lcm = division.lcm
    ldexp = exponentials.ldexp
    logaddexp = exponentials.logaddexp
    logaddexp2 = exponentials.logaddexp2
    xlogy = special.xlogy
    hypot = trigonometry.hypot
    atan2 = arctan2 = trigonometry.atan2

    __iadd__ = add_ = in_place.add_
    __isub__ = sub_ = subtract_ = in_place_of(arithmetic.sub)
    __imul__ = mul_ = multiply_ = in_place_of(arithmetic.mul)
    __itruediv__ = div_ = divide_ = in_place_of(division.div)
    __ifloordiv__ = floor_divide_ = in_place_of(division.floor_divide)
    __imod__ = remainder_ = in_place_of(division.remainder)
    __ipow__ = pow_ = in_place_of(arithmetic.pow)
    neg_ = negative_ = in_place_of(arithmetic.neg)
    abs_ = absolute_ = in_place_of(elementwise.abs)
    true_divide_ = in_place_of(division.true_divide)
    fmod_ = in_place_of(division.fmod)
    float_power_ = in_place_of(exponentials.float_power)
    square_ = in_place_of(arithmetic.square)
    reciprocal_ = in_place_of(arithmetic.reciprocal)
    addcmul_ = in_place_of(division.addcmul)
    addcdiv_ = in_place_of(division.addcdiv)
    lerp_ = in_place_of(division.lerp)
    copysign_ = in_place_of(division.copysign)
    nextafter_ = in_place_of(division.nextafter)
    heaviside_ = in_place_of(division.heaviside)
    gcd_ = in_place_of(division.gcd)
    lcm_ = in_place_of(division.lcm)
    ldexp_ = in_place_of(exponentials.ldexp)
    xlogy_ = in_place_of(special.xlogy)
    hypot_ = in_place_of(trigonometry.hypot)
    atan2_ = arctan2_ = in_place_of(trigonometry.atan2)

    # Products

    __matmul__ = matmul = matrices.matmul
    __rmatmul__ = arithmetic.reflected(matrices.matmul)
    mm = products.mm
    bmm = products.bmm
    mv = products.mv
    dot = products.dot
    vdot = products.vdot
    inner = products.inner
    outer = products.outer
    ger = products.ger
    addmm = products.addmm
    addmv = products.addmv
    addr = products.addr
    baddbmm = products.baddbmm
    addbmm = products.addbmm
    kron = products.kron
    cross = products.cross
    addmm_ = in_place_of(products.addmm)
    addmv_ = in_place_of(products.addmv)
    addr_ = in_place_of(products.addr)
    baddbmm_ = in_place_of(products.baddbmm)
    addbmm_ = in_place_of(products.addbmm)

    # Comparison and logic

    def __eq__(self, other: Any) -> Any:
        return comparison.eq(self, other) if comparison.is_operand(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return comparison.ne(self, other) if comparison.is_operand(other) else NotImplemented

    def __hash__(self) -> int:
        return id(self)

    eq = comparison.eq
    ne = not_equal = comparison.ne
    __lt__ = lt = less = comparison.lt
    __le__ = le = less_equal = comparison.le
    __gt__ = gt = greater = comparison.gt
    __ge__ = ge = greater_equal = comparison.ge
    __and__ = bitwise_and = comparison.bitwise_and
    __rand__ = arithmetic.reflected(comparison.bitwise_and)
    __or__ = bitwise_or = comparison.bitwise_or
    __ror__ = arithmetic.reflected(comparison.bitwise_or)
    __xor__ = bitwise_xor = comparison.bitwise_xor
    __rxor__ = arithmetic.reflected(comparison.bitwise_xor)
    __invert__ = bitwise_not = comparison.bitwise_not
    __lshift__ = bitwise_left_shift = comparison.bitwise_left_shift
    __rlshift__ = arithmetic.reflected(comparison.bitwise_left_shift)
    __rshift__ = bitwise_right_shift = comparison.bitwise_right_shift
    __rrshift__ = arithmetic.reflected(comparison.bitwise_right_shift)
    logical_and = comparison.logical_and
    logical_or = comparison.logical_or
    logical_xor = comparison.logical_xor
    logical_not = comparison.logical_not
    isnan = comparison.isnan
    isfinite = comparison.isfinite
    isinf = comparison.isinf
    isposinf = comparison.isposinf
    isneginf = comparison.isneginf
    isreal = comparison.isreal
    is_complex = real_numbers.is_complex
    real = property(real_numbers.real)
    imag = property(real_numbers.imag)
    conj = resolve_conj = resolve_neg = real_numbers.real
    conj_physical = real_numbers.conj_physical
    conj_physical_ = in_place_of(real_numbers.conj_physical)
    angle = real_numbers.angle
    isclose = comparison.isclose
    equal = comparison.equal
    allclose = comparison.allclose
    all = reduce.all
    any = reduce.any

    eq_ = in_place_of(comparison.eq)
    ne_ = not_equal_ = in_place_of(comparison.ne)
    lt_ = less_ = in_place_of(comparison.lt)
    le_ = less_equal_ = in_place_of(comparison.le)
    gt_ = greater_ = in_place_of(comparison.gt)
    ge_ = greater_equal_ = in_place_of(comparison.ge)
    __iand__ = bitwise_and_ = in_place_of(comparison.bitwise_and)
    __ior__ = bitwise_or_ = in_place_of(comparison.bitwise_or)
    __ixor__ = bitwise_xor_ = in_place_of(comparison.bitwise_xor)
    bitwise_not_ = in_place_of(comparison.bitwise_not)
    __ilshift__ = bitwise_left_shift_ = in_place_of(comparison.bitwise_left_shift)
    __irshift__ = bitwise_right_shift_ = in_place_of(comparison.bitwise_right_shift)
    logical_and_ = in_place_of(comparison.logical_and)
    logical_or_ = in_place_of(comparison.logical_or)
    logical_xor_ = in_place_of(comparison.logical_xor)
    logical_not_ = in_place_of(comparison.logical_not)

    # Elementwise functions

    maximum = elementwise.maximum
    minimum = elementwise.minimum
    fmax = division.fmax
    fmin = division.fmin
    masked_fill = elementwise.masked_fill
    masked_fill_ = in_place_of(elementwise.masked_fill)
    relu = elementwise.relu
    relu_ = elementwise.relu_
    prelu = composed.prelu
    hardshrink = composed.hardshrink
    signbit = rounding.signbit

    where = elementwise.where_of
    polygamma = special.polygamma_of
    polygamma_ = in_place_of(special.polygamma_of)

    exp = elementwise.exp
    log = elementwise.log
    sqrt = elementwise.sqrt
    rsqrt = elementwise.rsqrt
    tanh = elementwise.tanh
    sigmoid = elementwise.sigmoid
    sign = elementwise.sign
    clamp = elementwise.clamp
    clip = elementwise.clip
    clamp_min = elementwise.clamp_min
    clamp_max = elementwise.clamp_max
    floor = rounding.floor
    ceil = rounding.ceil
    trunc = rounding.trunc
    fix = rounding.fix
    round = rounding.round
    frac = rounding.frac
    sgn = rounding.sgn
    nan_to_num = rounding.nan_to_num
    exp2 = exponentials.exp2
    expm1 = exponentials.expm1
    log1p = exponentials.log1p
    log2 = exponentials.log2
    log10 = exponentials.log10
    logit = exponentials.logit
    frexp = exponentials.frexp
    sin = trigonometry.sin
    cos = trigonometry.cos
    tan = trigonometry.tan
    sinh = trigonometry.sinh
    cosh = trigonometry.cosh
    asin = trigonometry.asin
    acos = trigonometry.acos
    atan = trigonometry.atan
    asinh = trigonometry.asinh
    acosh = trigonometry.acosh
    atanh = trigonometry.atanh
    arcsin = trigonometry.arcsin
    arccos = trigonometry.arccos
    arctan = trigonometry.arctan
    arcsinh = trigonometry.arcsinh
    arccosh = trigonometry.arccosh
    arctanh = trigonometry.arctanh
    sinc = trigonometry.sinc
    deg2rad = trigonometry.deg2rad
    rad2deg = trigonometry.rad2deg
    erf = elementwise.erf
    erfc = special.erfc
    erfinv = special.erfinv
    lgamma = special.lgamma
    digamma = special.digamma
    i0 = special.i0
    igamma = special.igamma
    igammac = special.igammac
    mvlgamma = special.mvlgamma

    erf_ = in_place_of(elementwise.erf)
    exp_ = in_place_of(elementwise.exp)
    log_ = in_place_of(elementwise.log)
    sqrt_ = in_place_of(elementwise.sqrt)
    rsqrt_ = in_place_of(elementwise.rsqrt)
    tanh_ = in_place_of(elementwise.tanh)
    sigmoid_ = in_place_of(elementwise.sigmoid)
    sign_ = in_place_of(elementwise.sign)
    clamp_ = in_place_of(elementwise.clamp)
    clip_ = in_place_of(elementwise.clip)
    clamp_min_ = in_place_of(elementwise.clamp_min)
    clamp_max_ = in_place_of(elementwise.clamp_max)
    floor_ = in_place_of(rounding.floor)
    ceil_ = in_place_of(rounding.ceil)
    trunc_ = in_place_of(rounding.trunc)
    fix_ = in_place_of(rounding.fix)
    round_ = in_place_of(rounding.round)
    frac_ = in_place_of(rounding.frac)
    sgn_ = in_place_of(rounding.sgn)
    nan_to_num_ = in_place_of(rounding.nan_to_num)
    exp2_ = in_place_of(exponentials.exp2)
    expm1_ = in_place_of(exponentials.expm1)
    log1p_ = in_place_of(exponentials.log1p)
    log2_ = in_place_of(exponentials.log2)
    log10_ = in_place_of(exponentials.log10)
    logit_ = in_place_of(exponentials.logit)
    sin_ = in_place_of(trigonometry.sin)
    cos_ = in_place_of(trigonometry.cos)
    tan_ = in_place_of(trigonometry.tan)
    sinh_ = in_place_of(trigonometry.sinh)
    cosh_ = in_place_of(trigonometry.cosh)
    asin_ = in_place_of(trigonometry.asin)
    acos_ = in_place_of(trigonometry.acos)
    atan_ = in_place_of(trigonometry.atan)
    asinh_ = in_place_of(trigonometry.asinh)
    acosh_ = in_place_of(trigonometry.acosh)
    atanh_ = in_place_of(trigonometry.atanh)
    arcsin_ = in_place_of(trigonometry.arcsin)
    arccos_ = in_place_of(trigonometry.arccos)
    arctan_ = in_place_of(trigonometry.arctan)
    arcsinh_ = in_place_of(trigonometry.arcsinh)
    arccosh_ = in_place_of(trigonometry.arccosh)
    arctanh_ = in_place_of(trigonometry.arctanh)
    sinc_ = in_place_of(trigonometry.sinc)
    deg2rad_ = in_place_of(trigonometry.deg2rad)
    rad2deg_ = in_place_of(trigonometry.rad2deg)
    erfc_ = in_place_of(special.erfc)
    erfinv_ = in_place_of(special.erfinv)
    lgamma_ = in_place_of(special.lgamma)
    digamma_ = in_place_of(special.digamma)
    i0_ = in_place_of(special.i0)
    igamma_ = in_place_of(special.igamma)
    igammac_ = in_place_of(special.igammac)
    mvlgamma_ = in_place_of(special.mvlgamma)

    # Reductions

    sum = reduce.sum
    nansum = reduce.nansum
    mean = reduce.mean
    nanmean = reduce.nanmean
    prod = reduce.prod
    amax = reduce.amax
    amin = reduce.amin
    max = reduce.max
    min = reduce.min
    aminmax = reduce.aminmax
    argmax = reduce.argmax
    argmin = reduce.argmin
    count_nonzero = reduce.count_nonzero
    logsumexp = reduce.logsumexp
    norm = vector_norm.norm
    renorm = vector_norm.renorm
    renorm_ = in_place_of(vector_norm.renorm)
    dist = vector_norm.dist
    softmax = probabilities.softmax
    log_softmax = probabilities.log_softmax
    var = statistics.var
    std = statistics.std
    kthvalue = statistics.kthvalue
    mode = statistics.mode
    median = statistics.median
    nanmedian = statistics.nanmedian
    quantile = statistics.quantile
    nanquantile = statistics.nanquantile
    cov = statistics.cov
    corrcoef = statistics.corrcoef
    cumsum = scan.cumsum
    cumprod = scan.cumprod
    cummax = scan.cummax
    cummin = scan.cummin
    logcumsumexp = scan.logcumsumexp
    diff = scan.diff
    cumsum_ = in_place_of(scan.cumsum)
    cumprod_ = in_place_of(scan.cumprod)


set_tensor_class(Tensor)

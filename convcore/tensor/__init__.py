"""Tensor: torch's operators and methods, each bound here or in `tensor/shape.py` to an operation of `convcore.ops`."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd.variable import set_tensor_class
from convcore.ops.activation import composed
from convcore.ops.core import dtypes

from convcore.ops.elementwise import (  # isort: skip  # so many names are packed
    arithmetic, comparison, division, exponentials, functions as elementwise, in_place, real_numbers, rounding, special,
    trigonometry,
)  # fmt: skip
from convcore.ops.activation import softmax as probabilities
from convcore.ops.core.public_api import guard_methods
from convcore.ops.elementwise.in_place import twin
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

    Make one with `convcore.tensor`, `convcore.zeros`, `convcore.from_numpy` and the like. Methods that end in an
    underscore change the tensor in place. Names, arguments and semantics are torch's, with one relief: `view` copies
    where the elements do not lie in the order that it asks for. A method is the function of the same name in
    `convcore.ops`, with the tensor as its first argument; `twin` makes the one that works in place.
    """

    __slots__ = ()
    __array_priority__ = 1000  # NumPy arrays leave operators with a tensor to the tensor

    def __init__(self, array: np.ndarray, requires_grad: bool = False):
        super().__init__(array, requires_grad)
        self.version.watched().expose_for_ever()  # the caller has the array

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
    __isub__ = sub_ = subtract_ = twin(arithmetic.sub)
    __imul__ = mul_ = multiply_ = twin(arithmetic.mul)
    __itruediv__ = div_ = divide_ = twin(division.div)
    __ifloordiv__ = floor_divide_ = twin(division.floor_divide)
    __imod__ = remainder_ = twin(division.remainder)
    __ipow__ = pow_ = twin(arithmetic.pow)
    neg_ = negative_ = twin(arithmetic.neg)
    abs_ = absolute_ = twin(elementwise.abs)
    true_divide_ = twin(division.true_divide)
    fmod_ = twin(division.fmod)
    float_power_ = twin(exponentials.float_power)
    square_ = twin(arithmetic.square)
    reciprocal_ = twin(arithmetic.reciprocal)
    addcmul_ = twin(division.addcmul)
    addcdiv_ = twin(division.addcdiv)
    lerp_ = twin(division.lerp)
    copysign_ = twin(division.copysign)
    nextafter_ = twin(division.nextafter)
    heaviside_ = twin(division.heaviside)
    gcd_ = twin(division.gcd)
    lcm_ = twin(division.lcm)
    ldexp_ = twin(exponentials.ldexp)
    xlogy_ = twin(special.xlogy)
    hypot_ = twin(trigonometry.hypot)
    atan2_ = arctan2_ = twin(trigonometry.atan2)

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
    addmm_ = twin(products.addmm)
    addmv_ = twin(products.addmv)
    addr_ = twin(products.addr)
    baddbmm_ = twin(products.baddbmm)
    addbmm_ = twin(products.addbmm)

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
    conj_physical_ = twin(real_numbers.conj_physical)
    angle = real_numbers.angle
    isclose = comparison.isclose
    equal = comparison.equal
    allclose = comparison.allclose
    all = reduce.all
    any = reduce.any

    eq_ = twin(comparison.eq)
    ne_ = not_equal_ = twin(comparison.ne)
    lt_ = less_ = twin(comparison.lt)
    le_ = less_equal_ = twin(comparison.le)
    gt_ = greater_ = twin(comparison.gt)
    ge_ = greater_equal_ = twin(comparison.ge)
    __iand__ = bitwise_and_ = twin(comparison.bitwise_and)
    __ior__ = bitwise_or_ = twin(comparison.bitwise_or)
    __ixor__ = bitwise_xor_ = twin(comparison.bitwise_xor)
    bitwise_not_ = twin(comparison.bitwise_not)
    __ilshift__ = bitwise_left_shift_ = twin(comparison.bitwise_left_shift)
    __irshift__ = bitwise_right_shift_ = twin(comparison.bitwise_right_shift)
    logical_and_ = twin(comparison.logical_and)
    logical_or_ = twin(comparison.logical_or)
    logical_xor_ = twin(comparison.logical_xor)
    logical_not_ = twin(comparison.logical_not)

    # Functions of each element

    maximum = elementwise.maximum
    minimum = elementwise.minimum
    fmax = division.fmax
    fmin = division.fmin
    masked_fill = elementwise.masked_fill
    masked_fill_ = twin(elementwise.masked_fill)
    relu = elementwise.relu
    relu_ = elementwise.relu_
    prelu = composed.prelu
    hardshrink = composed.hardshrink
    signbit = rounding.signbit

    where = elementwise.where_of
    polygamma = special.polygamma_of
    polygamma_ = twin(special.polygamma_of)

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

    erf_ = twin(elementwise.erf)
    exp_ = twin(elementwise.exp)
    log_ = twin(elementwise.log)
    sqrt_ = twin(elementwise.sqrt)
    rsqrt_ = twin(elementwise.rsqrt)
    tanh_ = twin(elementwise.tanh)
    sigmoid_ = twin(elementwise.sigmoid)
    sign_ = twin(elementwise.sign)
    clamp_ = twin(elementwise.clamp)
    clip_ = twin(elementwise.clip)
    clamp_min_ = twin(elementwise.clamp_min)
    clamp_max_ = twin(elementwise.clamp_max)
    floor_ = twin(rounding.floor)
    ceil_ = twin(rounding.ceil)
    trunc_ = twin(rounding.trunc)
    fix_ = twin(rounding.fix)
    round_ = twin(rounding.round)
    frac_ = twin(rounding.frac)
    sgn_ = twin(rounding.sgn)
    nan_to_num_ = twin(rounding.nan_to_num)
    exp2_ = twin(exponentials.exp2)
    expm1_ = twin(exponentials.expm1)
    log1p_ = twin(exponentials.log1p)
    log2_ = twin(exponentials.log2)
    log10_ = twin(exponentials.log10)
    logit_ = twin(exponentials.logit)
    sin_ = twin(trigonometry.sin)
    cos_ = twin(trigonometry.cos)
    tan_ = twin(trigonometry.tan)
    sinh_ = twin(trigonometry.sinh)
    cosh_ = twin(trigonometry.cosh)
    asin_ = twin(trigonometry.asin)
    acos_ = twin(trigonometry.acos)
    atan_ = twin(trigonometry.atan)
    asinh_ = twin(trigonometry.asinh)
    acosh_ = twin(trigonometry.acosh)
    atanh_ = twin(trigonometry.atanh)
    arcsin_ = twin(trigonometry.arcsin)
    arccos_ = twin(trigonometry.arccos)
    arctan_ = twin(trigonometry.arctan)
    arcsinh_ = twin(trigonometry.arcsinh)
    arccosh_ = twin(trigonometry.arccosh)
    arctanh_ = twin(trigonometry.arctanh)
    sinc_ = twin(trigonometry.sinc)
    deg2rad_ = twin(trigonometry.deg2rad)
    rad2deg_ = twin(trigonometry.rad2deg)
    erfc_ = twin(special.erfc)
    erfinv_ = twin(special.erfinv)
    lgamma_ = twin(special.lgamma)
    digamma_ = twin(special.digamma)
    i0_ = twin(special.i0)
    igamma_ = twin(special.igamma)
    igammac_ = twin(special.igammac)
    mvlgamma_ = twin(special.mvlgamma)

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
    renorm_ = twin(vector_norm.renorm)
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
    cumsum_ = twin(scan.cumsum)
    cumprod_ = twin(scan.cumprod)


set_tensor_class(Tensor)

"""The activations of networks beyond those in elementwise/functions.py, as functions of vectors; all keep their input.

`settings` are the parameters of a function, in the order of the arguments in `convcore.ops.activation.functions`. Where
a product with 0 would make NaN of infinity, the value is chosen by a blend instead.
"""

from kernels.cpu.elementwise.functions import elementwise
from kernels.cpu.vector.math import verf, vexp, vexpm1, vsigmoid, vsoftplus
from kernels.cpu.vector.values import vabs, vfma, vgreater, vless, vless_equal, vselect, vsplat
from kernels.jit import inline

ROOT_HALF = 0.7071067811865476
ONE_OVER_ROOT_TWO_PI = 0.3989422804014327
TWICE_ROOT_TWO_OVER_PI = 1.5957691216057308
GELU_CUBIC = 0.044715


@inline
def _minus(x, v):
    return vsplat(x, 0) - v


@inline
def _limited(x, v, low, high):
    """v, but not below `low` nor above `high`; NaN stays NaN."""
    v = vselect(vless(v, vsplat(x, low)), vsplat(x, low), v)
    return vselect(vless(vsplat(x, high), v), vsplat(x, high), v)


@inline
def _logistic(x, v):
    """s = 1 / (1 + e^-v), and s (1 - s) without the digits that 1 - s would lose."""
    e = vexp(x, _minus(x, vabs(v)))
    share = vsplat(x, 1) / (e + vsplat(x, 1))
    other = e * share
    return vselect(vless(v, vsplat(x, 0)), other, share), other * share


# ELU: x above 0, alpha (e^(x / beta) - 1) below, all of it times scale.


@inline
def _elu(x, v, settings):
    alpha, scale, inner = settings
    below = vsplat(x, alpha * scale) * vexpm1(x, v * vsplat(x, inner))
    return vselect(vgreater(v, vsplat(x, 0)), v * vsplat(x, scale), below)


@inline
def _elu_gradient(x, g, v, settings):
    alpha, scale, inner = settings
    below = vsplat(x, alpha * scale * inner) * vexp(x, v * vsplat(x, inner))
    return g * vselect(vgreater(v, vsplat(x, 0)), vsplat(x, scale), below)


# GELU: x Phi(x), with Phi the distribution function of the standard normal, exact or by a hyperbolic tangent.


@inline
def _normal_distribution(x, v):
    half = vsplat(x, 0.5)
    return vfma(half, verf(x, v * vsplat(x, ROOT_HALF)), half)


@inline
def _gelu(x, v, settings):
    return v * _normal_distribution(x, v)


@inline
def _gelu_gradient(x, g, v, settings):
    density = vsplat(x, ONE_OVER_ROOT_TWO_PI) * vexp(x, vsplat(x, -0.5) * v * v)
    return g * vfma(v, density, _normal_distribution(x, v))


@inline
def _gelu_tanh(x, v, settings):
    cubic = vfma(vsplat(x, GELU_CUBIC) * v, v, vsplat(x, 1))
    return v * vsigmoid(x, vsplat(x, TWICE_ROOT_TWO_OVER_PI) * v * cubic)  # (1 + tanh u) / 2 = sigmoid(2 u)


@inline
def _gelu_tanh_gradient(x, g, v, settings):
    one = vsplat(x, 1)
    square = v * v
    factor = vsplat(x, TWICE_ROOT_TWO_OVER_PI)
    s, slope = _logistic(x, factor * v * vfma(vsplat(x, GELU_CUBIC), square, one))
    inner = factor * vfma(vsplat(x, 3 * GELU_CUBIC), square, one)
    return g * vfma(v * inner, slope, s)


@inline
def _hardsigmoid(x, v, settings):
    return _limited(x, v + vsplat(x, 3), 0, 6) * vsplat(x, 1 / 6)


@inline
def _hardsigmoid_gradient(x, g, v, settings):
    return vselect(vless(vabs(v), vsplat(x, 3)), g * vsplat(x, 1 / 6), vsplat(x, 0))


@inline
def _hardswish(x, v, settings):
    return v * _hardsigmoid(x, v, settings)


@inline
def _hardswish_gradient(x, g, v, settings):
    three = vsplat(x, 3)
    inside = g * vfma(v, vsplat(x, 1 / 3), vsplat(x, 0.5))
    result = vselect(vless_equal(three, v), g, inside)
    return vselect(vless_equal(v, _minus(x, three)), vsplat(x, 0), result)


@inline
def _hardtanh(x, v, settings):
    return _limited(x, v, settings[0], settings[1])


@inline
def _hardtanh_gradient(x, g, v, settings):
    zero = vsplat(x, 0)
    g = vselect(vless_equal(v, vsplat(x, settings[0])), zero, g)
    return vselect(vless_equal(vsplat(x, settings[1]), v), zero, g)


@inline
def _leaky_relu(x, v, settings):
    return vselect(vgreater(v, vsplat(x, 0)), v, v * vsplat(x, settings[0]))


@inline
def _leaky_relu_gradient(x, g, v, settings):
    return vselect(vgreater(v, vsplat(x, 0)), g, g * vsplat(x, settings[0]))


@inline
def _logsigmoid(x, v, settings):
    return _minus(x, vsoftplus(x, _minus(x, v)))


@inline
def _logsigmoid_gradient(x, g, v, settings):
    return g * vsigmoid(x, _minus(x, v))


# Mish: x tanh(log(1 + e)), with e = e^x, is x w / (w + 2) with w = e (e + 2). From MISH_LINEAR on it is x.

MISH_LINEAR = 20.0


@inline
def _mish_power(x, v):
    e = vexp(x, vselect(vless(vsplat(x, MISH_LINEAR), v), vsplat(x, MISH_LINEAR), v))
    return e, e * (e + vsplat(x, 2))


@inline
def _mish(x, v, settings):
    _, w = _mish_power(x, v)
    return vselect(vless(vsplat(x, MISH_LINEAR), v), v, v * (w / (w + vsplat(x, 2))))


@inline
def _mish_gradient(x, g, v, settings):
    # t = w / (w + 2), t' = 2 w' / (w + 2)^2, w' = 2 e (e + 1)
    e, w = _mish_power(x, v)
    share = vsplat(x, 1) / (w + vsplat(x, 2))
    slope = vsplat(x, 4) * e * (e + vsplat(x, 1)) * share * share
    below = g * vfma(v, slope, w * share)
    return vselect(vless(vsplat(x, MISH_LINEAR), v), g, below)


@inline
def _silu(x, v, settings):
    return v * vsigmoid(x, v)


@inline
def _silu_gradient(x, g, v, settings):
    s, slope = _logistic(x, v)
    return g * vfma(v, slope, s)


@inline
def _softplus(x, v, settings):
    beta, threshold = settings
    inner = v * vsplat(x, beta)
    return vselect(vgreater(inner, vsplat(x, threshold)), v, vsoftplus(x, inner) * vsplat(x, 1 / beta))


@inline
def _softplus_gradient(x, g, v, settings):
    beta, threshold = settings
    inner = v * vsplat(x, beta)
    return vselect(vgreater(inner, vsplat(x, threshold)), g, g * vsigmoid(x, inner))


elu = elementwise("elu", _elu, _elu_gradient)
gelu = elementwise("gelu", _gelu, _gelu_gradient)
gelu_tanh = elementwise("gelu_tanh", _gelu_tanh, _gelu_tanh_gradient)
hardsigmoid = elementwise("hardsigmoid", _hardsigmoid, _hardsigmoid_gradient)
hardswish = elementwise("hardswish", _hardswish, _hardswish_gradient)
hardtanh = elementwise("hardtanh", _hardtanh, _hardtanh_gradient)
leaky_relu = elementwise("leaky_relu", _leaky_relu, _leaky_relu_gradient)
logsigmoid = elementwise("logsigmoid", _logsigmoid, _logsigmoid_gradient)
mish = elementwise("mish", _mish, _mish_gradient)
silu = elementwise("silu", _silu, _silu_gradient)
softplus = elementwise("softplus", _softplus, _softplus_gradient)

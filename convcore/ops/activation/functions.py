"""Activations other than ReLU, sigmoid and tanh: each is y = f(x), elementwise.

Each is a `Compiled` function: two kernels (`kernels.cpu.activation.functions`), and the gradient once more in tensor
operations. Sources: Maas et al. 2013 (leaky ReLU), Clevert et al. 2015 (ELU), Hendrycks & Gimpel 2016 (GELU), Klambauer
et al. 2017 (SELU), Barron 2017 (CELU), Ramachandran et al. 2017 (SiLU as swish), Howard et al. 2019 (hard sigmoid and
hard swish), Misra 2019 (Mish).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcore.autograd import Variable, is_grad_enabled
from convcore.errors import DTypeError
from convcore.ops.core.arguments import meta
from convcore.ops.core.dtypes import require_floating
from convcore.ops.core.fusion import pending
from convcore.ops.elementwise.functions import Compiled, clamp, erf, exp, sigmoid, tanh, where
from convcore.ops.elementwise.in_place import change
from kernels.cpu.activation import functions as kernels

if TYPE_CHECKING:
    from convcore.tensor import Tensor

# A layer of many independent inputs preserves mean 0 and variance 1 with these (Klambauer et al. 2017, equation 14).
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


class Elu(Compiled):
    """y = scale * x above 0, scale * alpha * (e^(inner * x) - 1) below: ELU, SELU and CELU"""

    kernels = kernels.elu

    @staticmethod
    def gradient(grad_out, saved, alpha, scale, inner):
        below = exp(clamp(saved, max=0) * inner) * (alpha * scale * inner)
        return where(saved > 0, grad_out * scale, grad_out * below)


class Gelu(Compiled):
    """y = x * Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2; y' = Phi(x) + x * exp(-x^2 / 2) / sqrt(2 pi)"""

    kernels = kernels.gelu

    @staticmethod
    def gradient(grad_out, saved):
        distribution = erf(saved * kernels.ROOT_HALF) * 0.5 + 0.5
        return grad_out * (distribution + saved * exp(saved * saved * -0.5) * kernels.ONE_OVER_ROOT_TWO_PI)


class GeluTanh(Compiled):
    """y = x * s, s = (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) * (x + 0.044715 x^3)"""

    kernels = kernels.gelu_tanh

    @staticmethod
    def gradient(grad_out, saved):
        cubic = saved * saved * kernels.GELU_CUBIC
        s = sigmoid(saved * (cubic + 1) * kernels.TWICE_ROOT_TWO_OVER_PI)
        slope = (cubic * 3 + 1) * kernels.TWICE_ROOT_TWO_OVER_PI
        return grad_out * (s + saved * slope * (s * (1 - s)))


class Hardsigmoid(Compiled):
    """y = min(max(x + 3, 0), 6) / 6"""

    kernels = kernels.hardsigmoid

    @staticmethod
    def gradient(grad_out, saved):
        return where(saved.detach().abs() < 3, grad_out / 6, 0.0)


class Hardswish(Compiled):
    """y = x * min(max(x + 3, 0), 6) / 6"""

    kernels = kernels.hardswish

    @staticmethod
    def gradient(grad_out, saved):
        inside = where(saved >= 3, grad_out, grad_out * (saved / 3 + 0.5))
        return where(saved <= -3, 0.0, inside)


class Hardtanh(Compiled):
    """y = min(max(x, low), high)"""

    kernels = kernels.hardtanh

    @staticmethod
    def gradient(grad_out, saved, low, high):
        return where((saved <= low) | (saved >= high), 0.0, grad_out)


class LeakyRelu(Compiled):
    """y = x above 0, slope * x below"""

    kernels = kernels.leaky_relu

    @staticmethod
    def gradient(grad_out, saved, slope):
        return where(saved > 0, grad_out, grad_out * slope)


class Logsigmoid(Compiled):
    """y = log(1 / (1 + e^-x)) = -softplus(-x)"""

    kernels = kernels.logsigmoid

    @staticmethod
    def gradient(grad_out, saved):
        return grad_out * sigmoid(-saved)


class Mish(Compiled):
    """y = x * tanh(softplus(x))"""

    kernels = kernels.mish

    @staticmethod
    def gradient(grad_out, saved):
        t = tanh(softplus(saved))
        return grad_out * (t + saved * (1 - t * t) * sigmoid(saved))


class Silu(Compiled):
    """y = x * sigmoid(x)"""

    kernels = kernels.silu

    @staticmethod
    def gradient(grad_out, saved):
        s = sigmoid(saved)
        return grad_out * (s + saved * (s * (1 - s)))


class Softplus(Compiled):
    """y = log(1 + e^(beta x)) / beta, and x where beta * x exceeds the threshold"""

    kernels = kernels.softplus

    @staticmethod
    def gradient(grad_out, saved, beta, threshold):
        inner = saved * beta
        return where(inner > threshold, grad_out, grad_out * sigmoid(inner))


def _apply(function: type[Compiled], op: str, x: Tensor, inplace: bool, *settings: float) -> Any:
    require_floating(op, x)
    scalars = tuple([float(number) for number in settings])
    if not inplace:
        return function.apply(x, *scalars)
    waiting = pending(x)
    if waiting is not None and waiting.activate_in_place(function.kernels, scalars):
        return x

    def compute(x: Tensor) -> Tensor:
        # Backward needs the old input, so a recorded change saves a copy of it.
        return function.apply(x.clone() if x.requires_grad and is_grad_enabled() else x, *scalars)

    return change(f"{op}_", x, compute)


def _limit(op: str, x: Tensor, inplace: bool, low: float, high: float) -> Any:
    """The elements clamped to [low, high]; for integers the limits are truncated to integers, as in torch."""
    if isinstance(x, Variable) and meta(x).dtype.kind in "iu":
        limits = int(low), int(high)
        return change(f"{op}_", x, clamp, *limits) if inplace else clamp(x, *limits)
    return _apply(Hardtanh, op, x, inplace, low, high)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)) of each element

    Raises:
        DTypeError: input is not float32 or float64, or alpha is 0.
    """
    if alpha == 0:
        raise DTypeError("celu: alpha must not be 0, for x is divided by it")
    return _apply(Elu, "celu", input, inplace, alpha, 1.0, 1 / alpha)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above 0 and alpha * (exp(x) - 1) below, of each element

    Raises:
        DTypeError: input is not float32 or float64.
    """
    return _apply(Elu, "elu", input, inplace, alpha, 1.0, 1.0)


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """x times the probability that a standard normal variable is below x, of each element

    Args:
        input: float32 or float64, any shape.
        approximate: "none", or "tanh" for 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))).

    Raises:
        DTypeError: input is not float32 or float64, or approximate is something else.
    """
    if approximate not in ("none", "tanh"):
        raise DTypeError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return _apply(Gelu if approximate == "none" else GeluTanh, "gelu", input, False)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6 of each element

    Raises:
        DTypeError: input is not float32 or float64.
    """
    return _apply(Hardsigmoid, "hardsigmoid", input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * min(max(x + 3, 0), 6) / 6 of each element

    Raises:
        DTypeError: input is not float32 or float64.
    """
    return _apply(Hardswish, "hardswish", input, inplace)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Each element clamped to [min_val, max_val]; unlike in `clamp`, the gradient at the limits is 0

    Raises:
        DTypeError: input is a bool tensor, or min_val exceeds max_val.
    """
    if min_val > max_val:
        raise DTypeError(f"hardtanh: min_val must not exceed max_val, got {min_val} and {max_val}")
    return _limit("hardtanh", input, inplace, min_val, max_val)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x above 0 and negative_slope * x below, of each element

    Raises:
        DTypeError: input is not float32 or float64.
    """
    return _apply(LeakyRelu, "leaky_relu", input, inplace, negative_slope)


def logsigmoid(input: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))) of each element, without overflow

    Raises:
        DTypeError: input is not float32 or float64.
    """
    return _apply(Logsigmoid, "logsigmoid", input, False)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(log(1 + exp(x))) of each element

    Raises:
        DTypeError: input is not float32 or float64.
    """
    return _apply(Mish, "mish", input, inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6) of each element

    Raises:
        DTypeError: input is a bool tensor.
    """
    return _limit("relu6", input, inplace, 0.0, 6.0)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """`elu` with alpha = 1.673.., times 1.050..: preserves mean 0 and variance 1 through the layers of a network

    Raises:
        DTypeError: input is not float32 or float64.
    """
    return _apply(Elu, "selu", input, inplace, SELU_ALPHA, SELU_SCALE, 1.0)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x / (1 + exp(-x)) of each element, also called swish

    Raises:
        DTypeError: input is not float32 or float64.
    """
    return _apply(Silu, "silu", input, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta of each element, and x where beta * x exceeds the threshold

    Raises:
        DTypeError: input is not float32 or float64, or beta is 0.
    """
    if beta == 0:
        raise DTypeError("softplus: beta must not be 0, for the logarithm is divided by it")
    return _apply(Softplus, "softplus", input, False, beta, threshold)

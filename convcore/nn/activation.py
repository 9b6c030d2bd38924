"""Activation layers: elementwise functions, and softmax and GLU, which work along an axis."""

from __future__ import annotations

from typing import Any

from convcore.errors import ShapeError
from convcore.nn.base.module import Module
from convcore.nn.init import constant_
from convcore.nn.parameter import empty_parameter
from convcore.ops.activation.composed import (
    glu,
    hardshrink,
    prelu,
    rrelu,
    softmin,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from convcore.ops.activation.functions import (
    celu,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    relu6,
    selu,
    silu,
    softplus,
)
from convcore.ops.activation.softmax import log_softmax, softmax
from convcore.ops.elementwise.functions import relu, relu_, sigmoid, tanh
from convcore.tensor import Tensor


class _Settings(Module):
    """An activation with settings. `shown` names the attributes in the repr, which mentions `inplace` only if True."""

    shown: tuple[str, ...] = ()

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        parts = [f"{name}={getattr(self, name)!r}" for name in self.shown]
        return ", ".join([*parts, "inplace=True"] if self.inplace else parts)


class ReLU(_Settings):
    """max(0, x). Without a nonlinearity between them, two linear layers would equal one.

    Args:
        inplace: write the result into x.
    """

    def forward(self, input: Tensor) -> Tensor:
        return relu_(input) if self.inplace else relu(input)


class ReLU6(_Settings):
    """min(max(0, x), 6).

    Args:
        inplace: write the result into x.
    """

    def forward(self, input: Tensor) -> Tensor:
        return relu6(input, self.inplace)


class Hardtanh(_Settings):
    """x limited to [min_val, max_val].

    Args:
        min_val: the lower limit.
        max_val: the upper limit.
        inplace: write the result into x.
        min_value, max_value: older names of min_val and max_val.
    """

    shown = ("min_val", "max_val")

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ):
        super().__init__(inplace)
        min_val = min_val if min_value is None else min_value
        max_val = max_val if max_value is None else max_value
        if not min_val < max_val:
            raise ShapeError(f"Hardtanh: min_val must be below max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, input: Tensor) -> Tensor:
        return hardtanh(input, self.min_val, self.max_val, self.inplace)


class LeakyReLU(_Settings):
    """x above 0, negative_slope * x below, so that every unit has a gradient.

    Args:
        negative_slope: the factor below 0.
        inplace: write the result into x.
    """

    shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return leaky_relu(input, self.negative_slope, self.inplace)


class ELU(_Settings):
    """x above 0, alpha * (exp(x) - 1) below.

    Args:
        alpha: minus the limit far below 0.
        inplace: write the result into x.
    """

    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return elu(input, self.alpha, self.inplace)


class CELU(_Settings):
    """x above 0, alpha * (exp(x / alpha) - 1) below: smooth for every alpha.

    Args:
        alpha: minus the limit far below 0; not 0.
        inplace: write the result into x.
    """

    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return celu(input, self.alpha, self.inplace)


class SELU(_Settings):
    """ELU whose alpha and scale keep mean 0 and variance 1.

    Args:
        inplace: write the result into x.
    """

    def forward(self, input: Tensor) -> Tensor:
        return selu(input, self.inplace)


class GELU(_Settings):
    """x times the probability that a standard normal variable is below x.

    Args:
        approximate: "none", or "tanh" for the approximation by a hyperbolic tangent.
    """

    shown = ("approximate",)

    def __init__(self, approximate: str = "none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return gelu(input, approximate=self.approximate)


class SiLU(_Settings):
    """x / (1 + exp(-x)), also called swish.

    Args:
        inplace: write the result into x.
    """

    def forward(self, input: Tensor) -> Tensor:
        return silu(input, self.inplace)


class Mish(_Settings):
    """x * tanh(log(1 + exp(x))).

    Args:
        inplace: write the result into x.
    """

    def forward(self, input: Tensor) -> Tensor:
        return mish(input, self.inplace)


class Hardswish(_Settings):
    """x * min(max(x + 3, 0), 6) / 6: SiLU without an exponential function.

    Args:
        inplace: write the result into x.
    """

    def forward(self, input: Tensor) -> Tensor:
        return hardswish(input, self.inplace)


class Hardsigmoid(_Settings):
    """min(max(x + 3, 0), 6) / 6.

    Args:
        inplace: write the result into x.
    """

    def forward(self, input: Tensor) -> Tensor:
        return hardsigmoid(input, self.inplace)


class Threshold(_Settings):
    """x where x > threshold, else `value`.

    Args:
        threshold: larger elements pass unchanged.
        value: replaces all other elements.
        inplace: write the result into x.
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False):
        super().__init__(inplace)
        self.threshold, self.value = threshold, value

    def forward(self, input: Tensor) -> Tensor:
        return threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


class Hardshrink(Module):
    """0 for x in [-lambd, lambd], else x."""

    def __init__(self, lambd: float = 0.5):
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Softshrink(Hardshrink):
    """x moved towards 0 by `lambd`; 0 for x in [-lambd, lambd]."""

    def forward(self, input: Tensor) -> Tensor:
        return softshrink(input, self.lambd)


class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, input: Tensor) -> Tensor:
        return tanhshrink(input)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        return softsign(input)


class PReLU(Module):
    """x where x > 0, else weight * x, with learned slopes.

    Args:
        num_parameters: one slope for all channels (1), or one for each.
        init: the initial slopes.
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.

    Attributes:
        weight: (num_parameters,).
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None):
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = empty_parameter("PReLU", (num_parameters,), dtype, device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to `init`."""
        constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(_Settings):
    """Leaky ReLU with slopes drawn from [lower, upper] in training; evaluation uses (lower + upper) / 2.

    Args:
        lower, upper: the range of slopes.
        inplace: write the result into x.
    """

    shown = ("lower", "upper")

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False):
        super().__init__(inplace)
        self.lower, self.upper = lower, upper

    def forward(self, input: Tensor) -> Tensor:
        return rrelu(input, self.lower, self.upper, self.training, self.inplace)


class Softplus(_Settings):
    """log(1 + exp(beta * x)) / beta: ReLU without its corner.

    Args:
        beta: how sharp the corner is; not 0.
        threshold: the result is x where beta * x > threshold.
    """

    shown = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return softplus(input, self.beta, self.threshold)


class LogSigmoid(Module):
    """log(1 / (1 + exp(-x))), without overflow."""

    def forward(self, input: Tensor) -> Tensor:
        return logsigmoid(input)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), from 0 to 1."""

    def forward(self, input: Tensor) -> Tensor:
        return sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent, from -1 to 1."""

    def forward(self, input: Tensor) -> Tensor:
        return tanh(input)


class _AlongAxis(Module):
    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim: Any = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class GLU(_AlongAxis):
    """The first half along axis `dim` times the sigmoid of the second half."""

    def __init__(self, dim: int = -1):
        super().__init__(dim)

    def forward(self, input: Tensor) -> Tensor:
        return glu(input, self.dim)


class Softmin(_AlongAxis):
    """Softmax of -x along axis `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        return softmin(input, self.dim)


class Softmax(_AlongAxis):
    """Convert logits to probabilities: exp(x) divided by the sum of exp(x) along axis `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        return softmax(input, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of images (N, C, H, W) or (C, H, W), at every position."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: input must be (N, C, H, W) or (C, H, W), got shape {tuple(input.shape)}")
        return softmax(input, -3)


class LogSoftmax(_AlongAxis):
    """The logarithm of Softmax, computed without overflow."""

    def forward(self, input: Tensor) -> Tensor:
        return log_softmax(input, self.dim)

"""Initial weights: each function fills a tensor in place, from `convcore.random` or a given generator.

The usual choices keep the variance of signals the same from layer to layer, forwards (fan_in) or backwards (fan_out).
An output is a sum of fan_in products, so with weights of variance 1 / fan_in it varies as much as the inputs do;
`gain` makes up for what the nonlinearity takes away (ReLU half of it, so sqrt(2)).

Sources: X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010),
equation 16 (xavier); K. He et al., "Delving Deep into Rectifiers" (2015), equations 10 and 14 (kaiming).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from convcore.autograd import no_grad
from convcore.errors import ShapeError, UnsupportedError
from convcore.random import Generator, numpy_generator
from convcore.tensor import Tensor


def _fill(name: str, tensor: Tensor, draw: Callable[[], np.ndarray | float]) -> Tensor:
    """Write numbers into a tensor, outside of the graph. They are drawn in float64: float32 only rounds them."""
    with no_grad():
        tensor.begin_in_place(name)
        tensor.array[...] = draw()
        tensor.mark_changed()
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Numbers from a to b, all as likely."""
    return _fill("uniform_", tensor, lambda: numpy_generator("uniform_", generator).uniform(a, b, tensor.array.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Numbers of the normal distribution."""
    return _fill("normal_", tensor, lambda: numpy_generator("normal_", generator).normal(mean, std, tensor.array.shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Numbers of the normal distribution that lie from a to b, the others drawn anew."""
    low, high = ndtr((a - mean) / std), ndtr((b - mean) / std)

    def draw() -> np.ndarray:  # the inverse of the distribution function, of numbers uniform over its values in [a, b]
        quantiles = numpy_generator("trunc_normal_", generator).uniform(low, high, tensor.array.shape)
        return np.clip(mean + std * ndtri(quantiles), a, b)

    return _fill("trunc_normal_", tensor, draw)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same number everywhere."""
    return _fill("constant_", tensor, lambda: val)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform with variance gain^2 * 2 / (fan_in + fan_out)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = gain * math.sqrt(6 / (fan_in + fan_out))  # uniform in +-b has variance b^2 / 3
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with variance gain^2 * 2 / (fan_in + fan_out)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2 / (fan_in + fan_out)), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform with variance gain^2 / fan.

    Args:
        a: slope of the leaky ReLU for negative numbers, of which the gain is computed.
        mode: "fan_in" keeps the variance forwards, "fan_out" backwards.
        nonlinearity: what follows the layer; see `calculate_gain`.
    """
    if tensor.array.size == 0:
        return tensor
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with variance gain^2 / fan; the arguments are those of `kaiming_uniform_`."""
    if tensor.array.size == 0:
        return tensor
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


def layer_default_(weight: Tensor, bias: Tensor | None) -> None:
    """What Conv2d and Linear begin with: weight and bias uniform in +-1 / sqrt(fan_in).

    That is torch's default: kaiming_uniform_ with a = sqrt(5) has the gain sqrt(1 / 3), hence this bound.
    """
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = _calculate_fan_in_and_fan_out(weight)
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        uniform_(bias, -bound, bound)


_GAINS = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much weights must be larger to make up for a nonlinearity.

    Args:
        nonlinearity: "linear", "conv2d", "sigmoid", "tanh", "relu", "selu" or "leaky_relu".
        param: for "leaky_relu" its slope for negative numbers, by default 0.01.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: param must be a number, the negative slope, got {slope!r}")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise UnsupportedError(
            f"calculate_gain: nonlinearity must be one of {', '.join([*_GAINS, 'leaky_relu'])}, got {nonlinearity!r}"
        )
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs one output sums up, and to how many outputs one input goes.

    A weight is (C_out, C_in) or (C_out, C_in / groups, K_h, K_w): each filter position counts.
    """
    shape = tensor.array.shape
    if len(shape) < 2:
        raise ShapeError(
            f"init: fan in and fan out need a weight of at least 2 axes (C_out, C_in, ...), got shape {shape}; "
            "for a bias use uniform_ or zeros_"
        )
    positions = math.prod(shape[2:])
    return shape[1] * positions, shape[0] * positions


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode.lower() == "fan_in" else fan_out)

"""Activations composed of other operations: gates, shrink functions, learnt or random slopes.

Sources: Dauphin et al. 2017 (GLU), He et al. 2015 (PReLU), Xu et al. 2015 (RReLU), Jang et al. 2017 (Gumbel-softmax).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.activation.functions import leaky_relu
from convcore.ops.activation.softmax import softmax
from convcore.ops.core.axes import axis
from convcore.ops.core.dtypes import as_tensors, require_floating
from convcore.ops.elementwise.functions import abs, sigmoid, tanh, where
from convcore.ops.elementwise.in_place import change
from convcore.ops.rearrange.scatter import scatter
from convcore.ops.shape.joining import chunk
from convcore.random import numpy_generator

if TYPE_CHECKING:
    from convcore.random import Generator
    from convcore.tensor import Tensor


def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """`softmax` of -input: the smallest element along an axis gets the largest value."""
    return softmax(-input, dim, dtype=dtype)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|) of each element"""
    return input / (abs(input) + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x) of each element"""
    return input - tanh(input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 for each element in [-lambd, lambd], else the element; NaN stays NaN

    Raises:
        DTypeError: input is not float32 or float64.
    """
    require_floating("hardshrink", input)
    return where((input > lambd) | (input < -lambd), input, input.detach() * 0.0)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Each element moved towards 0 by `lambd`, and 0 for elements in [-lambd, lambd]; NaN stays NaN

    Raises:
        DTypeError: input is not float32 or float64.
        ValueError: lambd is negative.
    """
    require_floating("softshrink", input)
    if not lambd >= 0:
        raise ShapeError(f"softshrink: lambd must be at least 0, got {lambd}")
    moved = where(input > 0, input - lambd, input + lambd)
    return where((input > lambd) | (input < -lambd), moved, input.detach() * 0.0)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Each element above the threshold, and `value` in place of the others; NaN stays NaN"""

    def compute(x: Tensor) -> Tensor:
        return where(x <= threshold, *as_tensors("threshold", value, x, dtype=x.array.dtype))

    return change("threshold_", input, compute) if inplace else compute(input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of axis `dim` times the sigmoid of the second: (.., 2 N, ..) becomes (.., N, ..).

    Raises:
        ShapeError: there is no such axis, or its length is odd.
        DTypeError: input is not float32 or float64.
    """
    require_floating("glu", input)
    if input.ndim == 0:
        raise ShapeError("glu: needs at least one axis; the input has none")
    dim = axis("glu", dim, input.ndim)
    if input.shape[dim] % 2:
        raise ShapeError(f"glu: Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    values, gates = chunk(input, 2, dim)
    return values * sigmoid(gates)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x for positive x, else weight * x; input (N, C, ...), weight (C,), or (1,) for all channels.

    Raises:
        ShapeError: the weight has another number of elements.
        DTypeError: dtypes differ or are not float32 or float64.
    """
    require_floating("prelu", input)
    require_floating("prelu", weight, "weight")
    if input.dtype != weight.dtype:
        raise DTypeError(f"prelu: input is {input.dtype}, weight {weight.dtype}; convert one of them")
    if weight.ndim > 1:
        raise ShapeError(f"prelu: weight must have one axis or none, got shape {tuple(weight.shape)}")
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.numel() not in (1, channels):
        raise ShapeError(f"prelu: weight must have 1 or {channels} elements, one a channel; got {weight.numel()}")
    if weight.numel() != 1:
        weight = weight.reshape(-1, *[1] * (input.ndim - 2))
    elif weight.ndim > input.ndim:
        weight = weight.reshape(())
    return where(input > 0, input, weight * input)


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Leaky ReLU with slopes drawn uniformly from [lower, upper] in training, and their mean in evaluation.

    Raises:
        DTypeError: input is not float32 or float64.
        ShapeError: lower exceeds upper.
    """
    require_floating("rrelu", input)
    if not lower <= upper:
        raise ShapeError(f"rrelu: lower must not exceed upper, got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    drawn = numpy_generator("rrelu", None).uniform(lower, upper, input.array.shape)
    slopes = wrap(np.asarray(drawn, input.array.dtype))

    def compute(x: Tensor) -> Tensor:
        return where(x <= 0, x * slopes, x)

    return change("rrelu_", input, compute) if inplace else compute(input)


def gumbel_softmax(
    logits: Tensor,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """A differentiable sample from the classes along axis `dim`: softmax((logits + noise) / tau).

    Args:
        logits: unnormalised log-probabilities, float32 or float64.
        tau: the temperature, above 0; smaller values approach a one-hot sample.
        hard: return the most probable class as a one-hot vector, with the gradient of the soft result.
        eps: without effect, deprecated in torch; a value other than the default gives a warning.
        dim: the axis of the classes.
        generator: the source of the noise; the default generator if None.

    Raises:
        DTypeError: logits are not float32 or float64.
        ValueError: tau is not above 0.
    """
    require_floating("gumbel_softmax", logits, "logits")
    if not tau > 0:
        raise ShapeError(f"gumbel_softmax: tau must be above 0, got {tau}")
    if eps != 1e-10:
        warnings.warn("gumbel_softmax: `eps` is deprecated and has no effect", UserWarning, stacklevel=2)
    noise = numpy_generator("gumbel_softmax", generator).gumbel(size=logits.array.shape)
    soft = softmax((logits + wrap(np.asarray(noise, logits.array.dtype))) / tau, dim)
    if not hard:
        return soft
    largest = soft.detach().argmax(dim, keepdim=True)
    one_hot = scatter(soft.detach() * 0.0, dim, largest, 1.0)
    return one_hot - soft.detach() + soft

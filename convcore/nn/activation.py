"""Activation layers: the same function of every element, except softmax, which compares the elements of an axis."""

from __future__ import annotations

from convcore.nn import functional as F
from convcore.nn.module import Module
from convcore.tensor import Tensor


class ReLU(Module):
    """max(0, x): without a nonlinearity between them, two layers would be no more than one.

    Args:
        inplace: write the result into x.
    """

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """1 / (1 + exp(-x)), from 0 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent, from -1 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)


class _AlongAxis(Module):
    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """Turn numbers into probabilities: exp(x) divided by its sum along axis `dim`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, self.dim)


class LogSoftmax(_AlongAxis):
    """The logarithm of Softmax, computed without overflow."""

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, self.dim)

"""Dropout layers. In evaluation mode they return their input."""

from __future__ import annotations

from convcore.nn.base.module import Module
from convcore.ops.activation.channel_dropout import (
    alpha_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from convcore.ops.activation.dropout import check_probability, dropout
from convcore.tensor import Tensor


class _Dropout(Module):
    """The settings of all dropout layers: a probability, and whether they work in place."""

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        check_probability(type(self).__name__, p)
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, zero each element with probability p and scale the others by 1 / (1 - p).

    This reduces overfitting: no unit can rely on one other unit alone. In evaluation the layer returns its input.

    Args:
        p: the probability, 0 to 1.
        inplace: write the result into the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Dropout of whole channels of sequences (N, C, L) or (C, L)."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Dropout of whole channels of images (N, C, H, W): neighbouring pixels are too similar to be dropped alone."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Dropout of whole channels of volumes (N, C, D, H, W) or (C, D, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout for networks with SELU: keeps mean and variance."""

    def forward(self, input: Tensor) -> Tensor:
        return alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels (N, C, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        return feature_alpha_dropout(input, self.p, self.training)

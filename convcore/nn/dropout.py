"""Dropout as a layer."""

from __future__ import annotations

from convcore.errors import ShapeError
from convcore.nn import functional as F
from convcore.nn.module import Module
from convcore.tensor import Tensor


class Dropout(Module):
    """In training, zero each element with probability p and scale the others by 1 / (1 - p); else change nothing.

    No unit can then rely on one other unit alone, which works against overfitting.

    Args:
        p: the probability, 0 to 1.
        inplace: write the result into x.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ShapeError(f"Dropout: p is a probability and must lie from 0 to 1, got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"

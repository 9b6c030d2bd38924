"""Between images and vectors."""

from __future__ import annotations

from convcore.nn.module import Module
from convcore.tensor import Tensor


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim` into one; by default (N, C, H, W) becomes (N, C * H * W).

    The elements come in torch's order, channel by channel, whatever the order in memory.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"

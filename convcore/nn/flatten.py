"""Layers that convert between images and vectors."""

from __future__ import annotations

from collections.abc import Sequence

from convcore.errors import UnsupportedError
from convcore.nn.base.module import Module
from convcore.ops.core.arguments import integer
from convcore.ops.core.axes import axis
from convcore.tensor import Tensor


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim` into one; by default (N, C, H, W) becomes (N, C * H * W).

    The elements are in torch's order, channel by channel, whatever the memory format.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split axis `dim` into axes of the sizes `unflattened_size`; one of them may be -1 and is then inferred."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]):
        super().__init__()
        if isinstance(dim, str):
            raise UnsupportedError(f"Unflatten: axes have no names here; give the number of axis {dim!r}")
        self.dim = dim
        self.unflattened_size = tuple([integer("Unflatten", "unflattened_size", size, -1) for size in unflattened_size])

    def forward(self, input: Tensor) -> Tensor:
        place = axis("Unflatten", self.dim, input.ndim)
        return input.reshape(*input.shape[:place], *self.unflattened_size, *input.shape[place + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"

"""Ready-made parametrizations: weight norm and spectral norm.

The equations are in `convcore.ops.norm.reparametrisation`.
"""

from __future__ import annotations

from typing import Any

from convcore.nn.base.module import Module
from convcore.nn.utils.parametrize import register_parametrization
from convcore.ops.create.sampling import randn
from convcore.ops.norm import reparametrisation as ops
from convcore.ops.reduce.distance import normalize
from convcore.tensor import Tensor


class _WeightNorm(Module):
    """(g, v) -> g * v / ||v||"""

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return ops.weight_norm(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The lengths and directions of a weight."""
        return ops.norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let a layer learn the lengths and the directions of its filters separately.

    Args:
        module: the layer; it is changed, and returned.
        name: which parameter. Its lengths become `parametrizations.<name>.original0`, its directions `original1`.
        dim: the axis whose slices have a length each; None is one length for the whole weight.
    """
    return register_parametrization(module, name, _WeightNorm(-1 if dim is None else dim), unsafe=True)


def start_vectors(weight: Tensor, dim: int, eps: float) -> tuple[Tensor, Tensor]:
    """Random vectors of length 1, the start of the power method."""
    rows, columns = ops.as_matrix(weight.detach(), dim).array.shape
    u, v = (normalize(randn(n, dtype=weight.dtype), dim=0, eps=eps) for n in (rows, columns))
    return u, v


class _SpectralNorm(Module):
    """w -> w / sigma(w), the largest singular value; a 1-D weight is divided by its length."""

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float):
        super().__init__()
        self.dim, self.eps, self.n_power_iterations = dim, eps, n_power_iterations
        if weight.ndim > 1:
            u, v = start_vectors(weight, dim, eps)
            ops.power_iterations(ops.as_matrix(weight.detach(), dim).T, v, u, 15, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        if self.training:
            transposed = ops.as_matrix(weight.detach(), self.dim).T  # so that u moves first, as in torch
            ops.power_iterations(transposed, self._v, self._u, self.n_power_iterations, self.eps)
        return ops.spectral_norm(weight, self._u, self._v, self.dim)

    def right_inverse(self, value: Tensor) -> Tensor:
        """The weight itself: one whose largest singular value is 1 is its own original."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a layer's weight by its largest singular value, so that the layer stretches no input.

    Args:
        module: the layer; it is changed, and returned.
        name: which parameter. It is kept as `parametrizations.<name>.original`.
        n_power_iterations: steps of the power method each time the weight is read in training.
        eps: the smallest divisor of a vector in the power method.
        dim: the axis of the outputs; by default 0, and 1 for transposed convolutions.

    Raises:
        ShapeError: the weight has no axes, or is empty.
    """
    return register_parametrization(
        module, name, _SpectralNorm(getattr(module, name), n_power_iterations, output_axis(module, dim), eps)
    )


def output_axis(module: Any, dim: int | None) -> int:
    """The axis of a weight that enumerates the outputs."""
    return int(getattr(module, "transposed", False)) if dim is None else dim

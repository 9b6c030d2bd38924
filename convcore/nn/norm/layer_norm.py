"""Layer, RMS, group and local response norm as layers: no result depends on the rest of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convcore.errors import ShapeError
from convcore.nn import init
from convcore.nn.base.module import Module
from convcore.nn.parameter import empty_parameter
from convcore.ops.core.arguments import integer
from convcore.ops.norm.instance_norm import local_response_norm
from convcore.ops.norm.layer_norm import group_norm, layer_norm, rms_norm
from convcore.tensor import Tensor


class _Affine(Module):
    """A norm with an optional weight, initially 1, and an optional bias, initially 0."""

    def __init__(self, shape: tuple[int, ...], weight: bool, bias: bool | None, device: Any, dtype: Any):
        super().__init__()
        name = type(self).__name__
        self.register_parameter("weight", empty_parameter(name, shape, dtype, device) if weight else None)
        if bias is not None:
            self.register_parameter("bias", empty_parameter(name, shape, dtype, device) if weight and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the parameters: weight 1, bias 0."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                init.constant_(parameter, 1.0 if name == "weight" else 0.0)


def _sizes(layer: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    given = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    return tuple([integer(layer, "normalized_shape", size, 0) for size in given])


class LayerNorm(_Affine):
    """Normalise the last axes of every example to mean 0 and variance 1, then apply a learned scale and shift.

    Args:
        normalized_shape: the sizes of the last axes, one integer or several.
        eps: added to the variance.
        elementwise_affine: whether to learn weight and bias.
        bias: with `elementwise_affine`, whether there is a bias.
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.

    Attributes:
        weight, bias: of shape normalized_shape, initially 1 and 0, or None.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        sizes = _sizes("LayerNorm", normalized_shape)
        super().__init__(sizes, elementwise_affine, bias, device, dtype)
        self.normalized_shape = sizes
        self.eps = eps
        self.elementwise_affine = elementwise_affine

    def forward(self, input: Tensor) -> Tensor:
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """Scale the last axes of every example to mean square 1, then apply a learned scale.

    The arguments are those of LayerNorm; eps None is the machine epsilon of the dtype.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        sizes = _sizes("RMSNorm", normalized_shape)
        super().__init__(sizes, elementwise_affine, None, device, dtype)
        self.normalized_shape = sizes
        self.eps = eps
        self.elementwise_affine = elementwise_affine

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):
    """Normalise groups of channels of every image to mean 0 and variance 1, then scale and shift every channel.

    Args:
        num_groups: the number of groups, a divisor of num_channels.
        num_channels: C, the number of channels.
        eps: added to the variance.
        affine: whether to learn weight and bias, each (C,).
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.
        bias: with `affine`, whether there is a bias.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        groups, channels = (
            integer("GroupNorm", "num_groups", num_groups, 1), integer("GroupNorm", "num_channels", num_channels, 1)
        )  # fmt: skip
        if channels % groups:
            raise ShapeError(f"GroupNorm: num_channels = {channels} must be divisible by num_groups = {groups}")
        super().__init__((channels,), affine, bias, device, dtype)
        self.num_groups = groups
        self.num_channels = channels
        self.eps = eps
        self.affine = affine

    def forward(self, input: Tensor) -> Tensor:
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Divide by (k + alpha * mean square of `size` neighbouring channels)^beta."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size = integer("LocalResponseNorm", "size", size, 1)
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"

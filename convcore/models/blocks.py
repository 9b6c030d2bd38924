"""Building blocks of several families, with the names and module trees of `torchvision.ops`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from convcore import nn
from convcore.errors import ShapeError, UnsupportedError
from convcore.nn import functional as F
from convcore.ops.create.creation import ones
from convcore.tensor import Tensor

Layer = Callable[..., nn.Module]


def make_divisible(channels: float, divisor: int = 8, least: int | None = None) -> int:
    """The nearest multiple of `divisor`, at most 10 % below `channels`. Such sizes suit vector units."""
    rounded = max(divisor if least is None else least, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class Conv2dNormActivation(nn.Sequential):
    """Convolution, norm, activation.

    Args:
        in_channels, out_channels, kernel_size, stride, groups, dilation: as for Conv2d.
        padding: by default the padding that keeps the size at stride 1.
        norm_layer: called with `out_channels`; None omits the norm.
        activation_layer: called without arguments; None omits the activation.
        bias: by default only if no norm follows, because a norm would subtract the bias again.
        conv_layer: the class of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: int = 1,
        bias: bool | None = None,
        conv_layer: Layer = nn.Conv2d,
    ):
        if padding is None:
            padding = (kernel_size - 1) // 2 * dilation
        if bias is None:
            bias = norm_layer is None
        layers = [conv_layer(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer())
        super().__init__(*layers)
        self.out_channels = out_channels


class SqueezeExcitation(nn.Module):
    """Scale every channel by a factor that two small layers compute from the means of all channels.

    J. Hu et al., "Squeeze-and-Excitation Networks" (2018), figure 1 and equations 2 to 4:

        scale = scale_activation(fc2(activation(fc1(mean of x over height and width)))),    out = scale * x

    Args:
        input_channels: the channels of x.
        squeeze_channels: the channels between fc1 and fc2.
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Layer = nn.ReLU,
        scale_activation: Layer = nn.Sigmoid,
    ):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        scale = self.fc2(self.activation(self.fc1(self.avgpool(input))))
        return self.scale_activation(scale) * input


class StochasticDepth(nn.Module):
    """In training, drop the result of a residual branch with probability p, and scale the others by 1 / (1 - p).

    G. Huang et al., "Deep Networks with Stochastic Depth" (2016), section 3.

    Args:
        p: the probability.
        mode: "row" decides for each image separately, "batch" for the whole batch.
    """

    def __init__(self, p: float, mode: str = "row"):
        super().__init__()
        if not 0 <= p <= 1:
            raise ShapeError(f"StochasticDepth: p must be from 0 to 1, got {p}")
        if mode not in ("row", "batch"):
            raise UnsupportedError(f"StochasticDepth: mode must be 'row' or 'batch', got {mode!r}")
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        images = input.shape[0] if self.mode == "row" else 1
        kept = ones(images, *(1,) * (input.ndim - 1), dtype=input.dtype)
        return input * F.dropout(kept, self.p)  # 0, or 1 / (1 - p)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of every position of an image."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape. The channels are already last in memory, so nothing is copied."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Permute(nn.Module):
    """Permute the axes."""

    def __init__(self, dims: Sequence[int]):
        super().__init__()
        self.dims = list(dims)

    def forward(self, input: Tensor) -> Tensor:
        return input.permute(*self.dims)


class MLP(nn.Sequential):
    """Linear layers, with an activation and dropout between them.

    Args:
        in_channels: the features of the input.
        hidden_channels: the features after each linear layer.
        activation_layer: called without arguments.
        dropout: the probability of dropout after each layer.
    """

    def __init__(
        self, in_channels: int, hidden_channels: Sequence[int], activation_layer: Layer = nn.ReLU, dropout: float = 0.0
    ):
        layers: list[nn.Module] = []
        for i, features in enumerate(hidden_channels):
            layers.append(nn.Linear(in_channels, features))
            if i < len(hidden_channels) - 1:
                layers.append(activation_layer())
            layers.append(nn.Dropout(dropout))
            in_channels = features
        super().__init__(*layers)


def initialise(model: nn.Module, conv: Callable[[Tensor], Any], linear: Callable[[Tensor], Any] | None = None) -> None:
    """Set the weights of all convolutions by `conv`, those of linear layers by `linear`, and their biases to 0.

    Without `linear`, linear layers keep their initial weights. Norms already start with weight 1 and bias 0.
    """
    for module in model.modules():
        fill = conv if isinstance(module, nn.Conv2d) else linear if isinstance(module, nn.Linear) else None
        if fill is not None:
            fill(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

"""MobileNet V1 and V2: depthwise separable convolutions, then inverted residuals.

V1: A. Howard et al., "MobileNets" (2017). A convolution with k x k filters from C to D channels costs k*k*C*D
multiplications per position. A depthwise convolution, which filters every channel separately, and a 1x1 convolution,
which mixes channels, together cost k*k*C + C*D: less by a factor 1/D + 1/k^2 (section 3.1), about a ninth for 3x3.

V2: M. Sandler et al., "MobileNetV2" (2018). A block widens a few channels, filters them depthwise, and projects back to
a few channels (figure 3b). No ReLU follows the projection: with few channels it would lose too much (section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convcore import nn
from convcore.models.blocks import Conv2dNormActivation, Layer, initialise, make_divisible
from convcore.models.registry import model
from convcore.nn import functional as F
from convcore.tensor import Tensor


def _initialise(network: nn.Module) -> None:
    initialise(
        network,
        lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out"),
        lambda weight: nn.init.normal_(weight, 0, 0.01),
    )


class DepthwiseSeparable(nn.Sequential):
    """A 3x3 filter for each channel, then a 1x1 convolution; each with batch norm and ReLU (figure 3, right)."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__(
            Conv2dNormActivation(c_in, c_in, 3, stride, groups=c_in), Conv2dNormActivation(c_in, c_out, kernel_size=1)
        )


class MobileNetV1(nn.Module):
    """Table 1: one full convolution, thirteen depthwise separable convolutions, a global average, one linear layer.

    Args:
        num_classes: the size of the output.
        width_mult: the width multiplier alpha of section 3.3, a factor on all channel counts.
        dropout: the probability of dropout before the linear layer.
    """

    # Output channels and stride of each depthwise separable convolution.
    SETTING = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))

    def __init__(self, num_classes: int = 1000, width_mult: float = 1.0, dropout: float = 0.001):
        super().__init__()
        c_in = make_divisible(32 * width_mult)
        features: list[nn.Module] = [Conv2dNormActivation(3, c_in, stride=2)]
        for channels, stride in self.SETTING:
            c_out = make_divisible(channels * width_mult)
            features.append(DepthwiseSeparable(c_in, c_out, stride))
            c_in = c_out
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(c_in, num_classes))
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class InvertedResidual(nn.Module):
    """1x1 to `expand_ratio` times the channels, 3x3 depthwise, 1x1 to few; a shortcut connects the narrow ends."""

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: Layer | None = None):
        super().__init__()
        norm_layer = nn.BatchNorm2d if norm_layer is None else norm_layer
        hidden = round(inp * expand_ratio)
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(Conv2dNormActivation(inp, hidden, 1, norm_layer=norm_layer, activation_layer=nn.ReLU6))
        depthwise = Conv2dNormActivation(
            hidden, hidden, stride=stride, groups=hidden, norm_layer=norm_layer, activation_layer=nn.ReLU6
        )
        self.conv = nn.Sequential(*layers, depthwise, nn.Conv2d(hidden, oup, 1, bias=False), norm_layer(oup))
        self.out_channels = oup

    def forward(self, x: Tensor) -> Tensor:
        """(N, inp, H, W) to (N, oup, H / stride, W / stride)."""
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """The network of table 2.

    Args:
        num_classes: the size of the output.
        width_mult: a factor on all channel counts.
        inverted_residual_setting: rows (expansion t, channels c, repetitions n, stride s of the first block).
        round_nearest: all channel counts are multiples of this.
        block, norm_layer: alternative building blocks.
        dropout: the probability of dropout before the linear layer.
    """

    SETTING = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        block: Layer | None = None,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
    ):
        super().__init__()
        block = InvertedResidual if block is None else block
        norm_layer = nn.BatchNorm2d if norm_layer is None else norm_layer
        c_in = make_divisible(32 * width_mult, round_nearest)
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        settings: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": nn.ReLU6}
        features: list[nn.Module] = [Conv2dNormActivation(3, c_in, stride=2, **settings)]
        for t, c, n, s in self.SETTING if inverted_residual_setting is None else inverted_residual_setting:
            c_out = make_divisible(c * width_mult, round_nearest)
            for i in range(n):
                features.append(block(c_in, c_out, s if i == 0 else 1, expand_ratio=t, norm_layer=norm_layer))
                c_in = c_out
        features.append(Conv2dNormActivation(c_in, self.last_channel, 1, **settings))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes))
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


@model
def mobilenet_v1(**kwargs: Any) -> MobileNetV1:
    """MobileNet V1; 4,231,976 parameters. torchvision lacks it; the module tree follows its other MobileNets."""
    return MobileNetV1(**kwargs)


@model
def mobilenet_v2(**kwargs: Any) -> MobileNetV2:
    """MobileNet V2; 3,504,872 parameters."""
    return MobileNetV2(**kwargs)

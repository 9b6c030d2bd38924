"""MobileNet V3: inverted residuals found by search, with squeeze-and-excitation and hard activations.

A. Howard et al., "Searching for MobileNetV3" (2019): tables 1 (large) and 2 (small). Hardswish and hardsigmoid replace
functions with exponentials (section 5.2). The last layers come after the global average, where they cost least
(section 5.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from convcore import nn
from convcore.models.blocks import Conv2dNormActivation, Layer, SqueezeExcitation, initialise, make_divisible
from convcore.models.registry import model
from convcore.tensor import Tensor


@dataclass
class InvertedResidualConfig:
    """A row of table 1 or 2, with channel counts scaled by `width_mult`."""

    input_channels: int
    kernel: int
    expanded_channels: int
    out_channels: int
    use_se: bool
    activation: str  # "RE" or "HS"
    stride: int
    dilation: int = 1
    width_mult: float = 1.0

    def __post_init__(self) -> None:
        for name in ("input_channels", "expanded_channels", "out_channels"):
            setattr(self, name, make_divisible(getattr(self, name) * self.width_mult))


class InvertedResidual(nn.Module):
    """1x1 to many channels, depthwise, squeeze-and-excitation, 1x1 to few; a shortcut connects the narrow ends."""

    def __init__(self, cnf: InvertedResidualConfig, norm_layer: Layer):
        super().__init__()
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        wide = cnf.expanded_channels
        settings: dict[str, Any] = {
            "norm_layer": norm_layer,
            "activation_layer": nn.Hardswish if cnf.activation == "HS" else nn.ReLU,
        }
        layers: list[nn.Module] = []
        if wide != cnf.input_channels:
            layers.append(Conv2dNormActivation(cnf.input_channels, wide, 1, **settings))
        stride = 1 if cnf.dilation > 1 else cnf.stride
        layers.append(
            Conv2dNormActivation(wide, wide, cnf.kernel, stride, groups=wide, dilation=cnf.dilation, **settings)
        )
        if cnf.use_se:
            squeezed = make_divisible(wide // 4)
            layers.append(SqueezeExcitation(wide, squeezed, scale_activation=nn.Hardsigmoid))
        layers.append(Conv2dNormActivation(wide, cnf.out_channels, 1, norm_layer=norm_layer, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels = cnf.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        return self.block(x) + x if self.use_res_connect else self.block(x)


class MobileNetV3(nn.Module):
    """A stem of 16 channels, the rows of a table, a 1x1 convolution, a global average, two linear layers.

    Args:
        inverted_residual_setting: the rows.
        last_channel: the features between the linear layers.
        num_classes: the size of the output.
        block, norm_layer: alternative building blocks.
        dropout: the probability of dropout before the last layer.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[InvertedResidualConfig],
        last_channel: int,
        num_classes: int = 1000,
        block: Layer | None = None,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
    ):
        super().__init__()
        block = InvertedResidual if block is None else block
        norm_layer = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01) if norm_layer is None else norm_layer
        settings: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": nn.Hardswish}
        c_last = inverted_residual_setting[-1].out_channels
        self.features = nn.Sequential(
            Conv2dNormActivation(3, inverted_residual_setting[0].input_channels, stride=2, **settings),
            *[block(cnf, norm_layer) for cnf in inverted_residual_setting],
            Conv2dNormActivation(c_last, 6 * c_last, 1, **settings),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * c_last, last_channel),
            nn.Hardswish(),
            nn.Dropout(dropout),
            nn.Linear(last_channel, num_classes),
        )
        initialise(
            self,
            lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out"),
            lambda weight: nn.init.normal_(weight, 0, 0.01),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


# channels in, kernel, expanded, channels out, squeeze-and-excitation, activation, stride
LARGE = (
    (16, 3, 16, 16, False, "RE", 1),
    (16, 3, 64, 24, False, "RE", 2),
    (24, 3, 72, 24, False, "RE", 1),
    (24, 5, 72, 40, True, "RE", 2),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 3, 240, 80, False, "HS", 2),
    (80, 3, 200, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 480, 112, True, "HS", 1),
    (112, 3, 672, 112, True, "HS", 1),
    (112, 5, 672, 160, True, "HS", 2),
    (160, 5, 960, 160, True, "HS", 1),
    (160, 5, 960, 160, True, "HS", 1),
)
SMALL = (
    (16, 3, 16, 16, True, "RE", 2),
    (16, 3, 72, 24, False, "RE", 2),
    (24, 3, 88, 24, False, "RE", 1),
    (24, 5, 96, 40, True, "HS", 2),
    (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 120, 48, True, "HS", 1),
    (48, 5, 144, 48, True, "HS", 1),
    (48, 5, 288, 96, True, "HS", 2),
    (96, 5, 576, 96, True, "HS", 1),
    (96, 5, 576, 96, True, "HS", 1),
)


def _mobilenet_v3(
    table: tuple[tuple[Any, ...], ...],
    last_channel: int,
    width_mult: float = 1.0,
    reduced_tail: bool = False,
    dilated: bool = False,
    **kwargs: Any,
) -> MobileNetV3:
    """`reduced_tail` halves the channels of the last stage; `dilated` keeps the size there and dilates instead."""
    divider = 2 if reduced_tail else 1
    rows = []
    for i, (c_in, kernel, wide, c_out, use_se, activation, stride) in enumerate(table, start=-len(table)):
        if i >= -3:  # the last stage
            c_out //= divider
        if i >= -2:
            c_in, wide = c_in // divider, wide // divider
        dilation = 2 if dilated and i >= -3 else 1
        rows.append(InvertedResidualConfig(c_in, kernel, wide, c_out, use_se, activation, stride, dilation, width_mult))
    return MobileNetV3(rows, make_divisible(last_channel // divider * width_mult), **kwargs)


@model
def mobilenet_v3_large(**kwargs: Any) -> MobileNetV3:
    """MobileNet V3 large; 5,483,032 parameters."""
    return _mobilenet_v3(LARGE, 1280, **kwargs)


@model
def mobilenet_v3_small(**kwargs: Any) -> MobileNetV3:
    """MobileNet V3 small; 2,542,856 parameters."""
    return _mobilenet_v3(SMALL, 1024, **kwargs)

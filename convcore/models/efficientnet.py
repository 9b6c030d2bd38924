"""EfficientNet: one small network, scaled in depth, width and resolution together; and its successor V2.

M. Tan and Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019). The base network
B0 (table 1) was found by search. Doubling the computation scales all three dimensions (section 3.3, eq. 3):

    depth = alpha^phi,  width = beta^phi,  resolution = gamma^phi,   alpha * beta^2 * gamma^2 ~ 2,

with alpha = 1.2, beta = 1.1, gamma = 1.15 found by a grid search on B0. B1 to B7 are phi = 0.5 to 7, rounded: SCALING.

V2: M. Tan and Q. Le, "EfficientNetV2: Smaller Models and Faster Training" (2021), table 4. In the first stages, with
large images and few channels, one full 3x3 convolution replaces the expansion and the depthwise convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from convcore import nn
from convcore.models.blocks import (
    Conv2dNormActivation,
    Layer,
    SqueezeExcitation,
    StochasticDepth,
    initialise,
    make_divisible,
)
from convcore.models.registry import model, model_for
from convcore.tensor import Tensor


class Scaling(NamedTuple):
    """Compound scaling: width and depth factors, image size, dropout before the last layer."""

    width: float
    depth: float
    size: int
    dropout: float


SCALING = {
    "efficientnet_b0": Scaling(1.0, 1.0, 224, 0.2),
    "efficientnet_b1": Scaling(1.0, 1.1, 240, 0.2),
    "efficientnet_b2": Scaling(1.1, 1.2, 288, 0.3),
    "efficientnet_b3": Scaling(1.2, 1.4, 300, 0.3),
    "efficientnet_b4": Scaling(1.4, 1.8, 380, 0.4),
    "efficientnet_b5": Scaling(1.6, 2.2, 456, 0.4),
    "efficientnet_b6": Scaling(1.8, 2.6, 528, 0.5),
    "efficientnet_b7": Scaling(2.0, 3.1, 600, 0.5),
}


@dataclass
class MBConvConfig:
    """A stage: expansion and kernel of its blocks, stride of the first, channels in and out, number of blocks."""

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    block: Layer | None = None

    def scaled(self, width_mult: float, depth_mult: float) -> MBConvConfig:
        """The same stage with more channels and more blocks."""
        return replace(
            self,
            input_channels=make_divisible(self.input_channels * width_mult),
            out_channels=make_divisible(self.out_channels * width_mult),
            num_layers=math.ceil(self.num_layers * depth_mult),
        )


# Table 1, stages 2 to 8.
B0 = (
    MBConvConfig(1, 3, 1, 32, 16, 1),
    MBConvConfig(6, 3, 2, 16, 24, 2),
    MBConvConfig(6, 5, 2, 24, 40, 2),
    MBConvConfig(6, 3, 2, 40, 80, 3),
    MBConvConfig(6, 5, 1, 80, 112, 3),
    MBConvConfig(6, 5, 2, 112, 192, 4),
    MBConvConfig(6, 3, 1, 192, 320, 1),
)


class MBConv(nn.Module):
    """1x1 to many channels, depthwise, squeeze-and-excitation, 1x1 to few; a shortcut connects the narrow ends.

    Args:
        cnf: the stage of the block.
        stochastic_depth_prob: the probability that training skips the block for an image.
        norm_layer: called with the number of channels.
        se_layer: called with its input channels and its hidden channels; None omits it.
        activation_layer, conv_layer: alternative building blocks.
    """

    def __init__(
        self,
        cnf: MBConvConfig,
        stochastic_depth_prob: float,
        norm_layer: Layer,
        se_layer: Layer | None = SqueezeExcitation,
        activation_layer: Layer = nn.SiLU,
        conv_layer: Layer = nn.Conv2d,
    ):
        super().__init__()
        settings: dict[str, Any] = {"norm_layer": norm_layer, "conv_layer": conv_layer}
        active = {**settings, "activation_layer": activation_layer}
        wide = make_divisible(cnf.input_channels * cnf.expand_ratio)
        layers: list[nn.Module] = []
        if wide != cnf.input_channels:
            layers.append(Conv2dNormActivation(cnf.input_channels, wide, 1, **active))
        layers.append(Conv2dNormActivation(wide, wide, cnf.kernel, cnf.stride, groups=wide, **active))
        if se_layer is not None:
            layers.append(se_layer(wide, max(1, cnf.input_channels // 4), activation=activation_layer))
        layers.append(Conv2dNormActivation(wide, cnf.out_channels, 1, activation_layer=None, **settings))
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        self.out_channels = cnf.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        return self.stochastic_depth(self.block(x)) + x if self.use_res_connect else self.block(x)


class FusedMBConv(nn.Module):
    """MBConv with one full convolution instead of the first two, and without squeeze-and-excitation."""

    def __init__(self, cnf: MBConvConfig, stochastic_depth_prob: float, norm_layer: Layer):
        super().__init__()
        active: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": nn.SiLU}
        wide = make_divisible(cnf.input_channels * cnf.expand_ratio)
        if wide != cnf.input_channels:
            layers = [
                Conv2dNormActivation(cnf.input_channels, wide, cnf.kernel, cnf.stride, **active),
                Conv2dNormActivation(wide, cnf.out_channels, 1, norm_layer=norm_layer, activation_layer=None),
            ]
        else:
            layers = [Conv2dNormActivation(cnf.input_channels, cnf.out_channels, cnf.kernel, cnf.stride, **active)]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        self.out_channels = cnf.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        return self.stochastic_depth(self.block(x)) + x if self.use_res_connect else self.block(x)


class EfficientNet(nn.Module):
    """A stem, the stages, a 1x1 convolution, a global average, one linear layer.

    Args:
        inverted_residual_setting: the stages.
        dropout: the probability of dropout before the linear layer.
        stochastic_depth_prob: the probability that training skips the last block; proportionally less for earlier ones.
        num_classes: the size of the output.
        norm_layer: called with the number of channels.
        last_channel: the features before the linear layer, by default four times those of the last stage.
        activation_layer, conv_layer: alternative building blocks.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[MBConvConfig],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
        last_channel: int | None = None,
        activation_layer: Layer = nn.SiLU,
        conv_layer: Layer = nn.Conv2d,
    ):
        super().__init__()
        norm_layer = nn.BatchNorm2d if norm_layer is None else norm_layer
        settings: dict[str, Any] = {
            "norm_layer": norm_layer,
            "activation_layer": activation_layer,
            "conv_layer": conv_layer,
        }
        layers: list[nn.Module] = [
            Conv2dNormActivation(3, inverted_residual_setting[0].input_channels, stride=2, **settings)
        ]
        total, done = sum(stage.num_layers for stage in inverted_residual_setting), 0
        for cnf in inverted_residual_setting:
            block = MBConv if cnf.block is None else cnf.block
            rest = replace(cnf, input_channels=cnf.out_channels, stride=1)
            stage = []
            for i in range(cnf.num_layers):
                stage.append(block(cnf if i == 0 else rest, stochastic_depth_prob * done / total, norm_layer))
                done += 1
            layers.append(nn.Sequential(*stage))
        c_last = inverted_residual_setting[-1].out_channels
        features = 4 * c_last if last_channel is None else last_channel
        layers.append(Conv2dNormActivation(c_last, features, 1, **settings))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, num_classes))
        bound = 1 / math.sqrt(num_classes)
        initialise(
            self,
            lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out"),
            lambda weight: nn.init.uniform_(weight, -bound, bound),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _scaled(name: str, **kwargs: Any) -> EfficientNet:
    scaling = SCALING[name]
    stages = [stage.scaled(scaling.width, scaling.depth) for stage in B0]
    return EfficientNet(stages, **{"dropout": scaling.dropout, **kwargs})


@model
def efficientnet_b0(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B0 for images of 224x224; 5,288,548 parameters."""
    return _scaled("efficientnet_b0", **kwargs)


@model_for(SCALING["efficientnet_b1"].size)
def efficientnet_b1(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B1 for images of 240x240; 7,794,184 parameters."""
    return _scaled("efficientnet_b1", **kwargs)


@model_for(SCALING["efficientnet_b2"].size)
def efficientnet_b2(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B2 for images of 288x288 (260x260 in the paper); 9,109,994 parameters."""
    return _scaled("efficientnet_b2", **kwargs)


@model_for(SCALING["efficientnet_b3"].size)
def efficientnet_b3(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B3 for images of 300x300; 12,233,232 parameters."""
    return _scaled("efficientnet_b3", **kwargs)


@model_for(SCALING["efficientnet_b4"].size)
def efficientnet_b4(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B4 for images of 380x380; 19,341,616 parameters."""
    return _scaled("efficientnet_b4", **kwargs)


# torchvision converted the weights of B5 to B7 from TensorFlow, together with eps and momentum.
_TENSORFLOW_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


@model_for(SCALING["efficientnet_b5"].size)
def efficientnet_b5(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B5 for images of 456x456; 30,389,784 parameters."""
    return _scaled("efficientnet_b5", **{"norm_layer": _TENSORFLOW_NORM, **kwargs})


@model_for(SCALING["efficientnet_b6"].size)
def efficientnet_b6(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B6 for images of 528x528; 43,040,704 parameters."""
    return _scaled("efficientnet_b6", **{"norm_layer": _TENSORFLOW_NORM, **kwargs})


@model_for(SCALING["efficientnet_b7"].size)
def efficientnet_b7(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B7 for images of 600x600; 66,347,960 parameters."""
    return _scaled("efficientnet_b7", **{"norm_layer": _TENSORFLOW_NORM, **kwargs})


V2_S = (
    MBConvConfig(1, 3, 1, 24, 24, 2, FusedMBConv),
    MBConvConfig(4, 3, 2, 24, 48, 4, FusedMBConv),
    MBConvConfig(4, 3, 2, 48, 64, 4, FusedMBConv),
    MBConvConfig(4, 3, 2, 64, 128, 6),
    MBConvConfig(6, 3, 1, 128, 160, 9),
    MBConvConfig(6, 3, 2, 160, 256, 15),
)


@model_for(384)
def efficientnet_v2_s(**kwargs: Any) -> EfficientNet:
    """EfficientNetV2-S for images of 384x384; 21,458,488 parameters."""
    settings = {"dropout": 0.2, "last_channel": 1280, "norm_layer": partial(nn.BatchNorm2d, eps=0.001)}
    return EfficientNet(V2_S, **{**settings, **kwargs})

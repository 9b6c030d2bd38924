"""ConvNeXt: a ResNet that adopts, one by one, the design choices of vision transformers.

Z. Liu et al., "A ConvNet for the 2020s" (2022), section 2 and figure 4: a stem of 4x4 patches, 7x7 depthwise
convolutions in place of attention, an inverted bottleneck in place of the MLP, one GELU and one layer norm per block, a
norm and a 2x2 convolution between stages. Each branch has a learned scale per channel, initially 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from convcore import nn
from convcore.models.blocks import Conv2dNormActivation, Layer, LayerNorm2d, Permute, StochasticDepth, initialise
from convcore.models.registry import model
from convcore.ops.create.creation import full
from convcore.tensor import Tensor


class CNBlock(nn.Module):
    """7x7 depthwise, layer norm, 1x1 to four times the channels, GELU, 1x1 back; shortcut (figure 4, right).

    The 1x1 convolutions are linear layers on channels-last tensors, the order in memory.
    """

    def __init__(self, dim: int, layer_scale: float, stochastic_depth_prob: float, norm_layer: Layer | None = None):
        super().__init__()
        norm_layer = partial(nn.LayerNorm, eps=1e-6) if norm_layer is None else norm_layer
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            Permute([0, 2, 3, 1]),
            norm_layer(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(full((dim, 1, 1), layer_scale))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Tensor) -> Tensor:
        """(N, dim, H, W) to the same shape."""
        return self.stochastic_depth(self.layer_scale * self.block(input)) + input


@dataclass
class CNBlockConfig:
    """A stage: its channels, the channels of the next stage (None for the last), its number of blocks."""

    input_channels: int
    out_channels: int | None
    num_layers: int


class ConvNeXt(nn.Module):
    """Stem, stages, global average, layer norm, linear layer.

    Args:
        block_setting: the stages.
        stochastic_depth_prob: the probability that training skips the last block; proportionally less for earlier ones.
        layer_scale: the initial scale of the branches.
        num_classes: the size of the output.
        block, norm_layer: alternative building blocks.
    """

    def __init__(
        self,
        block_setting: Sequence[CNBlockConfig],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
        block: Layer | None = None,
        norm_layer: Layer | None = None,
    ):
        super().__init__()
        block = CNBlock if block is None else block
        norm_layer = partial(LayerNorm2d, eps=1e-6) if norm_layer is None else norm_layer
        stem = Conv2dNormActivation(
            3, block_setting[0].input_channels, 4, 4, 0, norm_layer=norm_layer, activation_layer=None, bias=True
        )
        layers: list[nn.Module] = [stem]
        total, done = sum(stage.num_layers for stage in block_setting), 0
        for stage in block_setting:
            blocks = []
            for _ in range(stage.num_layers):
                drop = stochastic_depth_prob * done / (total - 1)
                blocks.append(block(stage.input_channels, layer_scale, drop))
                done += 1
            layers.append(nn.Sequential(*blocks))
            if stage.out_channels is not None:
                halving = nn.Conv2d(stage.input_channels, stage.out_channels, 2, stride=2)
                layers.append(nn.Sequential(norm_layer(stage.input_channels), halving))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last = block_setting[-1]
        c_last = last.input_channels if last.out_channels is None else last.out_channels
        self.classifier = nn.Sequential(norm_layer(c_last), nn.Flatten(1), nn.Linear(c_last, num_classes))
        small = partial(nn.init.trunc_normal_, std=0.02)
        initialise(self, small, small)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)))


def _convnext(widths: Sequence[int], depths: Sequence[int], drop: float, **kwargs: Any) -> ConvNeXt:
    following = [*widths[1:], None]
    setting = [CNBlockConfig(*stage) for stage in zip(widths, following, depths, strict=True)]
    return ConvNeXt(setting, **{"stochastic_depth_prob": drop, **kwargs})


@model
def convnext_tiny(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt-T; 28,589,128 parameters."""
    return _convnext([96, 192, 384, 768], [3, 3, 9, 3], 0.1, **kwargs)


@model
def convnext_small(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt-S; 50,223,688 parameters."""
    return _convnext([96, 192, 384, 768], [3, 3, 27, 3], 0.4, **kwargs)


@model
def convnext_base(**kwargs: Any) -> ConvNeXt:
    """ConvNeXt-B; 88,591,464 parameters."""
    return _convnext([128, 256, 512, 1024], [3, 3, 27, 3], 0.5, **kwargs)

"""ResNet: layers learn the difference to their input.

K. He et al., "Deep Residual Learning for Image Recognition" (2016). A block computes x + F(x) (equation 1), so that the
identity is easy to learn and gradients reach the first layers through the sums. Table 1 lists the blocks.
ResNeXt (S. Xie et al., "Aggregated Residual Transformations", 2017, figure 3c) splits the 3x3 convolution into groups.
Wide ResNet (S. Zagoruyko and N. Komodakis, 2016) doubles the channels of the 3x3 convolution. The stride of a
bottleneck is in the 3x3 convolution, as is usual today ("ResNet V1.5"), not in the first 1x1 as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convcore import nn
from convcore.errors import ShapeError, UnsupportedError
from convcore.models.blocks import Layer, initialise
from convcore.models.registry import model
from convcore.tensor import Tensor


def conv3x3(c_in: int, c_out: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size at stride 1."""
    return nn.Conv2d(c_in, c_out, 3, stride, dilation, dilation, groups, bias=False)


def conv1x1(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution: a linear layer on the channels of every position."""
    return nn.Conv2d(c_in, c_out, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (figure 5, left)."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer = nn.BatchNorm2d,
    ):
        super().__init__()
        if groups != 1 or base_width != 64 or dilation != 1:
            raise UnsupportedError(
                "BasicBlock: groups, base_width and dilation must be 1, 64 and 1, "
                f"got {groups}, {base_width} and {dilation}; Bottleneck has them"
            )
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) to (N, planes, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + identity)


class Bottleneck(nn.Module):
    """1x1 to few channels, 3x3 on these, 1x1 to four times as many, and a shortcut (figure 5, right)."""

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer = nn.BatchNorm2d,
    ):
        super().__init__()
        width = int(planes * base_width / 64) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) to (N, 4 * planes, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + identity)


class ResNet(nn.Module):
    """A stem, four stages of residual blocks, a global average, and one linear layer.

        x          N,   3, 224, 224
        conv1      N,  64, 112, 112    7x7, stride 2
        maxpool    N,  64,  56,  56
        layer1     N,  64,  56,  56    channels times `block.expansion` from here on
        layer2     N, 128,  28,  28
        layer3     N, 256,  14,  14
        layer4     N, 512,   7,   7
        fc         N, num_classes

    Args:
        block: BasicBlock or Bottleneck.
        layers: the number of blocks of each stage.
        num_classes: the size of the output.
        zero_init_residual: set the last batch norm of each block to weight 0, so that blocks start as identities.
        groups, width_per_group: the groups of the 3x3 convolutions in bottlenecks, and their width.
        replace_stride_with_dilation: for each of the last three stages, whether it dilates instead of striding.
        norm_layer: called with the number of channels, by default BatchNorm2d.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Layer | None = None,
    ):
        super().__init__()
        dilate = (False, False, False) if replace_stride_with_dilation is None else replace_stride_with_dilation
        if len(dilate) != 3:
            raise ShapeError(f"ResNet: replace_stride_with_dilation must be None or three booleans, got {dilate}")
        self._norm_layer = nn.BatchNorm2d if norm_layer is None else norm_layer
        self.inplanes, self.dilation = 64, 1
        self.groups, self.base_width = groups, width_per_group
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], 2, dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], 2, dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        initialise(self, lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu"))
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, (BasicBlock, Bottleneck)):
                    nn.init.zeros_((module.bn2 if isinstance(module, BasicBlock) else module.bn3).weight)

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False) -> nn.Sequential:
        """One stage. If its first block changes size or channels, the shortcut of that block is a 1x1 convolution."""
        before = self.dilation
        if dilate:
            self.dilation, stride = self.dilation * stride, 1
        c_out = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != c_out:
            downsample = nn.Sequential(conv1x1(self.inplanes, c_out, stride), self._norm_layer(c_out))
        same = self.groups, self.base_width
        stage = [block(self.inplanes, planes, stride, downsample, *same, before, self._norm_layer)]
        self.inplanes = c_out
        stage += [block(c_out, planes, 1, None, *same, self.dilation, self._norm_layer) for _ in range(1, blocks)]
        return nn.Sequential(*stage)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


@model
def resnet18(**kwargs: Any) -> ResNet:
    """ResNet-18; 11,689,512 parameters."""
    return ResNet(BasicBlock, [2, 2, 2, 2], **kwargs)


@model
def resnet34(**kwargs: Any) -> ResNet:
    """ResNet-34; 21,797,672 parameters."""
    return ResNet(BasicBlock, [3, 4, 6, 3], **kwargs)


@model
def resnet50(**kwargs: Any) -> ResNet:
    """ResNet-50; 25,557,032 parameters."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **kwargs)


@model
def resnet101(**kwargs: Any) -> ResNet:
    """ResNet-101; 44,549,160 parameters."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **kwargs)


@model
def resnet152(**kwargs: Any) -> ResNet:
    """ResNet-152; 60,192,808 parameters."""
    return ResNet(Bottleneck, [3, 8, 36, 3], **kwargs)


@model
def resnext50_32x4d(**kwargs: Any) -> ResNet:
    """ResNeXt-50 with 32 groups of 4 channels; 25,028,904 parameters."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **{"groups": 32, "width_per_group": 4, **kwargs})


@model
def wide_resnet50_2(**kwargs: Any) -> ResNet:
    """ResNet-50 with twice the channels in the 3x3 convolutions; 68,883,240 parameters."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **{"width_per_group": 128, **kwargs})

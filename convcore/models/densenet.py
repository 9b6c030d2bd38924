"""DenseNet: every layer sees the outputs of all layers before it.

G. Huang et al., "Densely Connected Convolutional Networks" (2017). A dense layer appends `growth_rate` channels to its
input (equation 2), so layers can be narrow. "-BC" stands for 1x1 convolutions that narrow the input of a layer first,
and for transitions that halve the channels between blocks (section 3, table 1).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from convcore import nn
from convcore.models.blocks import initialise
from convcore.models.registry import model
from convcore.nn import functional as F
from convcore.ops.shape.joining import cat
from convcore.tensor import Tensor


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1, norm, ReLU, 3x3: the channels that a layer appends."""

    def __init__(self, num_input_features: int, growth_rate: int, bn_size: int, drop_rate: float):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(num_input_features, bn_size * growth_rate, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, 3, padding=1, bias=False)
        self.drop_rate = drop_rate

    def forward(self, input: Tensor) -> Tensor:
        """(N, num_input_features, H, W) to (N, growth_rate, H, W)."""
        x = self.conv1(self.relu1(self.norm1(input)))
        x = self.conv2(self.relu2(self.norm2(x)))
        return F.dropout(x, self.drop_rate, self.training) if self.drop_rate else x


class DenseBlock(nn.ModuleDict):
    """Dense layers; each gets the block's input and the outputs of all layers before it."""

    def __init__(self, num_layers: int, num_input_features: int, bn_size: int, growth_rate: int, drop_rate: float):
        super().__init__()
        for i in range(num_layers):
            layer = DenseLayer(num_input_features + i * growth_rate, growth_rate, bn_size, drop_rate)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_input_features, H, W) to (N, num_input_features + num_layers * growth_rate, H, W)."""
        for layer in self.values():
            x = cat([x, layer(x)], 1)
        return x


def _transition(c_in: int, c_out: int) -> nn.Sequential:
    """The transition between blocks: fewer channels, half the height and width."""
    layers: list[tuple[str, nn.Module]] = [
        ("norm", nn.BatchNorm2d(c_in)),
        ("relu", nn.ReLU()),
        ("conv", nn.Conv2d(c_in, c_out, 1, bias=False)),
        ("pool", nn.AvgPool2d(2, 2)),
    ]
    return nn.Sequential(OrderedDict(layers))


class DenseNet(nn.Module):
    """The networks of table 1.

    Args:
        growth_rate: the channels that each dense layer appends (k).
        block_config: the number of layers of each block.
        num_init_features: the channels of the stem.
        bn_size: the channels between the two convolutions of a layer, in multiples of `growth_rate`.
        drop_rate: the probability of dropout after each layer.
        num_classes: the size of the output.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0.0,
        num_classes: int = 1000,
    ):
        super().__init__()
        stem: list[tuple[str, nn.Module]] = [
            ("conv0", nn.Conv2d(3, num_init_features, 7, stride=2, padding=3, bias=False)),
            ("norm0", nn.BatchNorm2d(num_init_features)),
            ("relu0", nn.ReLU()),
            ("pool0", nn.MaxPool2d(3, stride=2, padding=1)),
        ]
        self.features = nn.Sequential(OrderedDict(stem))
        channels = num_init_features
        for i, num_layers in enumerate(block_config, start=1):
            block = DenseBlock(num_layers, channels, bn_size, growth_rate, drop_rate)
            self.features.add_module(f"denseblock{i}", block)
            channels += num_layers * growth_rate
            if i < len(block_config):
                self.features.add_module(f"transition{i}", _transition(channels, channels // 2))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(channels, num_classes)
        initialise(self, nn.init.kaiming_normal_)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.classifier(F.adaptive_avg_pool2d(self.relu(self.features(x)), 1).flatten(1))


@model
def densenet121(**kwargs: Any) -> DenseNet:
    """DenseNet-121; 7,978,856 parameters."""
    return DenseNet(**kwargs)

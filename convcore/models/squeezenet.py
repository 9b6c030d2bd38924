"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters.

F. Iandola et al., "SqueezeNet" (2016), section 3 and table 1. A fire module squeezes its input to a few channels by 1x1
filters, then expands it, half of the outputs by 1x1 and half by 3x3 filters. There are no dense layers. Version 1.1 in
the authors' repository pools earlier and costs 2.4 times less.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from convcore import nn
from convcore.errors import UnsupportedError
from convcore.models.blocks import initialise
from convcore.models.registry import model
from convcore.ops.shape.joining import cat
from convcore.tensor import Tensor


class Fire(nn.Module):
    """1x1 to few channels, then 1x1 and 3x3 side by side (figure 1)."""

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int):
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, 1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, 1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, 3, padding=1)
        self.expand3x3_activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) to (N, expand1x1_planes + expand3x3_planes, H, W)."""
        x = self.squeeze_activation(self.squeeze(x))
        return cat([self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """Fire modules with max pooling between them, a convolution to classes, a global average.

    Args:
        version: "1_0" or "1_1".
        num_classes: the size of the output.
        dropout: the probability of dropout before the last convolution.
    """

    # Channels and kernel of the first convolution, and the fire modules (of eight) that max pooling follows.
    VERSIONS: ClassVar = {"1_0": (96, 7, (0, 3, 7)), "1_1": (64, 3, (0, 2, 4))}
    # The squeezed channels of each fire module, which expands to four times as many by 1x1 and by 3x3 filters.
    SQUEEZED = (16, 16, 32, 32, 48, 48, 64, 64)

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5):
        super().__init__()
        if version not in self.VERSIONS:
            raise UnsupportedError(f"SqueezeNet: version must be '1_0' or '1_1', got {version!r}")
        self.num_classes = num_classes
        c_in, kernel, pooled = self.VERSIONS[version]
        layers: list[nn.Module] = [nn.Conv2d(3, c_in, kernel, stride=2), nn.ReLU()]
        for i, squeezed in enumerate(self.SQUEEZED):
            if i in pooled:
                layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
            layers.append(Fire(c_in, squeezed, 4 * squeezed, 4 * squeezed))
            c_in = 8 * squeezed
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(c_in, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), last, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        normal = partial(nn.init.normal_, mean=0.0, std=0.01)
        initialise(self, lambda weight: (normal if weight is last.weight else nn.init.kaiming_uniform_)(weight))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.classifier(self.features(x)).flatten(1)


@model
def squeezenet1_0(**kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.0; 1,248,424 parameters."""
    return SqueezeNet("1_0", **kwargs)


@model
def squeezenet1_1(**kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.1; 1,235,496 parameters."""
    return SqueezeNet("1_1", **kwargs)

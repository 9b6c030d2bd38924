"""VGG: only 3x3 convolutions.

K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), table 1. The
receptive field of two 3x3 layers is 5x5 pixels, that of three is 7x7, with fewer weights than one large filter and more
nonlinearities (section 2.3). Of the 138 million parameters of VGG-16, 124 million are in the three dense layers.
"""

from __future__ import annotations

from typing import Any

from convcore import nn
from convcore.models.blocks import initialise
from convcore.models.registry import model
from convcore.nn.init import skipped
from convcore.tensor import Tensor

# The columns of table 1: output channels of the convolutions; "M" is max pooling, which halves height and width.
CONFIGURATIONS: dict[str, list[int | str]] = {
    "A": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "B": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "D": [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"],
    "E": [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
}


def make_layers(configuration: list[int | str], batch_norm: bool = False) -> nn.Sequential:
    """The convolutional part of a configuration."""
    layers: list[nn.Module] = []
    c_in = 3
    for entry in configuration:
        if isinstance(entry, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers.append(nn.Conv2d(c_in, entry, 3, padding=1))
            layers += [nn.BatchNorm2d(entry), nn.ReLU()] if batch_norm else [nn.ReLU()]
            c_in = entry
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """The convolutional part, an average to 7x7 positions, and three dense layers.

    Args:
        features: the convolutional part; its output has 512 channels.
        num_classes: the size of the output.
        init_weights: whether to initialise with He's normal distribution, as later work does, not with the defaults.
        dropout: the probability of dropout after each of the two hidden dense layers.
    """

    def __init__(self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        with skipped(init_weights):  # initialise only once: these layers are large
            self.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, 4096),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(4096, num_classes),
            )
        if init_weights:
            initialise(
                self,
                lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu"),
                lambda weight: nn.init.normal_(weight, 0, 0.01),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes); height and width at least 32."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _vgg(configuration: str, batch_norm: bool, **kwargs: Any) -> VGG:
    return VGG(make_layers(CONFIGURATIONS[configuration], batch_norm), **kwargs)


@model
def vgg11(**kwargs: Any) -> VGG:
    """VGG-11, column A; 132,863,336 parameters."""
    return _vgg("A", False, **kwargs)


@model
def vgg13(**kwargs: Any) -> VGG:
    """VGG-13, column B; 133,047,848 parameters."""
    return _vgg("B", False, **kwargs)


@model
def vgg16(**kwargs: Any) -> VGG:
    """VGG-16, column D; 138,357,544 parameters."""
    return _vgg("D", False, **kwargs)


@model
def vgg19(**kwargs: Any) -> VGG:
    """VGG-19, column E; 143,667,240 parameters."""
    return _vgg("E", False, **kwargs)


@model
def vgg11_bn(**kwargs: Any) -> VGG:
    """VGG-11 with batch norms; 132,868,840 parameters."""
    return _vgg("A", True, **kwargs)


@model
def vgg13_bn(**kwargs: Any) -> VGG:
    """VGG-13 with batch norms; 133,053,736 parameters."""
    return _vgg("B", True, **kwargs)


@model
def vgg16_bn(**kwargs: Any) -> VGG:
    """VGG-16 with batch norms; 138,365,992 parameters."""
    return _vgg("D", True, **kwargs)


@model
def vgg19_bn(**kwargs: Any) -> VGG:
    """VGG-19 with batch norms; 143,678,248 parameters."""
    return _vgg("E", True, **kwargs)

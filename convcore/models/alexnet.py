"""AlexNet: the network that made deep convolutional networks the standard.

A. Krizhevsky, I. Sutskever and G. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks" (2012):
ReLU (section 3.1), overlapping pooling (3.4), dropout (4.2). This is the version for one device of A. Krizhevsky's "One
weird trick for parallelizing convolutional neural networks" (2014), without local response norm.
"""

from __future__ import annotations

from typing import Any

from convcore import nn
from convcore.models.registry import model
from convcore.tensor import Tensor


class AlexNet(nn.Module):
    """Five convolutions, an average to 6x6 positions, three dense layers.

    Args:
        num_classes: the size of the output.
        dropout: the probability of dropout before each hidden dense layer.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes); height and width at least 63."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


@model
def alexnet(**kwargs: Any) -> AlexNet:
    """AlexNet; 61,100,840 parameters."""
    return AlexNet(**kwargs)

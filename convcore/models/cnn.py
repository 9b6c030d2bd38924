"""Two small convolutional networks: one for 28x28 digits, one for 224x224 photographs."""

from __future__ import annotations

import functools
from typing import Any

from convcore import nn
from convcore.models.registry import model
from convcore.nn import functional as F
from convcore.tensor import Tensor


class CNN(nn.Module):
    """Two convolution blocks and two dense layers for grey images of 28x28 pixels; 1,630,282 parameters.

    Notice where the parameters are: the first dense layer has 3136 * 512 + 512 = 1,606,144 parameters, all convolutions
    together have 18,816. A filter uses its few weights at every position; a dense layer uses each weight once per
    image. Notice also how channels replace resolution: each pooling halves height and width, and the next convolution
    doubles the channels.

        x               N,  1, 28, 28
        features.0-2    N, 32, 28, 28    convolution, batch norm, ReLU
        features.3      N, 32, 14, 14    pooling
        features.4-6    N, 64, 14, 14
        features.7      N, 64,  7,  7
        classifier.0    N, 3136
        classifier.1-3  N, 512
        classifier.4    N, num_classes   logits, for CrossEntropyLoss
    """

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.features = nn.Sequential(*_block(1, 32), *_block(32, 64))
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 512),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(512, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) to (N, num_classes)."""
        return self.classifier(self.features(x))


def _block(c_in: int, c_out: int) -> list[nn.Module]:
    """3x3 filters with padding 1, which keeps the size; then pooling, which halves it."""
    return [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(), nn.MaxPool2d(2, 2)]


class SimpleCNN(nn.Module):
    """Three convolution blocks, a global average and two dense layers for colour images; 129,290 parameters.

    Notice what the global average does: it leaves one value per channel. So the dense layers are small (the first has
    33,024 parameters), and they fit images of any size, not only 224x224. All three blocks share one pooling layer,
    because it has no parameters.

        x                      N,   3, 224, 224
        relu(bn1(conv1(x)))    N,  32, 224, 224
        pool                   N,  32, 112, 112
        relu(bn2(conv2(x)))    N,  64, 112, 112
        pool                   N,  64,  56,  56
        relu(bn3(conv3(x)))    N, 128,  56,  56
        pool                   N, 128,  28,  28
        gap, flatten           N, 128
        fc1                    N, 256
        fc2                    N, num_classes    logits, for CrossEntropyLoss
    """

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(128)
        self.pool = nn.MaxPool2d(2, 2)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Linear(128, 256)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(256, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes); height and width at least 8."""
        for conv, bn in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = self.pool(F.relu(bn(conv(x))))
        x = self.gap(x).flatten(1)
        x = self.dropout(F.relu(self.fc1(x)))
        return self.fc2(x)


@functools.partial(model, shape=(1, 28, 28))
def cnn(**kwargs: Any) -> CNN:
    """`CNN`. There are no published weights; `convcore train` writes weights files."""
    return CNN(**kwargs)


@model
def simple_cnn(**kwargs: Any) -> SimpleCNN:
    """`SimpleCNN`. There are no published weights; `convcore train` writes weights files."""
    return SimpleCNN(**kwargs)

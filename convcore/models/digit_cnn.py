"""A network for digits, small enough to ship with trained weights; `DIGIT_CNN.md` says how it was trained."""

from __future__ import annotations

import functools
from typing import Any

from convcore import nn
from convcore.models.registry import model
from convcore.tensor import Tensor


class DigitCNN(nn.Module):
    """Three convolutions and one dense layer for digits of 28x28 pixels, small enough to inspect completely; 21,818
    parameters.

        x                N,  1, 28, 28
        features.0-2     N,  8, 28, 28    5x5 filters, batch norm, ReLU
        features.3       N,  8, 14, 14    pooling
        features.4-6     N, 16, 14, 14    3x3 filters
        features.7       N, 16,  7,  7
        features.8-10    N, 32,  7,  7    3x3 filters; receptive field 20x20 pixels
        classifier.0     N, 1568
        classifier.2     N, num_classes   logits, for CrossEntropyLoss
    """

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * 7 * 7, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) to (N, num_classes)."""
        return self.classifier(self.features(x))


@functools.partial(model, shape=(1, 28, 28))
def digit_cnn(**kwargs: Any) -> DigitCNN:
    """`DigitCNN`. The package contains its trained weights, "DIGITS"."""
    return DigitCNN(**kwargs)

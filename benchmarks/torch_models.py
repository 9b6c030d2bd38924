"""The networks of `convcore.models` written for torch: the same names, so weights go from one to the other."""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F


def _block(c_in: int, c_out: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(), nn.MaxPool2d(2, 2)]


class CNN(nn.Module):
    """As `convcore.models.CNN`."""

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.features = nn.Sequential(*_block(1, 32), *_block(32, 64))
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, num_classes)
        )

    def forward(self, x):
        """(N, 1, 28, 28) to (N, num_classes)."""
        return self.classifier(self.features(x))


class SimpleCNN(nn.Module):
    """As `convcore.models.SimpleCNN`."""

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128)
        self.pool = nn.MaxPool2d(2, 2)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Linear(128, 256)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(256, num_classes)

    def forward(self, x):
        """(N, 3, H, W) to (N, num_classes)."""
        for conv, bn in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = self.pool(F.relu(bn(conv(x))))
        x = self.dropout(F.relu(self.fc1(self.gap(x).flatten(1))))
        return self.fc2(x)

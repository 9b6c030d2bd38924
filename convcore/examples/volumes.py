"""A 3-D CNN that classifies bodies: `python -m convcore.examples.volumes`.

Every volume holds a ball, a cube, a rod or a shell of random size at a random position, with noise. A slice of a ball,
a cube and a rod may look the same, so the filters need all three axes.
"""

from __future__ import annotations

import numpy as np

import convcore as cc
from convcore import nn
from convcore.examples.training import train

CLASSES = ("ball", "cube", "rod", "shell")
SIZE = 16


def make_volumes(count: int, seed: int, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """The volumes, (count, 1, 16, 16, 16) in float32, and their classes, (count,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(CLASSES), size=count)
    volumes = noise * rng.standard_normal((count, SIZE, SIZE, SIZE))
    places = np.indices((SIZE, SIZE, SIZE))
    for volume, label in zip(volumes, labels, strict=True):
        radius, center = rng.uniform(3, 5), rng.uniform(6, 9, 3)
        offset = np.abs(places - center[:, None, None, None])
        distance = np.sqrt((offset**2).sum(axis=0))
        sides = np.sort(offset, axis=0)
        body = (
            distance < radius,
            sides[2] < 0.8 * radius,
            (sides[2] < 1.6 * radius) & (sides[1] < 1.5),
            np.abs(distance - radius) < 0.8,
        )
        volume += body[label]
    return volumes[:, None].astype(np.float32), labels


class BodyNet(nn.Module):
    """Three convolutions with decreasing sizes, global max pooling, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2),
            nn.Conv3d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2),
            nn.Conv3d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool3d(1), nn.Flatten(),
        )  # fmt: skip
        self.classify = nn.Linear(32, len(CLASSES))

    def forward(self, x: cc.Tensor) -> cc.Tensor:
        return self.classify(self.features(x))


def main(epochs: int = 8) -> float:
    """Train on 512 volumes and return the accuracy on 256 other volumes."""
    cc.manual_seed(0)
    return train(BodyNet(), make_volumes(512, seed=0), make_volumes(256, seed=1), epochs, batch=32)


if __name__ == "__main__":
    main()

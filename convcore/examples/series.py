"""A 1-D CNN that classifies waves: `python -m convcore.examples.series`.

Every series is a sine, a square wave, a sawtooth or a chirp of random frequency, phase and amplitude, with noise of the
same amplitude. A single sample says nothing; filters over neighbouring samples detect the shape. Global average pooling
makes the result independent of the position of the shape.
"""

from __future__ import annotations

import numpy as np

import convcore as cc
from convcore import nn
from convcore.examples.training import train

CLASSES = ("sine", "square", "sawtooth", "chirp")
LENGTH = 128


def make_series(count: int, seed: int, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """The series, (count, 1, 128) in float32, and their classes, (count,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(CLASSES), size=count)
    time = np.arange(LENGTH) / LENGTH
    frequency, phase = rng.uniform(4, 10, (count, 1)), rng.uniform(0, 1, (count, 1))
    turns = frequency * time + phase
    swept = phase + frequency * time * (0.5 + 1.5 * time)
    shapes = np.stack(
        [np.sin(2 * np.pi * turns), np.sign(np.sin(2 * np.pi * turns)), 2 * (turns % 1) - 1, np.sin(2 * np.pi * swept)]
    )
    waves = rng.uniform(0.7, 1.3, (count, 1)) * shapes[labels, np.arange(count)]
    waves += noise * rng.standard_normal(waves.shape)
    return waves[:, None].astype(np.float32), labels


class WaveNet(nn.Module):
    """Three convolutions with strides, the mean over time, and a linear layer: (N, 1, L) becomes (N, 4)."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(1, 16, 9, padding=4), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(16, 32, 9, padding=4), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(32, 32, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        )  # fmt: skip
        self.classify = nn.Linear(32, len(CLASSES))

    def forward(self, x: cc.Tensor) -> cc.Tensor:
        return self.classify(self.features(x))


def main(epochs: int = 10) -> float:
    """Train on 2048 series and return the accuracy on 512 other series."""
    cc.manual_seed(0)
    return train(WaveNet(), make_series(2048, seed=0), make_series(512, seed=1), epochs, batch=64)


if __name__ == "__main__":
    main()

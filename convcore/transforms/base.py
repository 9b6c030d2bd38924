"""The base classes of transforms: kinds of images, batches, and the generators of random transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from convcore import random
from convcore.errors import ShapeError
from convcore.transforms.images import checked, same_kind


class Compose:
    """Apply `transforms` one after another."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]):
        self.transforms = list(transforms)

    def __call__(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def __repr__(self) -> str:
        lines = "\n".join(f"    {transform}" for transform in self.transforms)
        return f"Compose(\n{lines}\n)"


class Transform:
    """Base of all transforms: subclasses define `apply` for one image, a Pillow image or an array (C, H, W).

    A batch (N, C, H, W) is transformed image by image, so random transforms draw for each image. Results share no
    memory with the input unless nothing changes.
    """

    def __call__(self, x: Any) -> Any:
        if isinstance(x, Image.Image):
            return self.apply(x)
        array = checked(type(self).__name__, x)
        return same_kind(self.apply(array) if array.ndim == 3 else self.apply_batch(array), x)

    def apply(self, x: Any) -> Any:
        """Transform one image."""
        raise NotImplementedError

    def apply_batch(self, x: np.ndarray) -> np.ndarray:
        """Transform a batch of images."""
        if len(x) == 0:
            return self.apply(np.zeros(x.shape[1:], x.dtype))[np.newaxis][:0]
        return np.stack([self.apply(image) for image in x])

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({settings})"


class RandomTransform(Transform):
    """Base of random transforms.

    Args:
        generator: a NumPy generator, or a seed for a new one. By default inside a `DataLoader` the generator of the
            batch, seeded by the loader's seed, the epoch and the number of the batch; elsewhere a new one, seeded by
            the generator that `convcore.random.manual_seed` seeds.
    """

    def __init__(self, generator: np.random.Generator | int | None = None):
        self._is_own = generator is not None
        if generator is None:
            generator = int(random.active().numpy.integers(2**63))
        self._generator = np.random.default_rng(generator)

    @property
    def generator(self) -> np.random.Generator:
        """The generator in use."""
        return self._generator if self._is_own else random.current_generator() or self._generator

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.generator.random() < probability)

    def uniform(self, bounds: Sequence[float]) -> float:
        """A uniform random number between two bounds."""
        return float(self.generator.uniform(bounds[0], bounds[1]))

    def integer(self, count: int) -> int:
        """A random integer from 0 to count - 1."""
        return int(self.generator.integers(count))

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator, which determines all later draws."""
        return dict(self._generator.bit_generator.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.bit_generator.state = state


def probability(op: str, p: float) -> float:
    """`p`, checked to be from 0 to 1."""
    if not 0 <= p <= 1:
        raise ShapeError(f"{op}: p must lie in [0, 1], got {p}")
    return p


def interval(op: str, name: str, value: float | Sequence[float], low: float, high: float, around: float) -> Any:
    """Two bounds in [low, high]: given as two numbers, or as one number v for (around - v, around + v)."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise ShapeError(f"{op}: {name} must be at least 0, or two bounds, got {value}")
        bounds = (max(around - value, low), around + value)
    else:
        bounds = tuple(value)
    if len(bounds) != 2 or not low <= bounds[0] <= bounds[1] <= high:
        raise ShapeError(f"{op}: {name} must be two rising bounds in [{low}, {high}], got {value}")
    return bounds

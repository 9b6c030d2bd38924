"""What all transforms share: which images they take, batches, and where random ones draw from."""

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
    """Base of all: `apply` works on one image, a Pillow image or an array (C, H, W).

    Called with a batch (N, C, H, W) it works on each image, so that random transforms draw for each. Results share no
    memory with the input unless nothing changes.
    """

    def __call__(self, x: Any) -> Any:
        if isinstance(x, Image.Image):
            return self.apply(x)
        array = checked(type(self).__name__, x)
        return same_kind(self.apply(array) if array.ndim == 3 else self.apply_batch(array), x)

    def apply(self, x: Any) -> Any:
        """One image."""
        raise NotImplementedError

    def apply_batch(self, x: np.ndarray) -> np.ndarray:
        """Many images of one size."""
        if len(x) == 0:
            return self.apply(np.zeros(x.shape[1:], x.dtype))[np.newaxis][:0]
        return np.stack([self.apply(image) for image in x])

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({settings})"


class RandomTransform(Transform):
    """Base of those that draw.

    Args:
        generator: where to draw from: a NumPy generator, or a seed for a new one. By default a new one with a seed from
            the generator that `convcore.random.manual_seed` seeds; but inside a `DataLoader` one that the loader's
            seed, the epoch and the batch's number fix.
    """

    def __init__(self, generator: np.random.Generator | int | None = None):
        self._is_own = generator is not None
        if generator is None:
            generator = int(random.active().numpy.integers(2**63))
        self._generator = np.random.default_rng(generator)

    @property
    def generator(self) -> np.random.Generator:
        """Where the next number is drawn from."""
        return self._generator if self._is_own else random.current_generator() or self._generator

    def happens(self, probability: float) -> bool:
        """Draw whether something of this probability happens."""
        return bool(self.generator.random() < probability)

    def uniform(self, bounds: Sequence[float]) -> float:
        """Draw a number between two."""
        return float(self.generator.uniform(bounds[0], bounds[1]))

    def integer(self, count: int) -> int:
        """Draw one of 0 .. count - 1."""
        return int(self.generator.integers(count))

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator: what fixes all draws to come."""
        return dict(self._generator.bit_generator.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.bit_generator.state = state


def probability(op: str, p: float) -> float:
    """`p`, from 0 to 1."""
    if not 0 <= p <= 1:
        raise ShapeError(f"{op}: p must lie in [0, 1], got {p}")
    return p


def interval(op: str, name: str, value: float | Sequence[float], low: float, high: float, around: float) -> Any:
    """Two bounds: given so, or as one number v for (around - v, around + v); both from `low` to `high`."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise ShapeError(f"{op}: {name} must be at least 0, or two bounds, got {value}")
        bounds = (max(around - value, low), around + value)
    else:
        bounds = tuple(value)
    if len(bounds) != 2 or not low <= bounds[0] <= bounds[1] <= high:
        raise ShapeError(f"{op}: {name} must be two rising bounds in [{low}, {high}], got {value}")
    return bounds

"""Mixing the images and labels of a batch: MixUp (Zhang et al. 2018) and CutMix (Yun et al. 2019).

Each image is mixed with the previous one, so the batch must be shuffled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from convcore.autograd import Variable
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import integer
from convcore.transforms.base import RandomTransform
from convcore.transforms.images import checked, same_kind


class _Mix(RandomTransform):
    """Base of both: the arguments, and the mixed labels.

    Args:
        alpha: the share of each image is drawn from Beta(alpha, alpha).
        num_classes: the number of classes, required if labels are class numbers.
        generator: as in `RandomTransform`.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(generator)
        name = type(self).__name__
        if not alpha > 0:
            raise ShapeError(f"{name}: alpha must be greater than 0, got {alpha}")
        self.alpha = float(alpha)
        self.num_classes = None if num_classes is None else integer(name, "num_classes", num_classes, 1)

    def __call__(self, *batch: Any) -> tuple[Any, Any]:
        """Mix (images, labels), given as two arguments or as one pair.

        Args:
            batch: images (N, C, H, W), and labels, class numbers (N,) or probabilities (N, classes).

        Returns:
            Images, and probabilities (N, classes).
        """
        name = type(self).__name__
        images, labels = batch if len(batch) == 2 else batch[0]
        pixels = checked(name, images)
        if pixels.ndim != 4 or pixels.dtype.kind != "f":
            raise ShapeError(
                f"{name}: images must be a floating-point batch (N, C, H, W), got {pixels.dtype} {pixels.shape}"
            )
        chances = self._probabilities(labels, len(pixels))
        share = float(self.generator.beta(self.alpha, self.alpha))
        mixed, share = self.mix(pixels, np.roll(pixels, 1, axis=0), share)
        share = chances.dtype.type(share)
        return same_kind(mixed, images), same_kind(chances * share + np.roll(chances, 1, axis=0) * (1 - share), labels)

    def mix(self, x: np.ndarray, other: np.ndarray, share: float) -> tuple[np.ndarray, float]:
        """The mixed images, and the share of `x` in them."""
        raise NotImplementedError

    def _probabilities(self, labels: Any, count: int) -> np.ndarray:
        name = type(self).__name__
        array = labels.array if isinstance(labels, Variable) else labels
        if not isinstance(array, np.ndarray):
            raise DTypeError(f"{name}: labels must be a tensor or a NumPy array, got {type(labels).__name__}")
        if array.ndim not in (1, 2) or len(array) != count:
            raise ShapeError(f"{name}: labels must be ({count},) or ({count}, classes), got {array.shape}")
        if array.ndim == 2:
            if self.num_classes not in (None, array.shape[1]):
                raise ShapeError(f"{name}: labels have {array.shape[1]} classes, but num_classes is {self.num_classes}")
            return array if array.dtype.kind == "f" else array.astype(np.float32)
        if self.num_classes is None:
            raise ShapeError(f"{name}: labels are class numbers, so num_classes must say how many classes there are")
        if array.dtype.kind not in "iu" or (count and not 0 <= array.min() <= array.max() < self.num_classes):
            raise ShapeError(f"{name}: labels must be integers in [0, {self.num_classes}), got {array.dtype} {array}")
        return np.eye(self.num_classes, dtype=np.float32)[array]


class MixUp(_Mix):
    """A weighted sum of two images, and of their labels."""

    def mix(self, x: np.ndarray, other: np.ndarray, share: float) -> tuple[np.ndarray, float]:
        weight = x.dtype.type(share)
        return x * weight + other * (1 - weight), share


class CutMix(_Mix):
    """A rectangle of one image pasted into another, and their labels weighted by area."""

    def mix(self, x: np.ndarray, other: np.ndarray, share: float) -> tuple[np.ndarray, float]:
        height, width = x.shape[2:]
        middle_x, middle_y = self.integer(width), self.integer(height)
        half = 0.5 * math.sqrt(1.0 - share)
        half_w, half_h = int(half * width), int(half * height)
        left, right = max(middle_x - half_w, 0), min(middle_x + half_w, width)
        top, bottom = max(middle_y - half_h, 0), min(middle_y + half_h, height)
        mixed = x.copy()
        mixed[:, :, top:bottom, left:right] = other[:, :, top:bottom, left:right]
        return mixed, 1.0 - (right - left) * (bottom - top) / (height * width)

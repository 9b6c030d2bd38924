"""Augmentation policies: AutoAugment, RandAugment, TrivialAugment. All select from the same operations.

Each operation has a table of magnitudes, a range divided into steps; the policy selects the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from convcore.errors import ShapeError, UnsupportedError
from convcore.ops.core.arguments import integer
from convcore.transforms import functional as F
from convcore.transforms.base import RandomTransform
from convcore.transforms.functional.geometry import NEAREST, Interpolation
from convcore.transforms.images import Fill, size_of


class Range(NamedTuple):
    """The magnitudes of an operation: `steps(bins, height, width)`; signed ones get a random sign."""

    steps: Callable[[int, int, int], np.ndarray]
    signed: bool = False


def _line(first: float, last: float, signed: bool = False) -> Range:
    return Range(lambda bins, height, width: np.linspace(first, last, bins), signed)


def _bits(lost: float) -> Range:
    return Range(lambda bins, height, width: np.rint(8 - np.arange(bins) / ((bins - 1) / lost)))


_AS_IT_IS = Range(lambda bins, height, width: np.zeros(bins))
_UNSCALED = {"AutoContrast": _AS_IT_IS, "Equalize": _AS_IT_IS}

# Cubuk et al. 2019; shifts are scaled to the image, up to 150 of 331 pixels.
MODERATE: Mapping[str, Range] = {
    "ShearX": _line(0.0, 0.3, signed=True),
    "ShearY": _line(0.0, 0.3, signed=True),
    "TranslateX": Range(lambda bins, height, width: np.linspace(0.0, 150.0 / 331.0 * width, bins), signed=True),
    "TranslateY": Range(lambda bins, height, width: np.linspace(0.0, 150.0 / 331.0 * height, bins), signed=True),
    "Rotate": _line(0.0, 30.0, signed=True),
    **{name: _line(0.0, 0.9, signed=True) for name in ("Brightness", "Color", "Contrast", "Sharpness")},
    "Posterize": _bits(4),
    "Solarize": _line(1.0, 0.0),
    **_UNSCALED,
}

# Müller, Hutter 2021: wider ranges.
WIDE: Mapping[str, Range] = {
    "Identity": _AS_IT_IS,
    "ShearX": _line(0.0, 0.99, signed=True),
    "ShearY": _line(0.0, 0.99, signed=True),
    "TranslateX": _line(0.0, 32.0, signed=True),
    "TranslateY": _line(0.0, 32.0, signed=True),
    "Rotate": _line(0.0, 135.0, signed=True),
    **{name: _line(0.0, 0.99, signed=True) for name in ("Brightness", "Color", "Contrast", "Sharpness")},
    "Posterize": _bits(6),
    "Solarize": _line(1.0, 0.0),
    **_UNSCALED,
}


def apply_operation(x: Any, name: str, magnitude: float, interpolation: Interpolation, fill: Fill) -> Any:
    """Apply one operation; a shear shifts each row by `magnitude` times the distance from the upper edge."""

    def shifted(angle_x: float, angle_y: float, move_x: int, move_y: int, center: Any) -> Any:
        return F.affine(x, 0.0, (move_x, move_y), 1.0, (angle_x, angle_y), interpolation, fill, center)

    angle = math.degrees(math.atan(magnitude))
    operations: dict[str, Callable[[], Any]] = {
        "Identity": lambda: x,
        "ShearX": lambda: shifted(angle, 0.0, 0, 0, (0, 0)),
        "ShearY": lambda: shifted(0.0, angle, 0, 0, (0, 0)),
        "TranslateX": lambda: shifted(0.0, 0.0, int(magnitude), 0, None),
        "TranslateY": lambda: shifted(0.0, 0.0, 0, int(magnitude), None),
        "Rotate": lambda: F.rotate(x, magnitude, interpolation, fill=fill),
        "Brightness": lambda: F.adjust_brightness(x, 1.0 + magnitude),
        "Color": lambda: F.adjust_saturation(x, 1.0 + magnitude),
        "Contrast": lambda: F.adjust_contrast(x, 1.0 + magnitude),
        "Sharpness": lambda: F.adjust_sharpness(x, 1.0 + magnitude),
        "Posterize": lambda: F.posterize(x, int(magnitude)),
        "Solarize": lambda: F.solarize(x, magnitude * (1.0 if _is_floating(x) else 255.0)),
        "AutoContrast": lambda: F.autocontrast(x),
        "Equalize": lambda: F.equalize(x),
        "Invert": lambda: F.invert(x),
    }
    return operations[name]()


def _is_floating(x: Any) -> bool:
    return not isinstance(x, Image.Image) and x.dtype.kind == "f"


class _Policy(RandomTransform):
    """Base of policies: interpolation and fill, and one operation at a step of its range."""

    def __init__(self, interpolation: Interpolation, fill: Fill, generator: np.random.Generator | int | None):
        super().__init__(generator)
        self.interpolation = interpolation
        self.fill = fill

    def step(self, x: Any, name: str, ranges: Mapping[str, Range], bins: int, index: int) -> Any:
        """Apply the operation `name` at step `index` of its magnitudes; signed ones get a random sign."""
        magnitude = float(ranges[name].steps(bins, *size_of(type(self).__name__, x))[index])
        if ranges[name].signed and self.happens(0.5):
            magnitude = -magnitude
        return apply_operation(x, name, magnitude, self.interpolation, self.fill)

    def pick(self, ranges: Mapping[str, Range]) -> str:
        """The name of a random operation."""
        return list(ranges)[self.integer(len(ranges))]


class RandAugment(_Policy):
    """`num_ops` random operations, all at one magnitude (Cubuk et al. 2020).

    Args:
        num_ops: the number of operations, applied in sequence.
        magnitude: the step of each range, below `num_magnitude_bins`.
        num_magnitude_bins: the number of steps of each range.
        interpolation, fill: as in `functional.affine`.
    """

    RANGES: Mapping[str, Range] = {"Identity": _AS_IT_IS, **MODERATE}

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Interpolation = NEAREST,
        fill: Fill = None,
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(interpolation, fill, generator)
        self.num_ops = integer("RandAugment", "num_ops", num_ops, 0)
        self.num_magnitude_bins = integer("RandAugment", "num_magnitude_bins", num_magnitude_bins, 2)
        self.magnitude = integer("RandAugment", "magnitude", magnitude, 0)
        if magnitude >= num_magnitude_bins:
            raise ShapeError(
                f"RandAugment: magnitude must be below num_magnitude_bins {num_magnitude_bins}, got {magnitude}"
            )

    def apply(self, x: Any) -> Any:
        for _ in range(self.num_ops):
            x = self.step(x, self.pick(self.RANGES), self.RANGES, self.num_magnitude_bins, self.magnitude)
        return x


class TrivialAugmentWide(_Policy):
    """One random operation at a random magnitude (Müller, Hutter 2021).

    Args:
        num_magnitude_bins: the number of steps of each range.
        interpolation, fill: as in `functional.affine`.
    """

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: Interpolation = NEAREST,
        fill: Fill = None,
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(interpolation, fill, generator)
        self.num_magnitude_bins = integer("TrivialAugmentWide", "num_magnitude_bins", num_magnitude_bins, 2)

    def apply(self, x: Any) -> Any:
        index = self.integer(self.num_magnitude_bins)
        return self.step(x, self.pick(WIDE), WIDE, self.num_magnitude_bins, index)


class AutoAugmentPolicy(Enum):
    """The data set that a policy was searched on."""

    IMAGENET = "imagenet"


# Cubuk et al. 2019, table 9: pairs of operation, probability, magnitude.
IMAGENET_POLICY = (
    (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.8, 0), ("Equalize", 0.6, 0)),
    (("Posterize", 0.6, 7), ("Posterize", 0.6, 6)),
    (("Equalize", 0.4, 0), ("Solarize", 0.2, 4)),
    (("Equalize", 0.4, 0), ("Rotate", 0.8, 8)),
    (("Solarize", 0.6, 3), ("Equalize", 0.6, 0)),
    (("Posterize", 0.8, 5), ("Equalize", 1.0, 0)),
    (("Rotate", 0.2, 3), ("Solarize", 0.6, 8)),
    (("Equalize", 0.6, 0), ("Posterize", 0.4, 6)),
    (("Rotate", 0.8, 8), ("Color", 0.4, 0)),
    (("Rotate", 0.4, 9), ("Equalize", 0.6, 0)),
    (("Equalize", 0.0, 0), ("Equalize", 0.8, 0)),
    (("Invert", 0.6, 0), ("Equalize", 1.0, 0)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Rotate", 0.8, 8), ("Color", 1.0, 2)),
    (("Color", 0.8, 8), ("Solarize", 0.8, 7)),
    (("Sharpness", 0.4, 7), ("Invert", 0.6, 0)),
    (("ShearX", 0.6, 5), ("Equalize", 1.0, 0)),
    (("Color", 0.4, 0), ("Equalize", 0.6, 0)),
    (("Equalize", 0.4, 0), ("Solarize", 0.2, 4)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 0)),
    (("Invert", 0.6, 0), ("Equalize", 1.0, 0)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Equalize", 0.8, 0), ("Equalize", 0.6, 0)),
)


class AutoAugment(_Policy):
    """A random pair of operations out of 25 that a search found best on ImageNet (Cubuk et al. 2019).

    Args:
        policy: only `AutoAugmentPolicy.IMAGENET`.
        interpolation, fill: as in `functional.affine`.
    """

    RANGES: Mapping[str, Range] = {**MODERATE, "Invert": _AS_IT_IS}
    BINS = 10

    def __init__(
        self,
        policy: AutoAugmentPolicy | str = AutoAugmentPolicy.IMAGENET,
        interpolation: Interpolation = NEAREST,
        fill: Fill = None,
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(interpolation, fill, generator)
        if getattr(policy, "value", policy) != "imagenet":
            raise UnsupportedError(f"AutoAugment: policy must be AutoAugmentPolicy.IMAGENET, got {policy!r}")
        self.policy = AutoAugmentPolicy.IMAGENET

    def apply(self, x: Any) -> Any:
        for name, chance, index in IMAGENET_POLICY[self.integer(len(IMAGENET_POLICY))]:
            if self.happens(chance):
                x = self.step(x, name, self.RANGES, self.BINS, index)
        return x

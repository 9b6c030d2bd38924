"""Transforms that move pixels: sizes, crops, flips, rotations, affine maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from convcore.errors import ShapeError
from convcore.ops.core.arguments import pair
from convcore.transforms import functional as F
from convcore.transforms.base import RandomTransform, Transform, interval, probability
from convcore.transforms.functional.geometry import BILINEAR, NEAREST, Interpolation, margins
from convcore.transforms.images import Fill, size_of, with_pixels

INFINITY = float("inf")


class Resize(Transform):
    """Resize to (height, width), or to a shorter side of `size`; see `functional.resize`."""

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: Interpolation = BILINEAR,
        max_size: int | None = None,
        antialias: bool = True,
    ):
        self.size = size
        self.interpolation = interpolation
        self.max_size = max_size
        self.antialias = antialias

    def apply(self, x: Any) -> Any:
        return F.resize(x, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(Transform):
    """Crop to (height, width) around the centre; a smaller image is padded with black."""

    def __init__(self, size: int | Sequence[int]):
        self.size = pair("CenterCrop", "size", size, 1)

    def apply(self, x: Any) -> Any:
        return F.center_crop(x, self.size)


class Pad(Transform):
    """Add a margin; see `functional.pad`."""

    def __init__(self, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant"):
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def apply(self, x: Any) -> Any:
        return F.pad(x, self.padding, self.fill, self.padding_mode)


class RandomCrop(RandomTransform):
    """Crop to a window of `size` at a random position, after padding.

    With the size of the image and a padding of 2, this shifts the image by up to 2 pixels in each direction.

    Args:
        size: height and width of the window.
        padding: pixels added on the sides first: one number, (left and right, top and bottom), or (left, top, right,
            bottom); none by default.
        pad_if_needed: if the padded image is still smaller than the window, add the missing pixels on both sides.
        fill: the value of the added pixels.
        padding_mode: "constant", "edge", "reflect" or "symmetric".
        generator: as in `RandomTransform`.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Fill = 0,
        padding_mode: str = "constant",
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(generator)
        self.size = pair("RandomCrop", "size", size, 1)
        self.padding = None if padding is None else margins("RandomCrop", padding)
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    def apply(self, x: Any) -> Any:
        x = self._padded(x)
        height, width = size_of("RandomCrop", x)
        top = self.integer(height - self.size[0] + 1)
        left = self.integer(width - self.size[1] + 1)
        return F.crop(x, top, left, *self.size)

    def apply_batch(self, x: np.ndarray) -> np.ndarray:
        """Crop all images at once."""
        padded = self._padded(x)
        n, _, h, w = padded.shape
        top = self.generator.integers(0, h - self.size[0] + 1, n)
        left = self.generator.integers(0, w - self.size[1] + 1, n)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.size, axis=(2, 3))  # (n, c, h', w', *size)
        return windows[np.arange(n), :, top, left]

    def _padded(self, x: Any) -> Any:
        if self.padding is not None and any(self.padding):
            x = F.pad(x, self.padding, self.fill, self.padding_mode)
        height, width = size_of("RandomCrop", x)
        missing = (max(self.size[0] - height, 0), max(self.size[1] - width, 0))
        if any(missing) and not self.pad_if_needed:
            raise ShapeError(
                f"RandomCrop: the padded image must be at least as large as the window {self.size}, got "
                f"{(height, width)} with padding {self.padding}; pad_if_needed=True makes it large enough"
            )
        return F.pad(x, (missing[1], missing[0]), self.fill, self.padding_mode) if any(missing) else x


class RandomResizedCrop(RandomTransform):
    """Crop to a window of random area and aspect ratio, and resize: the usual augmentation for ImageNet (Szegedy 2015).

    Args:
        size: height and width of the result.
        scale: bounds of the window's share of the image's area.
        ratio: bounds of the window's width / height; the logarithm is uniform.
        interpolation, antialias: as in `functional.resize`.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Interpolation = BILINEAR,
        antialias: bool = True,
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(generator)
        self.size = pair("RandomResizedCrop", "size", size, 1)
        self.scale = interval("RandomResizedCrop", "scale", tuple(scale), 0, INFINITY, 1)
        self.ratio = interval("RandomResizedCrop", "ratio", tuple(ratio), 1e-6, INFINITY, 1)
        self.interpolation = interpolation
        self.antialias = antialias

    def draw(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of the window: ten tries, then the largest central one with a valid ratio."""
        for _ in range(10):
            area = height * width * self.uniform(self.scale)
            ratio = math.exp(self.uniform([math.log(bound) for bound in self.ratio]))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return self.integer(height - h + 1), self.integer(width - w + 1), h, w
        w, h = width, height
        if width / height < self.ratio[0]:
            h = round(width / self.ratio[0])
        elif width / height > self.ratio[1]:
            w = round(height * self.ratio[1])
        return (height - h) // 2, (width - w) // 2, h, w

    def apply(self, x: Any) -> Any:
        return F.resized_crop(
            x, *self.draw(*size_of("RandomResizedCrop", x)), self.size, self.interpolation, self.antialias
        )


class _RandomFlip(RandomTransform):
    """Flip with probability `p`."""

    axis: int

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator | int | None = None):
        super().__init__(generator)
        self.p = probability(type(self).__name__, p)

    def apply(self, x: Any) -> Any:
        if not self.happens(self.p):
            return x
        return F.hflip(x) if self.axis == -1 else F.vflip(x)

    def apply_batch(self, x: np.ndarray) -> np.ndarray:
        """Flip all images at once."""
        flipped = self.generator.random(len(x)) < self.p
        return np.where(flipped[:, np.newaxis, np.newaxis, np.newaxis], np.flip(x, self.axis), x)


class RandomHorizontalFlip(_RandomFlip):
    """Flip horizontally with probability `p`."""

    axis = -1


class RandomVerticalFlip(_RandomFlip):
    """Flip vertically with probability `p`."""

    axis = -2


class RandomRotation(RandomTransform):
    """Rotate by a random angle.

    Args:
        degrees: bounds of the angle, or one number for both directions.
        interpolation, expand, center, fill: as in `functional.rotate`.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Interpolation = NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Fill = 0,
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(generator)
        self.degrees = interval("RandomRotation", "degrees", degrees, -INFINITY, INFINITY, 0)
        self.interpolation = interpolation
        self.expand = expand
        self.center = center
        self.fill = fill

    def apply(self, x: Any) -> Any:
        return F.rotate(x, self.uniform(self.degrees), self.interpolation, self.expand, self.center, self.fill)


class RandomAffine(RandomTransform):
    """Rotate, shift, scale and shear at random.

    Args:
        degrees: bounds of the angle, or one number for both directions.
        translate: the largest shifts, as fractions of width and height.
        scale: bounds of the scale.
        shear: in degrees: one number for both directions along x, two bounds along x, or four along x and y.
        interpolation, fill, center: as in `functional.affine`.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Interpolation = NEAREST,
        fill: Fill = 0,
        center: Sequence[float] | None = None,
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(generator)
        name = "RandomAffine"
        self.degrees = interval(name, "degrees", degrees, -INFINITY, INFINITY, 0)
        if translate is not None and (len(translate) != 2 or not all(0 <= part <= 1 for part in translate)):
            raise ShapeError(f"{name}: translate must be two parts in [0, 1] of width and height, got {translate}")
        self.translate = translate
        self.scale = None if scale is None else interval(name, "scale", tuple(scale), 1e-6, INFINITY, 1)
        shears = (
            [shear] if shear is None or isinstance(shear, (int, float)) or len(shear) == 2 else [shear[:2], shear[2:]]
        )
        self.shear = [
            interval(name, "shear", 0 if bounds is None else bounds, -INFINITY, INFINITY, 0) for bounds in shears
        ]
        self.interpolation = interpolation
        self.fill = fill
        self.center = center

    def draw(self, height: int, width: int) -> dict[str, Any]:
        """Random arguments for `functional.affine`."""
        shift_x, shift_y = self.translate or (0.0, 0.0)
        angle = self.uniform(self.degrees)
        return {
            "angle": angle,
            "translate": [
                round(self.uniform((-shift_x * width, shift_x * width))),
                round(self.uniform((-shift_y * height, shift_y * height))),
            ],
            "scale": 1.0 if self.scale is None else self.uniform(self.scale),
            "shear": [self.uniform(bounds) for bounds in self.shear],
        }

    def apply(self, x: Any) -> Any:
        drawn = self.draw(*size_of("RandomAffine", x))
        return F.affine(x, **drawn, interpolation=self.interpolation, fill=self.fill, center=self.center)


class RandomErasing(RandomTransform):
    """Overwrite a rectangle of random size, aspect ratio and position (Zhong et al. 2017).

    Args:
        p: the probability.
        scale: bounds of the rectangle's share of the image's area.
        ratio: bounds of the rectangle's height / width; the logarithm is uniform.
        value: the new value: a number, one for each channel, or "random" for normally distributed values.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0.0,
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(generator)
        self.p = probability("RandomErasing", p)
        self.scale = interval("RandomErasing", "scale", tuple(scale), 0, 1, 1)
        self.ratio = interval("RandomErasing", "ratio", tuple(ratio), 1e-6, INFINITY, 1)
        if isinstance(value, str) and value != "random":
            raise ShapeError(f'RandomErasing: value must be a number, a sequence of them, or "random", got {value!r}')
        self.value = value

    def draw(self, height: int, width: int) -> tuple[int, int, int, int] | None:
        """Top, left, height and width; None if none of ten tries fits."""
        for _ in range(10):
            area = height * width * self.uniform(self.scale)
            ratio = math.exp(self.uniform([math.log(bound) for bound in self.ratio]))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < h < height and 0 < w < width:
                return self.integer(height - h + 1), self.integer(width - w + 1), h, w
        return None

    def apply(self, x: Any) -> Any:
        window = self.draw(*size_of("RandomErasing", x)) if self.happens(self.p) else None
        if window is None:
            return x
        if isinstance(x, Image.Image):
            pixels = np.array(x)
            planes = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)  # a view
            self._cover(planes, window)
            return with_pixels(x, pixels)
        covered = x.copy()
        self._cover(covered, window)
        return covered

    def _cover(self, x: np.ndarray, window: tuple[int, int, int, int]) -> None:
        """Write into (C, H, W)."""
        top, left, h, w = window
        if self.value == "random":
            value = self.generator.standard_normal((x.shape[0], h, w))
        else:
            value = np.atleast_1d(np.asarray(self.value))[:, np.newaxis, np.newaxis]
            if value.shape[0] not in (1, x.shape[0]):
                raise ShapeError(f"RandomErasing: value must have 1 or {x.shape[0]} numbers, got {self.value}")
        x[:, top : top + h, left : left + w] = value.astype(x.dtype)

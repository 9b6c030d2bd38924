"""Transforms of pixel values: colours, blur, normalisation, and conversion between images and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import pair
from convcore.transforms import functional as F
from convcore.transforms.base import RandomTransform, Transform, interval, probability
from convcore.transforms.images import channels_first, channels_last, channels_of

INFINITY = float("inf")


class ToTensor:
    """A Pillow image, or a NumPy array (H, W) or (H, W, C), as a tensor (C, H, W).

    uint8 becomes float32 in [0, 1]; other values are unchanged.
    """

    def __call__(self, pic: Any) -> Any:
        if isinstance(pic, Image.Image):
            pixels = np.array(pic, np.uint8) * np.uint8(255) if pic.mode == "1" else np.array(pic)
        elif isinstance(pic, np.ndarray):
            pixels = pic
        else:
            raise DTypeError(f"ToTensor: pic must be a Pillow image or a NumPy array, got {type(pic).__name__}")
        if pixels.ndim not in (2, 3):
            raise ShapeError(f"ToTensor: pic must be (H, W) or (H, W, C), got {pixels.shape}")
        if isinstance(pic, np.ndarray) and pixels.ndim == 3 and channels_first(pixels.shape):
            raise ShapeError(
                f"ToTensor: pic must be (H, W, C), got {pixels.shape}, which looks like (C, H, W); "
                "convcore.from_numpy(pic) makes a tensor of it"
            )
        planes = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
        if planes.dtype == np.uint8:
            return wrap(planes.astype(np.float32) / np.float32(255))
        if planes.dtype.newbyteorder("=") == np.uint16:  # 16-bit grey images
            return wrap(planes.astype(np.int32))
        return wrap(planes.copy())

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize(Transform):
    """(x - mean) / std, channel by channel, of floating-point images.

    Args:
        mean: one number per channel, or a single one for all channels.
        std: likewise; none of them 0.
    """

    def __init__(self, mean: float | Sequence[float] | np.ndarray, std: float | Sequence[float] | np.ndarray):
        self.mean = np.atleast_1d(np.asarray(mean, np.float64))
        self.std = np.atleast_1d(np.asarray(std, np.float64))
        if self.mean.ndim != 1 or self.std.ndim != 1:
            raise ShapeError(f"Normalize: mean and std must be numbers or lists of numbers, got {mean} and {std}")
        if not np.all(self.std):
            raise ShapeError(f"Normalize: std must not be 0, got {std}")

    def apply(self, x: Any) -> Any:
        if isinstance(x, Image.Image) or x.dtype.kind != "f":
            got = f"a Pillow image of mode {x.mode}" if isinstance(x, Image.Image) else x.dtype
            raise DTypeError(f"Normalize: x must be floating-point, got {got}; put ToTensor() before it")
        channels = x.shape[-3]
        if len(self.mean) not in (1, channels) or len(self.std) not in (1, channels):
            raise ShapeError(
                f"Normalize: x has {channels} channels, but mean has {len(self.mean)} and std {len(self.std)} values; "
                "give one for each channel, or a single one"
            )
        mean, std = (values.astype(x.dtype)[:, np.newaxis, np.newaxis] for values in (self.mean, self.std))
        return (x - mean) / std

    apply_batch = apply

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean.tolist()}, std={self.std.tolist()})"


class ColorJitter(RandomTransform):
    """Change brightness, contrast, saturation and hue at random, in random order.

    Args:
        brightness: bounds of the factor, or v for [max(0, 1 - v), 1 + v].
        contrast: likewise.
        saturation: likewise.
        hue: bounds in [-0.5, 0.5], or v for [-v, v].
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(generator)
        self.brightness = interval("ColorJitter", "brightness", brightness, 0, INFINITY, 1)
        self.contrast = interval("ColorJitter", "contrast", contrast, 0, INFINITY, 1)
        self.saturation = interval("ColorJitter", "saturation", saturation, 0, INFINITY, 1)
        self.hue = interval("ColorJitter", "hue", hue, -0.5, 0.5, 0)

    def apply(self, x: Any) -> Any:
        steps = (
            (F.adjust_brightness, self.brightness, 1),
            (F.adjust_contrast, self.contrast, 1),
            (F.adjust_saturation, self.saturation, 1),
            (F.adjust_hue, self.hue, 0),
        )
        for index in self.generator.permutation(len(steps)):
            adjust, bounds, neutral = steps[index]
            factor = self.uniform(bounds)
            if bounds != (neutral, neutral):
                x = adjust(x, factor)
        return x


class Grayscale(Transform):
    """Convert to grey, in one channel or repeated in three."""

    def __init__(self, num_output_channels: int = 1):
        self.num_output_channels = num_output_channels

    def apply(self, x: Any) -> Any:
        return F.rgb_to_grayscale(x, self.num_output_channels)


class RandomGrayscale(RandomTransform):
    """Convert to grey with probability `p`; the number of channels stays."""

    def __init__(self, p: float = 0.1, *, generator: np.random.Generator | int | None = None):
        super().__init__(generator)
        self.p = probability("RandomGrayscale", p)

    def apply(self, x: Any) -> Any:
        return F.rgb_to_grayscale(x, channels_of("RandomGrayscale", x)) if self.happens(self.p) else x


class GaussianBlur(RandomTransform):
    """Blur by a Gaussian of random width.

    Args:
        kernel_size: odd width and height of the neighbourhood.
        sigma: bounds of the standard deviation in pixels, or one number.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        sigma: float | Sequence[float] = (0.1, 2.0),
        *,
        generator: np.random.Generator | int | None = None,
    ):
        super().__init__(generator)
        self.kernel_size = pair("GaussianBlur", "kernel_size", kernel_size, 1)
        bounds = (sigma, sigma) if isinstance(sigma, (int, float)) else tuple(sigma)
        self.sigma = interval("GaussianBlur", "sigma", bounds, 1e-6, INFINITY, 1)

    def apply(self, x: Any) -> Any:
        return F.gaussian_blur(x, self.kernel_size, self.uniform(self.sigma))


def to_pil_image(pic: Any) -> Image.Image:
    """A tensor or array (C, H, W), floating-point in [0, 1] or uint8, of one or three channels, as a Pillow image."""
    array = pic.array if isinstance(pic, Variable) else pic
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.shape[0] not in (1, 3):
        shape = getattr(array, "shape", type(pic).__name__)
        last = isinstance(array, np.ndarray) and array.ndim == 3 and channels_last(array.shape)
        advice = ", which looks like (H, W, C); PIL.Image.fromarray makes a picture of it" if last else ""
        raise ShapeError(f"to_pil_image: pic must be (1, H, W) or (3, H, W), got {shape}{advice}")
    if array.dtype.kind == "f":
        array = (np.clip(array, 0.0, 1.0) * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise DTypeError(f"to_pil_image: pic must be floating-point or uint8, got {array.dtype}")
    pixels = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, 2)
    return Image.fromarray(np.ascontiguousarray(pixels))

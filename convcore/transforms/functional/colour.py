"""Functions of pixel values: brightness to hue, sharpness and blur, and the colour operations of the policies.

uint8 images are computed by Pillow, as torchvision computes Pillow images; floating-point images, in [0, 1], by the
formula in each docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageEnhance, ImageOps

from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import pair
from convcore.transforms.images import checked, from_pillow, same_kind, to_pillow, with_pixels

LUMA = np.array([0.2989, 0.587, 0.114])  # ITU-R BT.601: luma weights of red, green and blue


PLAIN = ("L", "RGB")
WITH_ALPHA = (*PLAIN, "LA", "RGBA")
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def coloured(
    op: str,
    img: Any,
    pillow: Callable[[Image.Image], Image.Image],
    floats: Callable[[np.ndarray], np.ndarray],
    modes: Sequence[str] = PLAIN,
) -> Any:
    """Apply `pillow` to Pillow images and uint8 arrays, `floats` to floating-point images (C, H, W), one by one.

    Args:
        modes: the accepted modes of Pillow images; in other modes pixels have another meaning, such as ink, a hue, or
            an index into a palette.
    """
    if isinstance(img, Image.Image):
        if img.mode not in modes:
            raise DTypeError(
                f"{op}: a Pillow image must have one of the modes {', '.join(modes)}, got {img.mode}; "
                "img.convert('RGB') first, or read it with convcore.data.read_image"
            )
        return pillow(img)
    array = checked(op, img)
    images = array if array.ndim == 4 else array[np.newaxis]
    if array.dtype == np.uint8:
        results = [from_pillow(pillow(to_pillow(op, image))) for image in images]
    else:
        results = [floats(image).astype(array.dtype, copy=False) for image in images]
    result = np.stack(results) if results else array.copy()
    return same_kind(result if array.ndim == 4 else result[0], img)


def grey(op: str, x: np.ndarray) -> np.ndarray:
    """The brightness (1, H, W) of an image of one or three channels."""
    if x.shape[0] not in (1, 3):
        raise ShapeError(f"{op}: x must have 1 or 3 channels, got {x.shape[0]}")
    return x if x.shape[0] == 1 else np.tensordot(LUMA.astype(x.dtype), x, 1)[np.newaxis]


def _blend(x: np.ndarray, other: Any, factor: float) -> np.ndarray:
    """factor * x + (1 - factor) * other, clipped to [0, 1]."""
    return np.clip(factor * x + (1.0 - factor) * other, 0.0, 1.0)


def _at_least_zero(op: str, name: str, value: float) -> None:
    if value < 0:
        raise ShapeError(f"{op}: {name} must be at least 0, got {value}")


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """factor * x: 0 is black, 1 the image itself."""
    _at_least_zero("adjust_brightness", "brightness_factor", brightness_factor)
    return coloured(
        "adjust_brightness",
        img,
        lambda image: ImageEnhance.Brightness(image).enhance(brightness_factor),
        lambda x: _blend(x, 0.0, brightness_factor),
        WITH_ALPHA,
    )


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """factor * x + (1 - factor) * mean brightness: 0 is grey, 1 the image itself."""
    op = "adjust_contrast"
    _at_least_zero(op, "contrast_factor", contrast_factor)
    return coloured(
        op,
        img,
        lambda image: ImageEnhance.Contrast(image).enhance(contrast_factor),
        lambda x: _blend(x, grey(op, x).mean(), contrast_factor),
        WITH_ALPHA,
    )


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """factor * x + (1 - factor) * brightness: 0 is black and white, 1 the image itself."""
    op = "adjust_saturation"
    _at_least_zero(op, "saturation_factor", saturation_factor)
    return coloured(
        op,
        img,
        lambda image: ImageEnhance.Color(image).enhance(saturation_factor),
        lambda x: x if x.shape[0] == 1 else _blend(x, grey(op, x), saturation_factor),
        WITH_ALPHA,
    )


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Rotate the colour circle by `hue_factor` of a full turn, from -0.5 to 0.5. Grey images are unchanged."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ShapeError(f"adjust_hue: hue_factor must lie in [-0.5, 0.5], got {hue_factor}")

    def pillow(image: Image.Image) -> Image.Image:
        if image.mode not in ("RGB", "RGBA"):
            return image
        hue, saturation, value = image.convert("HSV").split()
        rotated = np.asarray(hue) + np.array(int(hue_factor * 255) % 256, np.uint8)  # wraps around
        result = Image.merge("HSV", (Image.fromarray(rotated), saturation, value)).convert(image.mode)
        if image.mode == "RGBA":
            result.putalpha(image.getchannel("A"))
        return result

    def floats(x: np.ndarray) -> np.ndarray:
        if x.shape[0] == 1:
            return x
        hue, saturation, value = _hue_saturation_value("adjust_hue", x)
        return _red_green_blue((hue + hue_factor) % 1.0, saturation, value)

    return coloured("adjust_hue", img, pillow, floats, (*WITH_ALPHA, "1", *DEEP))


def _hue_saturation_value(op: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue in [0, 1), saturation and value of an RGB image (A. R. Smith 1978, Color gamut transform pairs)."""
    grey(op, x)  # refuses other numbers of channels
    highest, lowest = x.max(axis=0), x.min(axis=0)
    spread = highest - lowest
    safe = np.where(spread == 0, 1.0, spread)
    red, green, blue = (highest - x) / safe
    sixths = np.where(highest == x[0], blue - green, np.where(highest == x[1], 2.0 + red - blue, 4.0 + green - red))
    saturation = spread / np.where(spread == 0, 1.0, highest)
    return np.where(spread == 0, 0.0, sixths / 6.0 % 1.0), saturation, highest


def _red_green_blue(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The inverse: channel n of (5, 3, 1) is v - v s max(0, min(k, 4 - k, 1)) with k = (n + 6 h) mod 6."""
    k = (np.array([5.0, 3.0, 1.0])[:, np.newaxis, np.newaxis] + 6.0 * hue) % 6.0
    return np.clip(value - value * saturation * np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0), 0.0, 1.0)


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """factor * x + (1 - factor) * blurred x, by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13; the border is unchanged."""
    _at_least_zero("adjust_sharpness", "sharpness_factor", sharpness_factor)

    def floats(x: np.ndarray) -> np.ndarray:
        height, width = x.shape[1:]
        if min(height, width) <= 2:
            return x
        blurred = x.copy()
        inner = sum(x[:, i : i + height - 2, j : j + width - 2] for i in range(3) for j in range(3))
        blurred[:, 1:-1, 1:-1] = (inner + 4 * x[:, 1:-1, 1:-1]) / 13.0
        return _blend(x, blurred, sharpness_factor)

    return coloured(
        "adjust_sharpness",
        img,
        lambda image: ImageEnhance.Sharpness(image).enhance(sharpness_factor),
        floats,
        WITH_ALPHA,
    )


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Grey, in one channel or repeated in three."""
    if num_output_channels not in (1, 3):
        raise ShapeError(f"rgb_to_grayscale: num_output_channels must be 1 or 3, got {num_output_channels}")

    def pillow(image: Image.Image) -> Image.Image:
        bright = image.convert("L")
        return bright if num_output_channels == 1 else Image.merge("RGB", (bright,) * 3)

    return coloured(
        "rgb_to_grayscale",
        img,
        pillow,
        lambda x: np.repeat(grey("rgb_to_grayscale", x), num_output_channels, axis=0),
        (*WITH_ALPHA, "1", "P", "PA", "CMYK", "YCbCr", "HSV", "RGBX"),
    )


def invert(img: Any) -> Any:
    """1 - x."""
    return coloured("invert", img, ImageOps.invert, lambda x: 1.0 - x, ("1", *PLAIN))


def posterize(img: Any, bits: int) -> Any:
    """Keep `bits` bits of each value, from 0 to 8."""
    if not 0 <= bits <= 8:
        raise ShapeError(f"posterize: bits must lie in [0, 8], got {bits}")
    levels = 1 << bits
    return coloured(
        "posterize",
        img,
        lambda image: ImageOps.posterize(image, bits),
        lambda x: np.clip(np.floor(x * levels), 0, levels - 1) / levels,
    )


def solarize(img: Any, threshold: float) -> Any:
    """Invert values of at least `threshold`: in [0, 255] for uint8 images, in [0, 1] for floating-point images."""
    return coloured(
        "solarize",
        img,
        lambda image: ImageOps.solarize(image, threshold),  # pyright: ignore[reportArgumentType]
        lambda x: np.where(x >= threshold, 1.0 - x, x),
    )


def autocontrast(img: Any) -> Any:
    """Stretch the range of each channel to [0, 1]; a constant channel is unchanged."""

    def floats(x: np.ndarray) -> np.ndarray:
        lowest, highest = x.min(axis=(1, 2), keepdims=True), x.max(axis=(1, 2), keepdims=True)
        flat = lowest == highest
        return np.where(flat, x, np.clip((x - lowest) / np.where(flat, 1.0, highest - lowest), 0.0, 1.0))

    return coloured("autocontrast", img, ImageOps.autocontrast, floats)


def equalize(img: Any) -> Any:
    """Equalise the histogram of each channel, over 256 levels."""

    def floats(x: np.ndarray) -> np.ndarray:
        levels = np.rint(np.clip(x, 0.0, 1.0) * 255).astype(np.uint8)
        return from_pillow(ImageOps.equalize(to_pillow("equalize", levels))) / x.dtype.type(255)

    return coloured("equalize", img, ImageOps.equalize, floats)


def gaussian_blur(img: Any, kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None = None) -> Any:
    """Convolve with a Gaussian along x and then y, with reflect padding.

    Args:
        kernel_size: odd width and height of the kernel.
        sigma: the standard deviation in pixels, in x and y; by default 0.15 * kernel_size + 0.35.
    """
    op = "gaussian_blur"
    sizes = pair(op, "kernel_size", kernel_size, 1)
    if not all(size % 2 for size in sizes):
        raise ShapeError(f"{op}: kernel_size must be odd, got {kernel_size}")
    if sigma is None:
        sigmas = [0.15 * size + 0.35 for size in sizes]
    else:
        sigmas = [sigma] * 2 if isinstance(sigma, (int, float)) else [*sigma] * (2 // len(sigma))
    if len(sigmas) != 2 or min(sigmas) <= 0:
        raise ShapeError(f"{op}: sigma must be one or two numbers greater than 0, got {sigma}")
    weights = [_gaussian(size, deviation) for size, deviation in zip(sizes, sigmas, strict=True)]

    def blurred(x: np.ndarray) -> np.ndarray:
        height, width = x.shape[1:]
        if sizes[0] // 2 >= width or sizes[1] // 2 >= height:
            raise ShapeError(f"{op}: kernel_size {sizes} is too large for an image of {height} x {width}")
        margin_x, margin_y = sizes[0] // 2, sizes[1] // 2
        padded = np.pad(x, [(0, 0), (margin_y, margin_y), (margin_x, margin_x)], mode="reflect").astype(np.float64)
        along_x = np.tensordot(sliding_window_view(padded, sizes[0], axis=2), weights[0], 1)
        return np.tensordot(sliding_window_view(along_x, sizes[1], axis=1), weights[1], 1)

    def pillow(image: Image.Image) -> Image.Image:
        pixels = np.asarray(image)
        levels = np.moveaxis(blurred(from_pillow(image)), 0, 2).reshape(pixels.shape)
        return with_pixels(image, (levels if image.mode == "F" else np.rint(levels)).astype(pixels.dtype))

    return coloured(op, img, pillow, blurred, (*WITH_ALPHA, "CMYK", "YCbCr", "RGBX", *DEEP))


def _gaussian(size: int, sigma: float) -> np.ndarray:
    """The weights exp(-x^2 / (2 sigma^2)) around the centre, normalised to sum 1."""
    x = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()

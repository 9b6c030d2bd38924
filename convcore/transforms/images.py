"""Helpers for kinds of images: Pillow images, and arrays or tensors (C, H, W), floating-point in [0, 1] or uint8."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np
from PIL import Image

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError


class InterpolationMode(Enum):
    """Interpolation between pixels, with torchvision's names. Functions also accept the value as a string."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_PILLOW = {
    InterpolationMode.NEAREST: Image.Resampling.NEAREST,
    InterpolationMode.NEAREST_EXACT: Image.Resampling.NEAREST,
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
    InterpolationMode.BOX: Image.Resampling.BOX,
    InterpolationMode.HAMMING: Image.Resampling.HAMMING,
    InterpolationMode.LANCZOS: Image.Resampling.LANCZOS,
}

Fill = float | Sequence[float] | None


def resampling(op: str, interpolation: InterpolationMode | str | int) -> Image.Resampling:
    """Pillow's filter for an interpolation: a mode, its name, or Pillow's number."""
    try:
        if isinstance(interpolation, int):
            return Image.Resampling(interpolation)
        return _PILLOW[InterpolationMode(interpolation)]
    except ValueError:
        names = ", ".join(repr(mode.value) for mode in InterpolationMode)
        raise DTypeError(f"{op}: interpolation must be one of {names}, got {interpolation!r}") from None


def checked(op: str, x: Any) -> np.ndarray:
    """The array of an array or tensor that is an image (C, H, W) or a batch (N, C, H, W)."""
    if not isinstance(x, (Variable, np.ndarray)):
        raise DTypeError(f"{op}: x must be a Pillow image, a tensor or a NumPy array, got {type(x).__name__}")
    array = x.array if isinstance(x, Variable) else x
    if array.dtype.kind != "f" and array.dtype != np.uint8:
        raise DTypeError(f"{op}: x must be floating-point in [0, 1] or uint8, got {array.dtype}")
    if array.ndim not in (3, 4):
        raise ShapeError(
            f"{op}: x must be an image (C, H, W) or a batch (N, C, H, W), got {array.ndim} axes, {array.shape}"
        )
    if channels_last(array.shape):
        batch, order = ("N, ", "0, 3, 1, 2") if array.ndim == 4 else ("", "2, 0, 1")
        move = "permute" if isinstance(x, Variable) else "transpose"
        raise ShapeError(
            f"{op}: x must be ({batch}C, H, W), got {array.shape}, which looks like ({batch}H, W, C); "
            f"x.{move}({order}) puts the channels first"
            f"{', and so does ToTensor()' * (array.ndim == 3 and isinstance(x, np.ndarray))}"
        )
    return array


def channels_last(shape: Sequence[int]) -> bool:
    """Whether the last three sizes are probably (H, W, C), not (C, H, W).

    That is if the last is 3 and the first is not a number of channels of an image, or if the last is 1 or 4 and the
    other two are larger than any number of channels.
    """
    first, middle, last = shape[-3:]
    return (last == 3 and first not in (1, 3)) or (last in (1, 4) and min(first, middle) > 4)


def channels_first(shape: Sequence[int]) -> bool:
    """Whether three sizes are probably (C, H, W), not (H, W, C)."""
    return shape[0] in (1, 3) and min(shape[1:]) > 4


def same_kind(result: np.ndarray, x: Any) -> Any:
    """The result as a tensor if `x` is one, else as an array."""
    return wrap(result) if isinstance(x, Variable) else result


def size_of(op: str, x: Any) -> tuple[int, int]:
    """Height and width."""
    if isinstance(x, Image.Image):
        return x.height, x.width
    array = checked(op, x)
    return array.shape[-2], array.shape[-1]


def channels_of(op: str, x: Any) -> int:
    """The number of channels."""
    return len(x.getbands()) if isinstance(x, Image.Image) else checked(op, x).shape[-3]


def affordable(op: str, before: tuple[int, int], after: tuple[int, int], advice: str) -> None:
    """Refuse to make a huge image of a thin one; `before` and `after` are (H, W).

    The limit is Pillow's limit for reading images; four times the size of the image is always allowed.
    """
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and math.prod(after) > max(limit, 4 * math.prod(before)):
        raise ShapeError(
            f"{op}: an image of {before[0]} x {before[1]} would become {after[0]} x {after[1]}, more than {limit:,} "
            f"pixels; {advice}"
        )


def fills(op: str, fill: Fill, channels: int) -> list[float]:
    """One value for each channel."""
    values: list[float] = list(fill) if isinstance(fill, Sequence) else [0 if fill is None else fill]
    if len(values) not in (1, channels):
        raise ShapeError(f"{op}: fill must be a number, or one for each of the {channels} channels, got {fill!r}")
    return values * channels if len(values) == 1 else values


def warped(
    op: str,
    x: Any,
    fill: Fill,
    method: Image.Resampling,
    warp: Callable[[Image.Image, Image.Resampling, Any], Image.Image],
) -> Any:
    """Move pixels with Pillow: `warp(image, method, fill)` on a Pillow image, or on each channel of an array.

    Floating-point images are computed in float32.
    """
    if isinstance(x, Image.Image):
        return _warped_picture(op, x, fills(op, fill, channels_of(op, x)), method, warp)
    array = checked(op, x)
    height, width = array.shape[-2:]
    values = fills(op, fill, array.shape[-3])
    planes = array.reshape(-1, height, width)
    if planes.shape[0] == 0:
        values, planes = [0.0], np.zeros((1, height, width), array.dtype)  # one channel, for the size of the result
    stored = planes if array.dtype == np.uint8 else planes.astype(np.float32)
    moved = [
        np.asarray(warp(Image.fromarray(plane), method, int(value) if array.dtype == np.uint8 else float(value)))
        for plane, value in zip(np.ascontiguousarray(stored), values * (len(planes) // len(values)), strict=True)
    ]
    size = moved[0].shape
    result = np.empty((len(moved), *size), array.dtype)
    np.stack(moved, out=result, casting="unsafe")
    return same_kind(result[: int(np.prod(array.shape[:-2]))].reshape(*array.shape[:-2], *size), x)


def _warped_picture(op: str, image: Image.Image, values: list[float], method: Image.Resampling, warp: Any) -> Any:
    """`warped` for a Pillow image of any mode; mode and palette stay."""
    nearest = method == Image.Resampling.NEAREST
    if image.mode == "HSV" and not nearest:
        raise DTypeError(
            f"{op}: the mean of two hues is another colour: convert('RGB') the picture of mode HSV first, or take "
            "interpolation 'nearest'"
        )
    if image.mode == "PA":  # palette indices cannot be interpolated; for P, Pillow uses NEAREST by itself
        return with_pixels(image, np.asarray(warp(image, Image.Resampling.NEAREST, colour(image, values))))
    if image.mode.startswith("I;16") and not nearest:  # Pillow would interpolate the two bytes of a value separately
        floats = Image.fromarray(np.asarray(image).astype(np.float32))
        moved = np.rint(np.clip(np.asarray(warp(floats, method, values[0])), 0, 65535))
        return with_pixels(image, moved.astype(np.asarray(image).dtype))
    return warp(image, method, colour(image, values))


def colour(image: Image.Image, values: list[float]) -> Any:
    """One value for each channel, as Pillow's colour in the mode of the image."""
    channels = tuple(values) if image.mode == "F" else tuple(int(value) for value in values)
    return channels[0] if len(channels) == 1 else channels


def with_pixels(image: Image.Image, pixels: np.ndarray) -> Image.Image:
    """A Pillow image of pixels (H, W) or (H, W, C), as from `np.asarray`, with the mode and palette of `image`."""
    result = image.crop((0, 0, pixels.shape[1], pixels.shape[0]))
    result.frombytes((np.packbits(pixels, axis=1) if image.mode == "1" else pixels).tobytes())
    return result


def to_pillow(op: str, array: np.ndarray) -> Image.Image:
    """A uint8 array (C, H, W) of one or three channels as a Pillow image."""
    if array.shape[0] not in (1, 3):
        raise ShapeError(f"{op}: x must have 1 or 3 channels, got {array.shape[0]}")
    return Image.fromarray(np.ascontiguousarray(array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, 2)))


def from_pillow(image: Image.Image) -> np.ndarray:
    """A Pillow image as an array (C, H, W)."""
    pixels = np.asarray(image)
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)

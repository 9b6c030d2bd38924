"""What an image is: a Pillow image, or a NumPy array or tensor (C, H, W), floating-point in [0, 1] or uint8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np
from PIL import Image

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError


class InterpolationMode(Enum):
    """How pixels between pixels are computed; the names are torchvision's. A plain string means the same."""

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
    """Pillow's filter for an interpolation: a mode, its name, or Pillow's own number."""
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
    return array


def same_kind(result: np.ndarray, x: Any) -> Any:
    """The result as a tensor where `x` was one."""
    return wrap(result) if isinstance(x, Variable) else result


def size_of(x: Any) -> tuple[int, int]:
    """Height and width."""
    if isinstance(x, Image.Image):
        return x.height, x.width
    return x.shape[-2], x.shape[-1]


def channels_of(x: Any) -> int:
    """The number of channels."""
    return len(x.getbands()) if isinstance(x, Image.Image) else x.shape[-3]


def fills(op: str, fill: Fill, channels: int) -> list[float]:
    """One value for each channel."""
    values: list[float] = list(fill) if isinstance(fill, Sequence) else [0 if fill is None else fill]
    if len(values) not in (1, channels):
        raise ShapeError(f"{op}: fill must be a number, or one for each of the {channels} channels, got {fill!r}")
    return values * channels if len(values) == 1 else values


def warped(op: str, x: Any, fill: Fill, warp: Callable[[Image.Image, Any], Image.Image]) -> Any:
    """Move pixels with Pillow: `warp(image, fill)`, on a Pillow image as a whole, else channel by channel.

    Channels of floating-point images are computed in float32.
    """
    if isinstance(x, Image.Image):
        values = fills(op, fill, channels_of(x))
        colour = tuple(values) if x.mode == "F" else tuple(int(value) for value in values)
        return warp(x, colour[0] if len(colour) == 1 else colour)
    array = checked(op, x)
    height, width = array.shape[-2:]
    values = fills(op, fill, array.shape[-3])
    planes = array.reshape(-1, height, width)
    if planes.shape[0] == 0:
        values, planes = [0.0], np.zeros((1, height, width), array.dtype)  # for the size of the result
    stored = planes if array.dtype == np.uint8 else planes.astype(np.float32)
    moved = [
        np.asarray(warp(Image.fromarray(plane), int(value) if array.dtype == np.uint8 else float(value)))
        for plane, value in zip(np.ascontiguousarray(stored), values * (len(planes) // len(values)), strict=True)
    ]
    size = moved[0].shape
    result = np.empty((len(moved), *size), array.dtype)
    np.stack(moved, out=result, casting="unsafe")
    return same_kind(result[: int(np.prod(array.shape[:-2]))].reshape(*array.shape[:-2], *size), x)


def to_pillow(op: str, array: np.ndarray) -> Image.Image:
    """A uint8 array (C, H, W) of one or three channels as a Pillow image."""
    if array.shape[0] not in (1, 3):
        raise ShapeError(f"{op}: x must have 1 or 3 channels, got {array.shape[0]}")
    return Image.fromarray(np.ascontiguousarray(array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, 2)))


def from_pillow(image: Image.Image) -> np.ndarray:
    """A Pillow image as an array (C, H, W)."""
    pixels = np.asarray(image)
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)

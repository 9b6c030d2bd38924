"""Moving pixels: resize, crop, pad, flip, rotate, affine maps. Names, arguments and rounding are torchvision's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from convcore.errors import ShapeError, UnsupportedError
from convcore.ops.core.arguments import pair
from convcore.transforms.images import (
    Fill,
    InterpolationMode,
    affordable,
    channels_of,
    checked,
    colour,
    fills,
    resampling,
    same_kind,
    size_of,
    warped,
    with_pixels,
)

NEAREST, BILINEAR = InterpolationMode.NEAREST, InterpolationMode.BILINEAR
Interpolation = InterpolationMode | str | int


def resized_size(size: tuple[int, int], target: int | Sequence[int], max_size: int | None = None) -> tuple[int, int]:
    """Height and width after resizing; a single number in `target` is the length of the shorter side."""
    if min(size) < 1:
        raise ShapeError(f"resize: the image must have pixels, got {size[0]} x {size[1]}")
    if not isinstance(target, int) and len(target) == 2:
        if max_size is not None:
            raise ShapeError(f"resize: max_size goes with one size, for the shorter side, got size {tuple(target)}")
        return pair("resize", "size", target, 1)
    short = pair("resize", "size", target, 1)[0]
    height, width = size
    long = int(short * max(size) / min(size))
    if max_size is not None:
        if max_size <= short:
            raise ShapeError(f"resize: max_size must be greater than size, got {max_size} and {short}")
        if long > max_size:
            short, long = int(max_size * short / long), max_size
    return (long, short) if width <= height else (short, long)


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: Interpolation = BILINEAR,
    max_size: int | None = None,
    antialias: bool = True,
) -> Any:
    """Resize to (height, width), or to a shorter side of `size`.

    A thin image that would grow beyond `PIL.Image.MAX_IMAGE_PIXELS` pixels is refused.

    Args:
        interpolation: the interpolation between pixels, BILINEAR by default.
        max_size: the upper limit of the longer side; the shorter side may then be less than `size`.
        antialias: must be True; shrinking always averages pixels.
    """
    if antialias is False:
        raise UnsupportedError("resize: antialias must be True: images are always averaged where they become smaller")
    before = size_of("resize", img)
    height, width = resized_size(before, size, max_size)
    if isinstance(size, int) or len(size) == 1:
        affordable("resize", before, (height, width), "crop it first, or give max_size, or height and width")
    method = resampling("resize", interpolation)
    return warped("resize", img, 0, method, lambda image, method, _: image.resize((width, height), method))


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """Crop to a window inside the image."""
    h, w = size_of("crop", img)
    if min(top, left) < 0 or top + height > h or left + width > w:
        raise ShapeError(
            f"crop: the window must lie inside the image of {h} x {w}, got {height} x {width} at ({top}, {left}); "
            "pad the image first"
        )
    if isinstance(img, Image.Image):
        return img.crop((left, top, left + width, top + height))
    return same_kind(checked("crop", img)[..., top : top + height, left : left + width].copy(), img)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: Interpolation = BILINEAR,
    antialias: bool = True,
) -> Any:
    """Crop to a window and resize it."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def center_crop(img: Any, output_size: int | Sequence[int]) -> Any:
    """Crop to (height, width) around the centre; a smaller image is padded with black."""
    height, width = pair("center_crop", "output_size", output_size, 1)
    h, w = size_of("center_crop", img)
    top, left = max(round((h - height) / 2.0), 0), max(round((w - width) / 2.0), 0)
    cropped = crop(img, top, left, min(h, height), min(w, width))  # before padding, which could make a thin image huge
    missing_h, missing_w = max(height - h, 0), max(width - w, 0)
    if not missing_h and not missing_w:
        return cropped
    return pad(cropped, (missing_w // 2, missing_h // 2, (missing_w + 1) // 2, (missing_h + 1) // 2))


def margins(op: str, padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom, from one number for all, two for (left and right, top and bottom), or four."""
    values = [padding] if isinstance(padding, int) else list(padding)
    if len(values) not in (1, 2, 4) or not all(isinstance(value, int) and value >= 0 for value in values):
        raise ShapeError(f"{op}: padding must be at least 0: one, two or four integers, got {padding}")
    left, top, right, bottom = values * (4 // len(values))
    return left, top, right, bottom


def pad(img: Any, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant") -> Any:
    """Add a margin.

    Args:
        padding: the margin in pixels: one number, (left and right, top and bottom), or (left, top, right, bottom).
        fill: the value of new pixels, one for all channels or one for each; for a Pillow image with a palette, the
            index of a colour.
        padding_mode: "constant", "edge", "reflect" or "symmetric".
    """
    left, top, right, bottom = margins("pad", padding)
    values = fills("pad", fill, channels_of("pad", img))
    modes = ("constant", "edge", "reflect", "symmetric")
    if padding_mode not in modes:
        raise UnsupportedError(f"pad: padding_mode must be one of {', '.join(modes)}, got {padding_mode!r}")
    h, w = size_of("pad", img)
    affordable("pad", (h, w), (top + h + bottom, left + w + right), "crop it first, or pad by less")
    if isinstance(img, Image.Image):
        pixels = np.asarray(img)
        sides = [(top, bottom), (left, right), (0, 0)][: pixels.ndim]
        margin_of = np.asarray(Image.new(img.mode, (1, 1), colour(img, values)))  # as the mode stores it
    else:
        pixels = checked("pad", img)
        sides = [(0, 0)] * (pixels.ndim - 2) + [(top, bottom), (left, right)]
        margin_of = np.asarray(values, pixels.dtype)[:, np.newaxis, np.newaxis]
    if padding_mode == "constant":
        padded = np.empty([n + sum(side) for n, side in zip(pixels.shape, sides, strict=True)], pixels.dtype)
        padded[...] = margin_of
        padded[tuple(slice(side[0], side[0] + n) for n, side in zip(pixels.shape, sides, strict=True))] = pixels
    else:
        padded = np.pad(pixels, sides, mode=padding_mode)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return with_pixels(img, padded) if isinstance(img, Image.Image) else same_kind(padded, img)


def hflip(img: Any) -> Any:
    """Flip horizontally."""
    if isinstance(img, Image.Image):
        return img.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return same_kind(checked("hflip", img)[..., ::-1].copy(), img)


def vflip(img: Any) -> Any:
    """Flip vertically."""
    if isinstance(img, Image.Image):
        return img.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return same_kind(checked("vflip", img)[..., ::-1, :].copy(), img)


def rotate(
    img: Any,
    angle: float,
    interpolation: Interpolation = NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Fill = None,
) -> Any:
    """Rotate the image by `angle` degrees, counter-clockwise.

    Args:
        interpolation: the interpolation between pixels, NEAREST (the default), BILINEAR or BICUBIC.
        expand: enlarge the result to hold all of the rotated image.
        center: the fixed point (x, y); the centre of the image by default.
        fill: the value of pixels from outside the image.
    """
    method = resampling("rotate", interpolation)
    around = None if center is None else (center[0], center[1])
    if expand:
        h, w = size_of("rotate", img)
        sine, cosine = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
        rotated = (math.ceil(w * sine + h * cosine), math.ceil(w * cosine + h * sine))
        affordable("rotate", (h, w), rotated, "crop it first, or leave out expand")
    return warped(
        "rotate",
        img,
        fill,
        method,
        lambda image, method, colour: image.rotate(angle, method, expand, around, fillcolor=colour),
    )


def affine(
    img: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Interpolation = NEAREST,
    fill: Fill = None,
    center: Sequence[float] | None = None,
) -> Any:
    """Shear, scale, rotate and shift the image, around its centre or `center` (x, y).

    Args:
        angle: the rotation in degrees, clockwise.
        translate: the shift in pixels, right and down.
        shear: the shear in degrees, along x, or along x and y.
        interpolation: the interpolation between pixels, NEAREST (the default), BILINEAR or BICUBIC.
        fill: the value of pixels from outside the image.
    """
    if scale <= 0:
        raise ShapeError(f"affine: scale must be greater than 0, got {scale}")
    height, width = size_of("affine", img)
    shears = (shear, 0.0) if isinstance(shear, (int, float)) else (shear[0], shear[1] if len(shear) > 1 else 0.0)
    middle = (width * 0.5, height * 0.5) if center is None else (center[0], center[1])
    matrix = inverse_affine_matrix(middle, angle, (translate[0], translate[1]), scale, shears)
    method = resampling("affine", interpolation)
    return warped(
        "affine",
        img,
        fill,
        method,
        lambda image, method, colour: image.transform(
            (width, height), Image.Transform.AFFINE, matrix, method, fillcolor=colour
        ),
    )


def inverse_affine_matrix(
    center: tuple[float, float],
    angle: float,
    translate: tuple[float, float],
    scale: float,
    shear: tuple[float, float],
) -> tuple[float, float, float, float, float, float]:
    """The source of each pixel: x_in = m[0] x + m[1] y + m[2], y_in = m[3] x + m[4] y + m[5].

    The inverse of T C R S Shy Shx C^-1: move the centre to the origin, shear along x then y, scale, rotate, move back,
    shift. [[a, b], [c, d]] = R Shy Shx has determinant 1, so its inverse is [[d, -b], [-c, a]].
    """
    rotation, shear_x, shear_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    a = math.cos(rotation - shear_y) / math.cos(shear_y)
    b = -math.cos(rotation - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(rotation)
    c = math.sin(rotation - shear_y) / math.cos(shear_y)
    d = -math.sin(rotation - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(rotation)
    m0, m1, m3, m4 = d / scale, -b / scale, -c / scale, a / scale
    x, y = center[0] + translate[0], center[1] + translate[1]
    return m0, m1, center[0] - m0 * x - m1 * y, m3, m4, center[1] - m3 * x - m4 * y

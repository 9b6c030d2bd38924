"""Pictures for the pages: pictures of the package and uploaded files."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from convcore.data import digits
from convcore.data.images import decode_image
from convcore.data.pictures import picture
from convcore.explore import fields

MAX_FILE = 16 * 2**20
MAX_PIXELS = 40_000_000  # 120 MB unpacked
SIDE = 96  # pixels of a picture in the playground: few enough to see single pixels and to respond at once
COLOUR_SIDE = 256


def grey(image: Image.Image, side: int = SIDE) -> dict[str, Any]:
    """Convert a picture of any size to grey, with a longer side of at most `side` pixels."""
    small = image.convert("L")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return fields.as_picture(np.asarray(small))


def colour(image: Image.Image) -> dict[str, Any]:
    """Convert a picture of any size to colour: its centre, in the size that networks for photographs expect."""
    return fields.as_picture(np.asarray(ImageOps.fit(image.convert("RGB"), (COLOUR_SIDE, COLOUR_SIDE))))


KINDS = {"grey": grey, "colour": colour}

DIGITS = {f"digit-{label}": f"a handwritten {label}" for label in range(10)}
"""Handwritten digits: the first of each class in the test part, on which no network here was trained."""


def named(name: str) -> Image.Image:
    """One of `PICTURES` or `DIGITS`."""
    return _digits()[name] if name in DIGITS else picture(name)


@functools.cache
def _digits() -> dict[str, Image.Image]:
    images, labels = digits("test").tensors
    first = [int(np.flatnonzero(labels.numpy() == label)[0]) for label in range(10)]
    return {
        name: Image.fromarray((images.numpy()[i, 0] * 255).round().astype(np.uint8))
        for name, i in zip(DIGITS, first, strict=True)
    }


def converted(image: Image.Image, kind: str) -> dict[str, Any]:
    """A picture in the pages' format: "grey" for the playground and digits, "colour" for networks for photographs."""
    if kind not in KINDS:
        raise fields.RequestError(f"kind must be one of {', '.join(KINDS)}, got {fields.shown(kind)}")
    return KINDS[kind](image)


def png(name: str) -> bytes:
    """A picture of the package as the bytes of a PNG file."""
    file = io.BytesIO()
    named(name).save(file, "PNG")
    return file.getvalue()


def uploaded(data: bytes) -> Image.Image:
    """The picture in an uploaded file, read by `data.read_image`.

    Raises:
        CheckpointError: the file cannot be read, or the picture has more than `MAX_PIXELS` pixels.
    """
    if not data:
        raise fields.RequestError("the file is empty")
    return decode_image(io.BytesIO(data), "the file", max_pixels=MAX_PIXELS)

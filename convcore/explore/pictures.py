"""Pictures for the pages: those of the package, and files that a person uploads."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from convcore.data.images import decode_image
from convcore.data.pictures import picture
from convcore.explore import fields

MAX_FILE = 16 * 2**20
MAX_PIXELS = 40_000_000  # 120 MB unpacked
SIDE = 96  # of a picture in the playground: single pixels can be seen, and a response comes at once


def grey(image: Image.Image, side: int = SIDE) -> dict[str, Any]:
    """A picture of any size, grey and with a longer side of at most `side` pixels."""
    small = image.convert("L")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return fields.as_picture(np.asarray(small))


def sample(name: str) -> dict[str, Any]:
    """A picture of the package as the playground uses it."""
    return grey(picture(name))


def png(name: str) -> bytes:
    """A picture of the package as a file."""
    file = io.BytesIO()
    picture(name).save(file, "PNG")
    return file.getvalue()


def uploaded(data: bytes) -> Image.Image:
    """The picture in a file, upright.

    Raises:
        CheckpointError: it is no picture, damaged, or larger than `MAX_PIXELS`.
    """
    if not data:
        raise fields.RequestError("the file is empty")
    return ImageOps.exif_transpose(decode_image(io.BytesIO(data), "the file", max_pixels=MAX_PIXELS))

"""A few pictures that come with the package, to visualise filters and networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from convcore.data.images import read_image
from convcore.errors import UnsupportedError

FOLDER = Path(__file__).with_name("pictures")

PICTURES = {
    "cat": "a cat's face",
    "coffee": "a cup of coffee",
    "camera": "a man with a camera",
    "rocket": "a rocket before its start",
    "bricks": "a pavement of bricks",
    "shapes": "a circle, a square and lines",
    "checkerboard": "5x5 fields of 1 and 0",
}
"""The names of the pictures, and what they show; `PICTURES.md` lists the sources of the photographs."""


def picture(name: str) -> Image.Image:
    """One of `PICTURES` as a Pillow image in RGB: photographs 256x256, "shapes" 64x64, "checkerboard" 5x5.

    Raises:
        UnsupportedError: there is no picture of this name.
    """
    if name not in PICTURES:
        raise UnsupportedError(f"picture: name must be one of {', '.join(PICTURES)}, got {name!r}")
    if name == "shapes":
        return _shapes()
    if name == "checkerboard":
        rows, columns = np.indices((5, 5))
        return Image.fromarray(((rows + columns + 1) % 2 * 255).astype(np.uint8)).convert("RGB")
    return read_image(FOLDER / f"{name}.jpg")


def _shapes() -> Image.Image:
    image = Image.new("RGB", (64, 64), "black")
    draw = ImageDraw.Draw(image)
    draw.ellipse((5, 5, 29, 29), fill="white")
    draw.rectangle((36, 6, 58, 28), outline="white", width=2)
    for i in range(4):
        draw.line((4 + 8 * i, 58, 12 + 8 * i, 36), fill="white")
    for i in range(5):
        draw.line((38, 37 + 5 * i, 59, 37 + 5 * i), fill=(255 - 45 * i,) * 3, width=2)
    return image

"""Reading the fields of a request: every value is checked, and the message names a wrong one."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
from PIL import Image

from convcore.errors import ConvcoreError

MAX_SIDE = 256  # the most rows and columns of a picture in a request
MAX_KERNEL = 7
MAX_PADDING = 16


class RequestError(ConvcoreError, ValueError):
    """A request that cannot be answered; the page shows the message."""


def value(body: dict[str, Any], name: str) -> Any:
    """A required field."""
    if name not in body:
        raise RequestError(f"{name} is missing from the request")
    return body[name]


def integer(body: dict[str, Any], name: str, lowest: int, highest: int) -> int:
    """A whole number from `lowest` to `highest`."""
    number = value(body, name)
    if isinstance(number, bool) or not isinstance(number, int) or not lowest <= number <= highest:
        raise RequestError(f"{name} must be a whole number from {lowest} to {highest}, got {shown(number)}")
    return number


def number(body: dict[str, Any], name: str, lowest: float, highest: float) -> float:
    """A number from `lowest` to `highest`."""
    given = value(body, name)
    if isinstance(given, bool) or not isinstance(given, int | float) or not lowest <= given <= highest:
        raise RequestError(f"{name} must be a number from {lowest:g} to {highest:g}, got {shown(given)}")
    return float(given)


def choice(body: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    """One of several words."""
    word = value(body, name)
    if word not in choices:
        raise RequestError(f"{name} must be one of {', '.join(choices)}, got {shown(word)}")
    return word


def padding(body: dict[str, Any]) -> int | str:
    """ "valid", "same" or a number of zeros."""
    given = value(body, "padding")
    return given if given in ("valid", "same") else integer(body, "padding", 0, MAX_PADDING)


def kernel(body: dict[str, Any]) -> np.ndarray:
    """A filter: a square grid of numbers, float32."""
    rows = value(body, "kernel")
    size = len(rows) if isinstance(rows, list) else 0
    if not 1 <= size <= MAX_KERNEL or any(not isinstance(row, list) or len(row) != size for row in rows):
        raise RequestError(f"the filter must be a square grid of 1x1 to {MAX_KERNEL}x{MAX_KERNEL} numbers")
    for r, row in enumerate(rows):
        for s, weight in enumerate(row):
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not abs(weight) <= 1e6:  # also refuses NaN
                raise RequestError(
                    f"the filter's row {r + 1}, column {s + 1} must be a number up to a million, got {shown(weight)}"
                )
    return np.array(rows, np.float32)


def picture(body: dict[str, Any]) -> np.ndarray:
    """A grey picture as float32 (H, W) in [0, 1]."""
    data = _pixels(body)
    if data.shape[2] != 1:
        raise RequestError("the picture must be grey")
    return data[:, :, 0].astype(np.float32) / np.float32(255)


def image(body: dict[str, Any]) -> Image.Image:
    """A picture, grey or in colour, for Pillow."""
    data = _pixels(body)
    return Image.fromarray(data if data.shape[2] == 3 else data[:, :, 0])


def _pixels(body: dict[str, Any]) -> np.ndarray:
    """The pixels of a picture {height, width, pixels}, sent as bytes in base64: (H, W, 1), or (H, W, 3) if the field
    `channels` is 3.
    """
    given = value(body, "picture")
    if not isinstance(given, dict):
        raise RequestError("the picture must be an object with height, width and pixels")
    height, width = (integer(given, name, 1, MAX_SIDE) for name in ("height", "width"))
    channels = integer(given, "channels", 1, 3) if "channels" in given else 1
    try:
        data = base64.b64decode(value(given, "pixels"), validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise RequestError("the picture's pixels must be bytes in base64") from None
    if channels == 2 or len(data) != height * width * channels:
        raise RequestError(f"a picture of {height}x{width} has {height * width} pixels, got {len(data) / channels:g}")
    return np.frombuffer(data, np.uint8).reshape(height, width, channels)


def shown(given: Any) -> str:
    """A wrong value, formatted for the message."""
    if given is None:
        return "nothing"
    return repr(given) if len(repr(given)) <= 40 else f"{repr(given)[:40]}.."


def as_picture(pixels: np.ndarray) -> dict[str, Any]:
    """Bytes (H, W) or (H, W, 3) in the pages' format of a picture."""
    height, width, *channels = pixels.shape
    return {
        "height": height,
        "width": width,
        "channels": channels[0] if channels else 1,
        "pixels": base64.b64encode(pixels.tobytes()).decode(),
    }


def as_map(values: np.ndarray) -> dict[str, Any]:
    """Values (H, W), or (C, H, W) for several maps, in the pages' format: float32, little-endian, in base64."""
    data = np.ascontiguousarray(values, "<f4")
    return {
        "count": 1 if data.ndim == 2 else len(data),
        "height": data.shape[-2],
        "width": data.shape[-1],
        "values": base64.b64encode(data.tobytes()).decode(),
        "lowest": float(data.min()),
        "highest": float(data.max()),
    }

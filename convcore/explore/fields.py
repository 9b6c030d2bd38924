"""Reading what a page sent: every value is checked, and a wrong one is named."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np

from convcore.errors import ConvcoreError

MAX_SIDE = 256  # rows and columns of a picture that pages send
MAX_KERNEL = 7
MAX_PADDING = 16


class RequestError(ConvcoreError, ValueError):
    """A request that cannot be answered; the message is shown in the page."""


def value(body: dict[str, Any], name: str) -> Any:
    """A field that must be there."""
    if name not in body:
        raise RequestError(f"{name} is missing from the request")
    return body[name]


def integer(body: dict[str, Any], name: str, lowest: int, highest: int) -> int:
    """A whole number from `lowest` to `highest`."""
    number = value(body, name)
    if isinstance(number, bool) or not isinstance(number, int) or not lowest <= number <= highest:
        raise RequestError(f"{name} must be a whole number from {lowest} to {highest}, got {shown(number)}")
    return number


def choice(body: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    """One of some words."""
    word = value(body, name)
    if word not in choices:
        raise RequestError(f"{name} must be one of {', '.join(choices)}, got {shown(word)}")
    return word


def padding(body: dict[str, Any]) -> int | str:
    """ "valid", "same" or a number of zeros."""
    given = value(body, "padding")
    return given if given in ("valid", "same") else integer(body, "padding", 0, MAX_PADDING)


def kernel(body: dict[str, Any]) -> np.ndarray:
    """A square grid of numbers, float32."""
    rows = value(body, "kernel")
    size = len(rows) if isinstance(rows, list) else 0
    if not 1 <= size <= MAX_KERNEL or any(not isinstance(row, list) or len(row) != size for row in rows):
        raise RequestError(f"the filter must be a square grid of 1x1 to {MAX_KERNEL}x{MAX_KERNEL} numbers")
    for r, row in enumerate(rows):
        for s, weight in enumerate(row):
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not math.isfinite(weight) or abs(weight) > 1e6:
                raise RequestError(
                    f"the filter's row {r + 1}, column {s + 1} must be a number up to a million, got {shown(weight)}"
                )
    return np.array(rows, np.float32)


def picture(body: dict[str, Any]) -> np.ndarray:
    """A grey picture {height, width, pixels}, whose pixels are bytes in base64, as float32 (H, W) in [0, 1]."""
    given = value(body, "picture")
    if not isinstance(given, dict):
        raise RequestError("the picture must be an object with height, width and pixels")
    height, width = (integer(given, name, 1, MAX_SIDE) for name in ("height", "width"))
    try:
        data = base64.b64decode(value(given, "pixels"), validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise RequestError("the picture's pixels must be bytes in base64") from None
    if len(data) != height * width:
        raise RequestError(f"a picture of {height}x{width} has {height * width} pixels, got {len(data)}")
    return np.frombuffer(data, np.uint8).reshape(height, width).astype(np.float32) / np.float32(255)


def shown(given: Any) -> str:
    """A wrong value as the message shows it."""
    if given is None:
        return "nothing"
    return repr(given) if len(repr(given)) <= 40 else f"{repr(given)[:40]}.."


def as_picture(pixels: np.ndarray) -> dict[str, Any]:
    """Bytes (H, W) as pages store a grey picture."""
    height, width = pixels.shape
    return {"height": height, "width": width, "pixels": base64.b64encode(pixels.tobytes()).decode()}


def as_map(values: np.ndarray) -> dict[str, Any]:
    """Numbers (H, W) as pages draw them: float32, little-endian, row by row, in base64."""
    data = np.ascontiguousarray(values, "<f4")
    return {
        "height": data.shape[0],
        "width": data.shape[1],
        "values": base64.b64encode(data.tobytes()).decode(),
        "lowest": float(data.min()),
        "highest": float(data.max()),
    }

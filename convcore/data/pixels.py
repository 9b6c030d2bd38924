"""Pixels of every kind as 8-bit colours or grey: depth, transparency, palettes and colour spaces."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageColor

from convcore.errors import DTypeError, UnsupportedError

MODES = ("RGB", "L", "RGBA", "LA")
GROUND = "white"  # what is seen through transparent pixels: paper
_BITS, _PHOTOMETRY, _FORMAT = 258, 262, 339  # numbers of TIFF's tags
_SIGNED = 2  # the format of integers with a sign
_RENDERED = ("CMYK", "YCbCr", "HSV", "LAB", "RGBX")  # colours that are no red, green and blue, or more than these


def eight_bits(op: str, image: Image.Image, mode: str = "RGB", ground: str = GROUND) -> Image.Image:
    """A Pillow image of any mode with 8 bits for each channel.

    What is deeper is scaled by one rule for all pictures, never clipped: of 16-bit grey 65,535 becomes 255, of
    floating-point numbers 1.0 does.

    Args:
        op: who asks, or the file, for the beginning of errors.
        image: of any mode.
        mode: "RGB" or "L", where transparent pixels let the ground be seen, or "RGBA" or "LA", which keep them so.
        ground: the colour behind transparent pixels.

    Raises:
        UnsupportedError: `mode` is none of these.
        DTypeError: `image` is none, `ground` is no colour, or the numbers have no scale that is known: floating-point
            ones beyond [0, 1], 32-bit integers, or such with a sign.
    """
    if not isinstance(image, Image.Image):
        shape = f" of shape {tuple(image.shape)}" if hasattr(image, "shape") else ""
        raise DTypeError(
            f"{op}: image must be a Pillow image, got {type(image).__name__}{shape}; PIL.Image.fromarray makes one "
            "of an array (H, W, C) of uint8, convcore.transforms.to_pil_image of an array or a tensor (C, H, W)"
        )
    if mode not in MODES:
        raise UnsupportedError(f"{op}: mode must be one of {', '.join(MODES)}, got {mode!r}")
    try:
        behind = ImageColor.getrgb(ground)
    except ValueError:
        raise DTypeError(f"{op}: ground must be the name of a colour, or as in '#ff8800', got {ground!r}") from None
    if image.mode in ("I", "F") or image.mode.startswith("I;16") or _is_signed(image):
        image = _scaled(op, image)
    elif image.mode in _RENDERED:
        image = _rendered(op, image)
    layer = _transparent(image)
    if layer is None or mode in ("RGBA", "LA"):
        return (image if layer is None else layer).convert(mode)
    flat = Image.new("RGB", image.size, behind)
    flat.paste(layer.convert("RGB"), mask=layer.getchannel("A"))
    return flat.convert(mode)


def _scaled(op: str, image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits as "L", or "LA" where one of its numbers stands for transparency."""
    numbers = np.asarray(image)
    if image.mode == "F":
        if numbers.size and not (numbers.min() >= 0 and numbers.max() <= 1):  # NaN is in no interval
            raise DTypeError(
                f"{op}: the picture has floating-point numbers from {numbers.min():g} to {numbers.max():g}, expected "
                "[0, 1]; scale them first"
            )
        levels = np.rint(numbers * 255)
    else:
        white = _white(image)
        if white is None:
            raise DTypeError(
                f"{op}: the picture has 32-bit integers, or such with a sign, of which it is not known which one is "
                "white; save it with 8 or 16 bits, or as floating-point numbers in [0, 1]"
            )
        levels = (numbers.astype(np.uint32) * 255 + white // 2) // white  # rounded
    if _tag(image, _PHOTOMETRY) == 0:  # 0 is white; Pillow minds that up to 8 bits
        levels = 255 - levels
    grey = Image.fromarray(levels.astype(np.uint8))
    if "transparency" not in image.info:
        return grey
    opaque = Image.fromarray((numbers != image.info["transparency"]).astype(np.uint8) * 255)
    return Image.merge("LA", (grey, opaque))


def _white(image: Image.Image) -> int | None:
    """The integer that is white; None if it is not known.

    Pillow has 32-bit integers from PNG and PGM files of 16 bits, too, then scaled to 65,535.
    """
    if _is_signed(image):
        return None
    if image.mode == "I":
        return 65535 if image.format in ("PNG", "PPM") else None
    bits = _tag(image, _BITS)
    return 2 ** bits[0] - 1 if bits else 65535  # TIFF knows 12 bits as well


def _is_signed(image: Image.Image) -> bool:
    """Whether the integers of a TIFF file have a sign, which Pillow passes over in those of 8 bits."""
    return _SIGNED in (_tag(image, _FORMAT) or ())


def _tag(image: Image.Image, number: int) -> Any:
    """What a TIFF file says of itself; None if it does not, or if this is none."""
    return getattr(image, "tag_v2", {}).get(number)


def _rendered(op: str, image: Image.Image) -> Image.Image:
    try:
        return image.convert("RGB")
    except (ImportError, ValueError, OSError, ImageCms.PyCMSError) as error:
        raise DTypeError(f"{op}: Pillow cannot make RGB of a picture of mode {image.mode}: {error}") from None


def _transparent(image: Image.Image) -> Image.Image | None:
    """The picture in RGBA if it has transparent pixels, or could have; else None."""
    if image.mode == "La":  # multiplied by alpha; Pillow knows the way back to LA only
        image = image.convert("LA")
    with_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info
    in_palette = image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")
    return image.convert("RGBA") if with_alpha or in_palette else None

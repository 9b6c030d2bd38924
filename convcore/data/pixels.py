"""Conversion of pixels to 8-bit colour or grey: depth, transparency, palettes and colour spaces."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageColor

from convcore.errors import DTypeError, UnsupportedError

MODES = ("RGB", "L", "RGBA", "LA")
GROUND = "white"  # the background of transparent pixels
_BITS, _PHOTOMETRY, _FORMAT = 258, 262, 339  # TIFF tags
_SIGNED = 2  # TIFF's sample format of signed integers
_RENDERED = ("CMYK", "YCbCr", "HSV", "LAB", "RGBX")  # colour spaces other than RGB


def eight_bits(op: str, image: Image.Image, mode: str = "RGB", ground: str = GROUND) -> Image.Image:
    """A Pillow image of any mode with 8 bits for each channel.

    Deeper pixels are scaled by one rule for all images, never clipped: 65,535 of 16-bit grey and 1.0 of floating-point
    pixels become 255.

    Args:
        op: the caller, or the file, as the beginning of errors.
        image: a Pillow image of any mode.
        mode: "RGB" or "L", which show the ground behind transparent pixels, or "RGBA" or "LA", which keep transparency.
        ground: the colour behind transparent pixels.

    Raises:
        UnsupportedError: `mode` is another one.
        DTypeError: `image` is not a Pillow image, `ground` is not a colour, or the pixels have no known scale:
            floating-point numbers outside [0, 1], 32-bit or signed integers.
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
    """Grey of more than 8 bits as "L", or as "LA" if one grey value is transparent."""
    pixels = np.asarray(image)
    if image.mode == "F":
        if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN is in no interval
            raise DTypeError(
                f"{op}: the picture has floating-point numbers from {pixels.min():g} to {pixels.max():g}, expected "
                "[0, 1]; scale them first"
            )
        levels = np.rint(pixels * 255)
    else:
        white = _white(image)
        if white is None:
            raise DTypeError(
                f"{op}: the picture has 32-bit integers, or such with a sign, of which it is not known which one is "
                "white; save it with 8 or 16 bits, or as floating-point numbers in [0, 1]"
            )
        levels = (pixels.astype(np.uint32) * 255 + white // 2) // white  # rounded
    if _tag(image, _PHOTOMETRY) == 0:  # 0 is white; Pillow handles this only up to 8 bits
        levels = 255 - levels
    grey = Image.fromarray(levels.astype(np.uint8))
    if "transparency" not in image.info:
        return grey
    opaque = Image.fromarray((pixels != image.info["transparency"]).astype(np.uint8) * 255)
    return Image.merge("LA", (grey, opaque))


def _white(image: Image.Image) -> int | None:
    """The integer for white; None if it is unknown.

    Pillow also reads 16-bit PNG and PGM files as 32-bit integers, scaled to 65,535.
    """
    if _is_signed(image):
        return None
    if image.mode == "I":
        return 65535 if image.format in ("PNG", "PPM") else None
    bits = _tag(image, _BITS)
    return 2 ** bits[0] - 1 if bits else 65535  # TIFF also has 12 bits


def _is_signed(image: Image.Image) -> bool:
    """Whether a TIFF file has signed integers; Pillow ignores the sign of 8-bit ones."""
    return _SIGNED in (_tag(image, _FORMAT) or ())


def _tag(image: Image.Image, number: int) -> Any:
    """The value of a TIFF tag; None without the tag, or in other formats."""
    return getattr(image, "tag_v2", {}).get(number)


def _rendered(op: str, image: Image.Image) -> Image.Image:
    try:
        return image.convert("RGB")
    except (ImportError, ValueError, OSError, ImageCms.PyCMSError) as error:
        raise DTypeError(f"{op}: Pillow cannot make RGB of a picture of mode {image.mode}: {error}") from None


def _transparent(image: Image.Image) -> Image.Image | None:
    """The image in RGBA if it may have transparent pixels; else None."""
    if image.mode == "La":  # premultiplied alpha; Pillow converts it only to LA
        image = image.convert("LA")
    with_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info
    in_palette = image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")
    return image.convert("RGBA") if with_alpha or in_palette else None

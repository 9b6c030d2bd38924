"""Reading image files, or their bytes, as Pillow images.

An image is returned upright, with 8 bits for each channel, and transparent pixels on a background colour. Only the
formats listed here are read, recognised by their content: for others, such as PostScript, Pillow starts programs.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

from convcore.data.orientation import orientation, take_exif, upright
from convcore.data.pixels import GROUND, eight_bits
from convcore.errors import CheckpointError, DTypeError, UnsupportedError

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
}
"""The formats that are read, and their file extensions. AVIF needs Pillow 11.3 or newer."""

IMG_EXTENSIONS = tuple(ending for endings in FORMATS.values() for ending in endings)

# Raised by Pillow for damaged files; warnings, too, if the program's filters turn them into errors.
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, TypeError, OverflowError,
    RuntimeError, Warning,
)  # fmt: skip

_BOMB = "the picture has more than {:,} pixels, which could be a decompression bomb; make it smaller"


def read_image(
    path: str | os.PathLike[str], mode: str = "RGB", *, ground: str = GROUND, shrink: bool = False
) -> Image.Image:
    """An image file as a Pillow image, upright.

    Args:
        path: a file in one of `FORMATS`, with any extension.
        mode: "RGB" for colour, "L" for grey; "RGBA" or "LA" keep transparency.
        ground: the colour behind transparent pixels, white by default.
        shrink: read a JPEG at an eighth of its size: faster, if only readability is to be checked.

    16-bit grey is scaled from 65,535 to 255, and floating-point pixels from 1.0 to 255.

    Raises:
        CheckpointError: the file is damaged, truncated, not an image, or too large, or its pixels have no known scale.
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as file:
        return decode_image(file, os.fspath(path), mode, ground=ground, shrink=shrink)


def decode_image(
    file: BinaryIO,
    name: str,
    mode: str = "RGB",
    *,
    ground: str = GROUND,
    shrink: bool = False,
    max_pixels: int | None = None,
) -> Image.Image:
    """An image from an open binary file, or from bytes in `io.BytesIO`, as a Pillow image.

    Args:
        file: a file in one of `FORMATS`.
        name: the name for errors.
        mode, ground, shrink: as in `read_image`.
        max_pixels: refuse larger images before they are decoded; `PIL.Image.MAX_IMAGE_PIXELS` by default.

    Raises:
        CheckpointError: as in `read_image`.
    """
    with _named(name):
        image, exif = _opened(file, name, max_pixels)
        if shrink:
            image.draft(None, (image.width // 8 + 1, image.height // 8 + 1))
        _scale_transparency(image)
        image.load()
        value = orientation(exif, image.info)  # not for TIFF, which Pillow rotates itself when it decodes
        return upright(eight_bits(name, image, mode, ground), value)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of an image file as stored, from the header alone.

    Raises:
        CheckpointError: the file is not an image, or too large.
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as file, _named(os.fspath(path)):
        return _opened(file, os.fspath(path), None)[0].size


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Convert Pillow's errors to a CheckpointError of one line that starts with the file's name."""
    try:
        yield
    except (CheckpointError, UnsupportedError):
        raise
    except DTypeError as error:
        raise CheckpointError(str(error)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise CheckpointError(f"{name}: {_BOMB.format(Image.MAX_IMAGE_PIXELS)}") from None
    except UnidentifiedImageError:
        reason = f"cannot identify it as one of {', '.join(FORMATS)}"
        raise CheckpointError(f"{name}: not a picture that can be read: {reason}") from None
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{name}: not a picture that can be read: {reason:.150}") from None


def _opened(file: BinaryIO, name: str, max_pixels: int | None) -> tuple[ImageFile.ImageFile, bytes]:
    """The image, with only the header read, and the EXIF block of a JPEG."""
    file, exif = take_exif(file)
    image = Image.open(file, formats=_known_formats())
    pixels = image.width * image.height
    # Pillow itself raises an error only above twice the limit; below, it gives a warning, which may be disabled.
    if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
        raise CheckpointError(f"{name}: {_BOMB.format(Image.MAX_IMAGE_PIXELS)}")
    if max_pixels is not None and pixels > max_pixels:
        size = f"{image.width}x{image.height} pixels, more than {max_pixels:,}"
        raise CheckpointError(f"{name}: the picture has {size}; make it smaller")
    return image, exif


@functools.cache
def _known_formats() -> tuple[str, ...]:
    """The formats that the installed Pillow can read."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _scale_transparency(image: ImageFile.ImageFile) -> None:
    """Scale a PNG's transparent colour to 8 bits: Pillow converts the pixels, but keeps this in the file's depth."""
    if image.format != "PNG" or "transparency" not in image.info:
        return
    colour, stored = image.info["transparency"], image.tile[0][3]
    if stored in ("L;2", "L;4"):
        image.info["transparency"] = colour * 255 // (2 ** int(stored[2:]) - 1)
    elif stored == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)

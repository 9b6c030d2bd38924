"""Reading pictures: the one place where files, and bytes that somebody sends, become Pillow images.

A picture comes out upright, with 8 bits for each channel, on a ground where it is transparent. Only formats of pictures
are read, known by their content: Pillow starts other programs for some others, such as PostScript.
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
"""The formats that are read, and the endings of their files' names. AVIF needs Pillow 11.3 or newer."""

IMG_EXTENSIONS = tuple(ending for endings in FORMATS.values() for ending in endings)

# What Pillow raises on damaged files; warnings where the program's filters make errors of them.
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, TypeError, OverflowError,
    RuntimeError, Warning,
)  # fmt: skip

_BOMB = "the picture has more than {:,} pixels, which could be a decompression bomb; make it smaller"


def read_image(
    path: str | os.PathLike[str], mode: str = "RGB", *, ground: str = GROUND, shrink: bool = False
) -> Image.Image:
    """A picture file as a Pillow image, upright.

    Args:
        path: a file of one of `FORMATS`, whatever its name ends in.
        mode: "RGB" for colours, "L" for grey; "RGBA" or "LA" keep transparency.
        ground: the colour behind transparent pixels, white by default.
        shrink: read JPEG at an eighth of the size: faster, for who only wants to know whether it can be read.

    Grey of 16 bits is scaled, 65,535 to 255, and so are floating-point numbers, 1.0 to 255.

    Raises:
        CheckpointError: it is damaged, cut short, no picture, or too large, or its numbers have no known scale.
        OSError: it cannot be opened.
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
    """A picture from a binary file that is open, or from bytes in `io.BytesIO`, as a Pillow image.

    Args:
        file: a file of one of `FORMATS`.
        name: what errors call it.
        mode, ground, shrink: as for `read_image`.
        max_pixels: refuse a larger picture before its pixels are unpacked; `PIL.Image.MAX_IMAGE_PIXELS` by default.

    Raises:
        CheckpointError: as for `read_image`.
    """
    with _named(name):
        image, exif = _opened(file, name, max_pixels)
        if shrink:
            image.draft(None, (image.width // 8 + 1, image.height // 8 + 1))
        _scale_transparency(image)
        image.load()
        turn = orientation(exif, image.info)  # TIFF has no such block: Pillow turns it while it unpacks
        return upright(eight_bits(name, image, mode, ground), turn)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a picture file as it is stored, by its header alone.

    Raises:
        CheckpointError: it is no picture, or too large.
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file, _named(os.fspath(path)):
        return _opened(file, os.fspath(path), None)[0].size


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Whatever Pillow raises becomes an error of one line that begins with the file's name."""
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
    """The picture, of which only the header is read, and the EXIF block of a JPEG."""
    file, exif = take_exif(file)
    image = Image.open(file, formats=_known_formats())
    pixels = image.width * image.height
    # Pillow itself raises an error from twice the limit on, and else a warning that may have been turned off.
    if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
        raise CheckpointError(f"{name}: {_BOMB.format(Image.MAX_IMAGE_PIXELS)}")
    if max_pixels is not None and pixels > max_pixels:
        size = f"{image.width}x{image.height} pixels, more than {max_pixels:,}"
        raise CheckpointError(f"{name}: the picture has {size}; make it smaller")
    return image, exif


@functools.cache
def _known_formats() -> tuple[str, ...]:
    """Those that this Pillow has a reader for."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _scale_transparency(image: ImageFile.ImageFile) -> None:
    """PNG names the transparent colour in the file's own depth, which Pillow keeps while it brings pixels to 8 bits."""
    if image.format != "PNG" or "transparency" not in image.info:
        return
    colour, stored = image.info["transparency"], image.tile[0][3]
    if stored in ("L;2", "L;4"):
        image.info["transparency"] = colour * 255 // (2 ** int(stored[2:]) - 1)
    elif stored == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)

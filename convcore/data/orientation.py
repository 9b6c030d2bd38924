"""The orientation of images: cameras store pixels in the sensor's orientation, and record the needed rotation in EXIF.

Pillow parses all of a JPEG's EXIF block as soon as it opens the file, and warns about any damage in it. Only one value
of the block is needed, so it is parsed here.
Source: CIPA DC-008-2019, "Exchangeable image file format for digital still cameras: Exif 2.32", 4.5.2 and 4.6.4.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

from PIL import Image

UPRIGHT = 1
_ORIENTATION = 0x0112  # the number of the tag
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # integer types of tags; the standard specifies 3
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF = b"Exif\0\0"
_XMP = re.compile(rb'tiff:Orientation(?:\s*=\s*["\']|>)\s*([1-8])\s*["\'<]')
_NOTES = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")  # keys of `Image.info` with an orientation


def take_exif(file: BinaryIO) -> tuple[BinaryIO, bytes]:
    """An image file for Pillow, and the EXIF block of a JPEG.

    In a JPEG, the name of the block is overwritten, so that Pillow ignores it. Other files are unchanged: Pillow parses
    their EXIF blocks only on request. A file that cannot seek, such as a pipe, is read into memory.
    """
    if not file.seekable():
        file = io.BytesIO(file.read())
    file.seek(0)
    magic = file.read(2)
    file.seek(0)
    if magic != b"\xff\xd8":
        return file, b""
    content = bytearray(file.read())
    block = b""
    start = 2
    # Segments: 0xFF, the kind, two bytes for the length including these two, the content; 0xDA starts the pixels.
    while start + 4 <= len(content) and content[start] == 0xFF and content[start + 1] != 0xDA:
        end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        name = slice(start + 4, start + 4 + len(_EXIF))
        if content[start + 1] == 0xE1 and content[name] == _EXIF:
            block = block or bytes(content[name.start : end])
            content[name] = bytes(len(_EXIF))
        start = end
    return io.BytesIO(content), block


def orientation(block: Any, info: Mapping[Any, Any]) -> int:
    """The orientation of an image, 1 to 8; `UPRIGHT` if none is recorded.

    The first source with an orientation counts: the EXIF block, also in the text of a PNG as ImageMagick stores it,
    then XMP.

    Args:
        block: the EXIF block of a JPEG; b"" for the block in `info`.
        info: Pillow's `Image.info`.
    """
    exif = noted(block or info.get("exif") or _raw_profile(info.get("Raw profile type exif")))
    if exif is not None:
        return exif if exif in _TRANSPOSES else UPRIGHT
    for name in ("xmp", "XML:com.adobe.xmp"):
        xmp = info.get(name, b"")
        found = _XMP.search(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp)
        if found is not None:
            return int(found[1])
    return UPRIGHT


def _raw_profile(text: Any) -> bytes:
    """The EXIF block in a PNG's text: an empty line, the kind, the length, then lines of hexadecimal digits."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except (AttributeError, ValueError):
        return b""


def noted(block: Any) -> int | None:
    """The orientation in an EXIF block, or None if there is none or the block is damaged.

    The block: optionally "Exif" and two zeros; "II" or "MM" for the byte order; 42; the offset of the list of tags. The
    list: the number of tags, then 12 bytes for each: tag, type, count, value.
    """
    try:
        block = bytes(block).removeprefix(_EXIF)
        order = {b"II": "<", b"MM": ">"}[block[:2]]
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for i in range(count):
            tag, kind = struct.unpack_from(f"{order}HH", block, start + 2 + 12 * i)
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(order + _INTEGERS[kind], block, start + 10 + 12 * i)
                return value
    except (KeyError, TypeError, struct.error):
        pass
    return None


def upright(image: Image.Image, value: int) -> Image.Image:
    """The image rotated or flipped by its orientation, without the recorded orientation."""
    result = image.transpose(_TRANSPOSES[value]) if value in _TRANSPOSES else image
    for name in _NOTES:
        result.info.pop(name, None)
    return result

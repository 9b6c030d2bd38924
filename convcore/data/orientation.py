"""Which way up a picture is: cameras store it as the sensor lies, and note in EXIF how it is to be turned.

Pillow reads all of a JPEG's EXIF block as soon as it opens the file, and complains about what is damaged there through
the warnings of the program. One number of the block is needed here, so it is read here.
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
_ORIENTATION = 0x0112  # the tag's number
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # types of tags; the standard asks for 3
_TURNS = {
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
_NOTES = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")  # where a picture's info has the orientation


def take_exif(file: BinaryIO) -> tuple[BinaryIO, bytes]:
    """A picture file as Pillow is to see it, and the EXIF block of a JPEG.

    In a JPEG the name of the block is overwritten, so that Pillow passes it over. Other files stay as they are: Pillow
    does not look into their blocks unasked. What cannot be read twice, such as a pipe, is kept in memory.
    """
    if not file.seekable():
        file = io.BytesIO(file.read())
    file.seek(0)
    start = file.read(2)
    file.seek(0)
    if start != b"\xff\xd8":
        return file, b""
    content = bytearray(file.read())
    block = b""
    place = 2
    # Segments: 0xFF, the kind, two bytes of length with these two, the content; 0xDA begins the pixels.
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        name = slice(place + 4, place + 4 + len(_EXIF))
        if content[place + 1] == 0xE1 and content[name] == _EXIF:
            block = block or bytes(content[name.start : end])
            content[name] = bytes(len(_EXIF))
        place = end
    return io.BytesIO(content), block


def orientation(block: Any, info: Mapping[Any, Any]) -> int:
    """The orientation of a picture, 1 to 8; `UPRIGHT` if none is noted.

    The first of these that notes one counts: the EXIF block, here or in a PNG as ImageMagick keeps it, and XMP.

    Args:
        block: the EXIF block of a JPEG; b"" for that in `info`.
        info: what else Pillow found beside the pixels.
    """
    exif = noted(block or info.get("exif") or _raw_profile(info.get("Raw profile type exif")))
    if exif is not None:
        return exif if exif in _TURNS else UPRIGHT
    for name in ("xmp", "XML:com.adobe.xmp"):
        xmp = info.get(name, b"")
        found = _XMP.search(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp)
        if found is not None:
            return int(found[1])
    return UPRIGHT


def _raw_profile(text: Any) -> bytes:
    """The block in a PNG's text: an empty line, its kind, its length, then hexadecimal digits in lines."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except (AttributeError, ValueError):
        return b""


def noted(block: Any) -> int | None:
    """The orientation that an EXIF block notes, None if it notes none or is damaged.

    The block: optionally "Exif" and two zeros; "II" or "MM" for the order of bytes; 42; where the list of tags begins;
    there their number, and for each 12 bytes: tag, type, count, value.
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
    """The picture turned as its orientation asks for, without the note that it is to be turned."""
    turned = image.transpose(_TURNS[value]) if value in _TURNS else image
    for name in _NOTES:
        turned.info.pop(name, None)
    return turned

"""Orientation where it is noted elsewhere than in an EXIF block of the file's own, and odd numbers in TIFF files."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin
from test_reading import corners, exif, read, saved

from convcore.data.images import decode_image
from convcore.errors import CheckpointError

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {}</rdf:RDF></x:xmpmeta>'
)
ATTRIBUTE, ELEMENT = 'tiff:Orientation="{}"/>', "><tiff:Orientation>{}</tiff:Orientation></rdf:Description>"


def noted(kind, spelling, value):
    """A picture of a file format whose XMP block notes an orientation."""
    xmp = XMP.format(spelling.format(value))
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp)
        return saved(corners(), "PNG", pnginfo=text)
    block = {"tiffinfo": {700: xmp.encode()}} if kind == "TIFF" else {"xmp": xmp.encode()}
    return saved(corners(), kind, **block, **({"lossless": True} if kind == "WEBP" else {}))


@pytest.mark.parametrize("spelling", [ATTRIBUTE, ELEMENT])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", [1, 3, 6, 8])
def test_orientation_in_xmp(value, kind, spelling):
    content = noted(kind, spelling, value)
    image = decode_image(io.BytesIO(content), "it")
    with Image.open(io.BytesIO(content)) as stored:
        wanted = ImageOps.exif_transpose(stored).convert("RGB")
    assert image.size == wanted.size == ((48, 32) if value in (1, 3) else (32, 48))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(wanted))
    assert ImageOps.exif_transpose(image).tobytes() == image.tobytes()


def test_exif_counts_before_xmp():
    for value, size in ((1, (48, 32)), (6, (32, 48))):
        xmp = XMP.format(ATTRIBUTE.format(8)).encode()
        assert read(saved(corners(), "JPEG", exif=exif(value), xmp=xmp)).shape[1::-1] == size


@pytest.mark.parametrize("value", [1, 3, 6, 8])
def test_orientation_as_imagemagick_keeps_it_in_png(value):
    digits = exif(value).hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(digits) // 2:8}\n{lines}\n", zip=True)
    content = saved(corners(), "PNG", pnginfo=text)
    with Image.open(io.BytesIO(content)) as stored:
        wanted = ImageOps.exif_transpose(stored)
    np.testing.assert_array_equal(read(content), np.asarray(wanted))


@pytest.mark.parametrize("profile", ["", "exif", "\nexif\n 4\nxyz", "\nexif\n 4\n45786966", "\nexif\n\n" + "ff" * 50])
def test_a_damaged_profile_is_no_error(profile):
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", profile)
    np.testing.assert_array_equal(read(saved(corners(), "PNG", pnginfo=text)), np.asarray(corners()))


def tiff(bits, kind, photometry, numbers):
    """A grey TIFF file of one row; kind 1 for integers, 2 for such with a sign, 3 for floating-point numbers."""
    width = len(numbers) * 8 // bits
    tags = [
        (256, width),
        (257, 1),
        (258, bits),
        (259, 1),
        (262, photometry),
        (273, 134),
        (278, 1),
        (279, len(numbers)),
        (339, kind),
        (277, 1),
    ]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + numbers


@pytest.mark.parametrize("photometry", [0, 1])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_integers_with_a_sign_are_refused(bits, photometry):
    with pytest.raises(
        CheckpointError, match=r"it: (the picture has 32-bit integers, or such with a sign|not a picture)"
    ):
        read(tiff(bits, 2, photometry, bytes(8)), "L")


def test_floating_point_numbers_where_zero_is_white():
    numbers = struct.pack("<4f", 0, 0.5, 1, 0.25)
    np.testing.assert_array_equal(read(tiff(32, 3, 1, numbers), "L"), [[0, 128, 255, 64]])
    np.testing.assert_array_equal(read(tiff(32, 3, 0, numbers), "L"), [[255, 127, 0, 191]])

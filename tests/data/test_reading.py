"""Reading pictures: upright, with 8 bits, on white where they are transparent, and only what is a picture."""

import io
import os
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from convcore.data import DataLoader, ImageFolder, read_image
from convcore.data.images import FORMATS, IMG_EXTENSIONS, decode_image, image_size
from convcore.data.pixels import eight_bits
from convcore.errors import CheckpointError, DTypeError, UnsupportedError
from convcore.models.pretrained.preprocess import DigitImage, ImageClassification

RAMP = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)  # 0, 257, .., 65,535: all 256 levels
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(content, mode="RGB", **options):
    return np.asarray(decode_image(io.BytesIO(content), "it", mode, **options))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, depth, colour, row, transparent):
    """A PNG of one row, with a transparent colour."""
    header = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    rest = chunk(b"tRNS", transparent) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rest


def exif(value, order="<", kind=3):
    """An EXIF block with one tag, the orientation, as an integer of 1, 2 or 4 bytes (types 1, 3 and 4)."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    number = struct.pack(order + {1: "B", 3: "H", 4: "I"}[kind], value).ljust(4, b"\0")
    return b"Exif\0\0" + start + struct.pack(f"{order}IHHHI", 8, 1, 0x0112, kind, 1) + number + bytes(4)


def corners():
    """A picture of 48x32 pixels: white with a red, a green and a blue corner."""
    pixels = np.full((32, 48, 3), 255, np.uint8)
    pixels[:16, :16], pixels[:16, -16:], pixels[-16:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return Image.fromarray(pixels)


# How a camera stores a picture so that each orientation, 1 to 8, brings it back.
STORED = [
    None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_270,
]  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation(value, kind, order):
    turn = STORED[value - 1]
    stored = corners() if turn is None else corners().transpose(turn)
    options = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    }
    if kind == "TIFF":
        note = Image.Exif()
        note[0x0112] = value
        content = saved(stored, kind, exif=note, big_tiff=order == ">")  # Pillow writes one order only
    else:
        settings = {"exif": exif(value, order), **options.get(kind, {})}
        content = saved(stored, kind, **settings)
    image = decode_image(io.BytesIO(content), "it")
    assert image.size == (48, 32)
    np.testing.assert_allclose(np.asarray(image), np.asarray(corners()), atol=40)
    assert ImageOps.exif_transpose(image).tobytes() == image.tobytes()  # nobody turns it twice


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_orientation_of_every_type_of_integer(kind, order):
    content = saved(corners(), "JPEG", exif=exif(6, order, kind))
    assert decode_image(io.BytesIO(content), "it").size == (32, 48)


def test_the_first_of_two_exif_blocks_behind_others_counts():
    content = saved(corners(), "JPEG")
    blocks = [b"http://ns.adobe.com/xap/1.0/\0<x/>", exif(6), exif(3)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block for block in blocks)
    image = decode_image(io.BytesIO(content[:2] + segments + content[2:]), "it")
    assert image.size == (32, 48)
    assert image.tobytes() == decode_image(io.BytesIO(content), "it").transpose(Image.Transpose.ROTATE_270).tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_picture_from_a_pipe(kind):
    reader, writer = os.pipe()
    with open(writer, "wb") as file:
        file.write(saved(corners(), kind))
    assert read_image(f"/dev/fd/{reader}").size == (48, 32)
    os.close(reader)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_upright_picture_keeps_its_bits(mode, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)).convert(mode)
    for name in ("a.png", "a.bmp", "a.jpg", "a.tif"):
        picture.save(tmp_path / name)
        with Image.open(tmp_path / name) as plain:
            for wanted in ("RGB", "L"):
                assert read_image(tmp_path / name, wanted).tobytes() == plain.convert(wanted).tobytes()


TIFF_HEAD = b"Exif\0\0II*\0"
DAMAGED_EXIF = [
    b"Exif\0\0",
    b"Exif\0\0nothing of the kind",
    exif(6)[:8],
    exif(6)[:-8],
    TIFF_HEAD + struct.pack("<I", 4_000_000_000),  # a list of tags beyond the end
    TIFF_HEAD + struct.pack("<IH", 8, 65535),
    TIFF_HEAD + struct.pack("<IHHHII", 8, 1, 0x011A, 5, 1, 9999),  # a resolution beyond the end
    exif(0),
    exif(9),
    exif(65535),
]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("block", DAMAGED_EXIF)
def test_a_damaged_exif_block_is_no_error(block, kind):
    plain = read(saved(corners(), kind))
    for filters in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(filters)
            np.testing.assert_array_equal(read(saved(corners(), kind, exif=block)), plain)


def test_the_orientation_counts_though_the_rest_is_damaged():
    block = exif(6)[:-4].replace(struct.pack("<IH", 8, 1), struct.pack("<IH", 8, 500))
    assert decode_image(io.BytesIO(saved(corners(), "JPEG", exif=block)), "it").size == (32, 48)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled(kind):
    content = saved(Image.fromarray(RAMP), kind)
    np.testing.assert_array_equal(read(content, "L"), LEVELS)
    np.testing.assert_array_equal(read(content), np.stack([LEVELS] * 3, axis=2))
    odd = Image.fromarray(np.array([[0, 128, 129, 385, 386, 65406, 65407]], np.uint16))
    np.testing.assert_array_equal(read(saved(odd, kind), "L"), [[0, 0, 1, 1, 2, 254, 255]])


# Pillow refuses big-endian files in which 0 is white.
@pytest.mark.parametrize(("order", "white_is_zero"), [("<", False), (">", False), ("<", True)])
def test_16_bit_tiff_of_either_order_of_bytes(order, white_is_zero):
    pixels = RAMP.astype(f"{order}u2").tobytes()
    tags = [(256, 16), (257, 16), (258, 16), (259, 1), (262, int(not white_is_zero)), (273, 110), (278, 16), (279, 512)]
    entries = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4)
    np.testing.assert_array_equal(read(content + pixels, "L"), 255 - LEVELS if white_is_zero else LEVELS)


def test_12_bit_tiff():
    numbers = [0, 4095, 2048, 16]
    bits = int("".join(f"{number:012b}" for number in numbers), 2).to_bytes(6, "big")
    tags = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (266, 1), (273, 122), (278, 1), (279, 6)]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    content = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + bits
    np.testing.assert_array_equal(read(content, "L"), [[0, 255, 128, 1]])


def test_floating_point_numbers_are_scaled_or_refused():
    ramp = (LEVELS / 255).astype(np.float32)
    np.testing.assert_array_equal(read(saved(Image.fromarray(ramp), "TIFF"), "L"), LEVELS)
    for wrong, shown in ((ramp * 255, "from 0 to 255"), (ramp - 0.5, "from -0.5 to 0.5"), (ramp * np.nan, "nan")):
        with pytest.raises(CheckpointError, match=rf"it: the picture has floating-point numbers .*{shown}.*\[0, 1\]"):
            read(saved(Image.fromarray(wrong.astype(np.float32)), "TIFF"), "L")


@pytest.mark.parametrize("numbers", [RAMP.astype(np.int32), RAMP.astype(np.int32) << 15, LEVELS.astype(np.int32)])
def test_32_bit_integers_are_refused(numbers):
    with pytest.raises(CheckpointError, match=r"it: the picture has 32-bit integers, .* save it with 8 or 16 bits"):
        read(saved(Image.fromarray(numbers), "TIFF"))


def test_bilevel_and_sixteen_bit_colours():
    bits = Image.fromarray(np.array([[0, 255, 0]], np.uint8)).convert("1", dither=Image.Dither.NONE)
    np.testing.assert_array_equal(read(saved(bits, "PNG"), "L"), [[0, 255, 0]])
    row = struct.pack(">6H", 0, 32768, 65535, 257, 514, 771)
    np.testing.assert_allclose(read(png(2, 16, 2, row, struct.pack(">3H", 9, 9, 9))), [[[0, 128, 255], [1, 2, 3]]])


def drawing(mode):
    """Black, half transparent red (or grey) and invisible black ink; and what is to be seen of it on white."""
    pixels = np.array([[[0, 0, 0, 255], [255, 0, 0, 128], [0, 0, 0, 0]]], np.uint8)
    grey = mode[0] == "L"
    half = 255 - round((255 - 76) * 128 / 255)  # 76 is the brightness of red
    seen = [[0] * 3, [half] * 3 if grey else [255, 127, 127], [255] * 3]
    return Image.fromarray(pixels).convert("LA" if grey else "RGBA").convert(mode), np.array([seen], np.uint8)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparent_pixels_let_white_paper_be_seen(mode, kind):
    image, seen = drawing(mode)
    content = saved(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(read(content), seen)
    np.testing.assert_array_equal(read(content, "L"), np.asarray(Image.fromarray(seen).convert("L")))
    other = read(content, ground="black")
    assert not other[:, [0, 2]].any()
    assert other[:, 1].any()
    np.testing.assert_array_equal(read(content, "RGBA")[..., 3], np.asarray(image.getchannel("A")))


def test_transparent_pixels_in_memory():
    for mode in ("RGBa", "La"):
        image, seen = drawing(mode)
        np.testing.assert_allclose(np.asarray(eight_bits("it", image)), seen, atol=1)
    paletted = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    paletted.putpalette([0, 0, 0, 255, 0, 0, 9, 9, 9])
    planes = [Image.fromarray(np.array([row], np.uint8)) for row in ([0, 1, 2], [255, 255, 0])]
    with_alpha = Image.merge("PA", planes)
    with_alpha.putpalette([0, 0, 0, 255, 0, 0, 9, 9, 9])
    in_palette = paletted.copy()
    in_palette.putpalette([0, 0, 0, 255, 255, 0, 0, 255, 9, 9, 9, 0], "RGBA")
    for image in (with_alpha, in_palette):
        np.testing.assert_array_equal(np.asarray(eight_bits("it", image)), [[[0, 0, 0], [255, 0, 0], [255, 255, 255]]])
    np.testing.assert_array_equal(np.asarray(eight_bits("it", paletted))[0, 2], [9, 9, 9])


@pytest.mark.parametrize("transparent", [2, bytes([255, 128, 0])], ids=["index", "bytes"])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palettes_with_transparency(transparent, kind):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 0])
    if kind == "GIF" and isinstance(transparent, bytes):
        transparent = 2  # it knows no other
    half = isinstance(transparent, bytes)
    content = saved(image, kind, transparency=transparent)
    seen = [[[0, 0, 0], [255, 127, 127] if half else [255, 0, 0], [255, 255, 255]]]
    np.testing.assert_array_equal(read(content), seen)


@pytest.mark.parametrize(
    ("depth", "row", "transparent", "seen"),
    [
        (1, b"\x40", 0, [255, 255, 255, 255]),
        (1, b"\x40", 1, [0, 255, 0, 0]),
        (2, b"\x1b", 0, [255, 85, 170, 255]),
        (2, b"\x1b", 2, [0, 85, 255, 255]),
        (4, b"\x0f\x28", 2, [0, 255, 255, 136]),
        (8, b"\x00\x02\x80\xff", 0, [255, 2, 128, 255]),
        (16, struct.pack(">4H", 0, 1000, 1001, 65535), 1000, [0, 255, 4, 255]),
    ],
)
def test_grey_with_a_transparent_level(depth, row, transparent, seen):
    np.testing.assert_array_equal(read(png(4, depth, 0, row, struct.pack(">H", transparent)), "L"), [seen])


def test_colours_with_a_transparent_one():
    content = png(2, 8, 2, bytes([1, 2, 3, 3, 2, 1]), struct.pack(">3H", 1, 2, 3))
    np.testing.assert_array_equal(read(content), [[[255, 255, 255], [3, 2, 1]]])
    content = png(2, 16, 2, struct.pack(">6H", 1000, 2000, 3000, 65535, 0, 0), struct.pack(">3H", 1000, 2000, 3000))
    np.testing.assert_array_equal(read(content), [[[255, 255, 255], [255, 0, 0]]])


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "RGBX", "P", "1", "L"])
def test_other_colours(mode):
    flat = Image.new("RGB", (3, 2), (200, 40, 40))
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.applyTransform(flat, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    else:
        image = flat.convert(mode)
    assert image is not None
    expected = np.asarray(flat.convert(mode).convert("RGB") if mode in ("1", "L", "P") else flat)
    for found in (eight_bits("it", image), eight_bits("it", image, "L"), eight_bits("it", image, "RGBA")):
        reference = Image.fromarray(expected).convert(found.mode)
        np.testing.assert_allclose(np.asarray(found), np.asarray(reference), atol=3)
    if mode in ("CMYK", "YCbCr", "LAB", "P", "1", "L"):
        np.testing.assert_allclose(read(saved(image, "TIFF")), expected, atol=3)


def test_what_cannot_be_asked_for():
    with pytest.raises(UnsupportedError, match="it: mode must be one of RGB, L, RGBA, LA, got 'CMYK'"):
        read(saved(corners(), "PNG"), "CMYK")
    with pytest.raises(CheckpointError, match=r"it: ground must be the name of a colour, .* got 'paper'"):
        read(saved(corners(), "PNG"), ground="paper")
    with pytest.raises(DTypeError, match="DigitImage: the picture has 32-bit integers"):
        DigitImage()(Image.fromarray(RAMP.astype(np.int32)))


def test_preparation_takes_pictures_of_every_kind():
    grey = np.repeat(np.repeat(LEVELS, 2, 0), 2, 1)
    prepare = ImageClassification(crop_size=32, resize_size=32)
    expected = prepare(Image.fromarray(grey)).numpy()
    for deep in (grey.astype(np.uint16) * 257, (grey / 255).astype(np.float32)):
        np.testing.assert_array_equal(prepare(Image.fromarray(deep)).numpy(), expected)
    ink = np.zeros((20, 20, 4), np.uint8)
    ink[5:15, 8:11, 3] = 255  # black on nothing
    drawn = np.full((20, 20), 255, np.uint8)
    drawn[5:15, 8:11] = 0
    digit = DigitImage()(Image.fromarray(ink)).numpy()
    np.testing.assert_array_equal(digit, DigitImage()(Image.fromarray(drawn)).numpy())
    assert digit.any()


def test_only_pictures_are_read_whatever_the_name(tmp_path):
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    unread = [saved(corners(), kind) for kind in ("ICO", "TGA", "PCX", "SGI", "JPEG2000", "PDF")]
    for content in (postscript, *unread, b"#define x_width 8\n#define x_height 1\n"):
        (tmp_path / "cat.jpg").write_bytes(content)
        for reader in (read_image, image_size):
            with pytest.raises(CheckpointError, match=r"cat\.jpg: not a picture .* one of JPEG, PNG, PPM, BMP, "):
                reader(tmp_path / "cat.jpg")
    for kind in FORMATS:
        (tmp_path / "cat.eps").write_bytes(saved(corners(), kind))
        assert read_image(tmp_path / "cat.eps").size == image_size(tmp_path / "cat.eps") == (48, 32)


def test_no_other_program_is_started(tmp_path, run_python):
    """Pillow hands PostScript to Ghostscript; a stand-in on the path notes that."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    head = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    (tmp_path / "cat.jpg").write_bytes(head + b"showpage\n%%EOF\n")

    def started(read):
        code = f"""
from PIL import Image
from convcore.data import read_image
try:
    {read}
except (OSError, ValueError) as error:
    print(error)
"""
        done = run_python(code, cwd=tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
        return (tmp_path / "started").exists(), done.stdout

    assert started("read_image('cat.jpg')") == (
        False, f"cat.jpg: not a picture that can be read: cannot identify it as one of {', '.join(FORMATS)}\n"
    )  # fmt: skip
    assert started("Image.open('cat.jpg').load()")[0]  # so the stand-in would have noted it


@pytest.mark.parametrize("kind", FORMATS)
def test_whatever_is_damaged_there_is_one_error(kind):
    draw = np.random.default_rng(3)
    content = saved(Image.fromarray(draw.integers(0, 256, (12, 10, 3), dtype=np.uint8)), kind)
    messages = []
    for _ in range(400):
        damaged = bytearray(content)
        for place in draw.integers(len(content), size=3):
            damaged[place] = draw.integers(256)
        try:
            assert read(bytes(damaged)).ndim == 3
        except CheckpointError as error:
            messages.append(str(error))
    assert messages
    assert all(message.startswith("it: ") and "\n" not in message for message in messages)


def test_every_ending_belongs_to_a_format():
    assert {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".jfif"} <= set(IMG_EXTENSIONS)
    registered = Image.registered_extensions()
    assert all(registered[ending] == kind for kind, endings in FORMATS.items() for ending in endings)


@pytest.mark.parametrize("filters", ["error", "ignore"])
def test_a_picture_that_claims_to_be_huge(filters, monkeypatch):
    content = saved(corners(), "PNG")  # of 1,536 pixels
    with warnings.catch_warnings():
        warnings.simplefilter(filters)
        for limit in (1000, 100):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
            with pytest.raises(CheckpointError, match=rf"it: .*more than {limit:,} pixels, .*decompression bomb"):
                read(content)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        assert read(content).shape == (32, 48, 3)
        with pytest.raises(CheckpointError, match="it: the picture has 48x32 pixels, more than 1,535; make it smaller"):
            read(content, max_pixels=1535)


def test_reading_in_threads_leaves_warnings_alone(tmp_path):
    (tmp_path / "cat").mkdir()
    for i in range(40):
        corners().save(tmp_path / "cat" / f"{i}.jpg", exif=exif(6))
    count = 5000
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        loader = DataLoader(ImageFolder(tmp_path, np.asarray), num_workers=4, collate_fn=list)
        reading = threading.Thread(target=lambda: [list(loader) for _ in range(5)])
        reading.start()
        for i in range(count):
            warnings.warn(f"number {i}", UserWarning, stacklevel=1)
        reading.join()
        assert warnings.filters == before
    assert [str(warning.message) for warning in heard] == [f"number {i}" for i in range(count)]

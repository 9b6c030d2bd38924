"""Pillow images of every mode: colours stay, or the mode is refused by name."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from convcore.errors import DTypeError
from convcore.transforms import (
    CenterCrop,
    Grayscale,
    Pad,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    Resize,
    ToTensor,
    functional,
)
from convcore.transforms.policies import apply_operation

DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
MODES = (
    "1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "LA", "PA", "La", "RGBa", "RGBX", *DEEP,
)  # fmt: skip
RNG = np.random.default_rng(0)
PALETTE = RNG.integers(0, 256, 768, dtype=np.uint8).tobytes()


def picture(mode, size=(9, 7)):
    """Random pixels of a mode."""
    image = Image.new(mode, size)
    blank = np.asarray(image)
    if mode == "1":
        content = np.packbits(RNG.integers(0, 2, blank.shape, dtype=np.uint8), axis=1)
    elif mode == "F":
        content = RNG.random(blank.shape, dtype=np.float32)
    else:
        content = RNG.integers(0, 60_000 if mode in DEEP else 256, blank.shape).astype(blank.dtype)
    image.frombytes(content.tobytes())
    if mode in ("P", "PA"):
        image.putpalette(PALETTE)
    return image


def assert_same(image, other):
    np.testing.assert_array_equal(np.asarray(image), np.asarray(other))
    assert (image.mode, image.getpalette()) == (other.mode, other.getpalette())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fill", [0, 7])
def test_a_margin_is_pillow_s(mode, fill):
    image = picture(mode)
    bands = len(image.getbands())
    expected = ImageOps.expand(image, (1, 2, 3, 4), fill if bands == 1 else (fill,) * bands)
    assert_same(functional.pad(image, [1, 2, 3, 4], fill), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding_mode", ["edge", "reflect", "symmetric"])
def test_a_mirrored_margin_repeats_pixels(mode, padding_mode):
    image = picture(mode)
    rows, columns = (np.pad(np.arange(n), 3, mode=padding_mode) for n in (7, 9))
    padded = Pad(3, padding_mode=padding_mode)(image)
    np.testing.assert_array_equal(np.asarray(padded), np.asarray(image)[rows][:, columns])
    assert_same(padded.crop((3, 3, 12, 10)), image)


@pytest.mark.parametrize("mode", MODES)
def test_crops_keep_colours(mode):
    image = picture(mode)
    large = CenterCrop((11, 13))(image)
    assert_same(large.crop((2, 2, 11, 9)), image)
    assert_same(CenterCrop((3, 13))(image), functional.pad(image.crop((0, 2, 9, 5)), [2, 0, 2, 0]))
    assert_same(RandomCrop((7, 9), generator=0)(image), image)
    moved = RandomCrop((11, 13), pad_if_needed=True, generator=0)(image)
    assert (moved.mode, moved.getpalette(), moved.size) == (image.mode, image.getpalette(), (13, 11))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [0, "random"])
def test_erasing_leaves_the_rest(mode, value):
    image = picture(mode)
    with np.errstate(invalid="ignore"):  # negative numbers become some uint8 or other
        erased = RandomErasing(1.0, (0.2, 0.3), (1.0, 1.0), value, generator=1)(image)
    assert (erased.mode, erased.getpalette(), erased.size) == (image.mode, image.getpalette(), image.size)
    same = np.asarray(erased) == np.asarray(image)
    changed = ~same.reshape(7, 9, -1).all(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert 0 < len(rows) < 7
    assert 0 < len(columns) < 9
    if value == 0 and mode not in ("1", "La", "RGBa"):
        assert not np.asarray(erased)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize(
    "make",
    [
        lambda i: Resize((5, 4), i), lambda i: RandomRotation((20, 20), i, fill=3),
        lambda i: RandomAffine(10, scale=(0.8, 0.9), interpolation=i, generator=0),
        lambda i: RandomResizedCrop(6, interpolation=i, generator=0),
    ],
    ids=["resize", "rotate", "affine", "crop and resize"],
)  # fmt: skip
def test_moved_pixels_keep_colours(mode, interpolation, make):
    image = picture(mode)
    if mode == "HSV" and interpolation == "bilinear":
        with pytest.raises(DTypeError, match=r"the mean of two hues is another colour: convert\('RGB'\)"):
            make(interpolation)(image)
        return
    moved = make(interpolation)(image)
    assert (moved.mode, moved.getpalette()) == (mode, image.getpalette())
    if mode in ("1", "P", "PA"):  # numbers of colours are not averaged
        margin = np.full((1, len(image.getbands())), 3), np.zeros((1, len(image.getbands())))
        known = np.concatenate([np.asarray(image).reshape(63, -1), *margin])
        found = np.unique(np.asarray(moved).reshape(-1, known.shape[1]), axis=0)
        assert (found[:, np.newaxis] == known).all(2).any(1).all()
    if mode in DEEP and mode != "F":
        exact = make(interpolation)(Image.fromarray(np.asarray(image).astype(np.float32)))
        off = 1 if mode == "I" else 0.51  # Pillow rounds 32 bits down
        np.testing.assert_allclose(np.asarray(moved), np.asarray(exact), rtol=0, atol=off)


@pytest.mark.parametrize("mode", MODES)
def test_flips_keep_colours(mode):
    image = picture(mode)
    flipped = RandomHorizontalFlip(1.0)(image)
    np.testing.assert_array_equal(np.asarray(flipped), np.asarray(image)[:, ::-1])
    assert (flipped.mode, flipped.getpalette()) == (mode, image.getpalette())


def test_16_bits_stay_in_their_range():
    steep = Image.fromarray(np.repeat(np.array([[0, 65535]], np.uint16), 8, 1).repeat(16, 0))
    moved = np.asarray(functional.resize(steep, [31, 29], "bicubic"))
    assert moved.dtype == np.uint16
    assert (moved.min(), moved.max()) == (0, 65535)
    assert (np.diff(moved.astype(int), axis=1) >= -700).all()  # neither end wraps round to the other


VALUES = {
    "brightness": (lambda x: functional.adjust_brightness(x, 0.5), ("L", "RGB", "LA", "RGBA")),
    "contrast": (lambda x: functional.adjust_contrast(x, 0.5), ("L", "RGB", "LA", "RGBA")),
    "saturation": (lambda x: functional.adjust_saturation(x, 0.5), ("L", "RGB", "LA", "RGBA")),
    "sharpness": (lambda x: functional.adjust_sharpness(x, 0.5), ("L", "RGB", "LA", "RGBA")),
    "hue": (lambda x: functional.adjust_hue(x, 0.3), ("L", "RGB", "LA", "RGBA", "1", *DEEP)),
    "invert": (functional.invert, ("1", "L", "RGB")),
    "posterize": (lambda x: functional.posterize(x, 3), ("L", "RGB")),
    "solarize": (lambda x: functional.solarize(x, 100), ("L", "RGB")),
    "autocontrast": (functional.autocontrast, ("L", "RGB")),
    "equalize": (functional.equalize, ("L", "RGB")),
    "blur": (
        lambda x: functional.gaussian_blur(x, 3),
        ("L", "RGB", "LA", "RGBA", "CMYK", "YCbCr", "RGBX", *DEEP),
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", VALUES)
def test_values_are_changed_only_where_they_are_brightness(name, mode):
    change, modes = VALUES[name]
    image = picture(mode)
    if mode not in modes:
        with pytest.raises(DTypeError, match=rf"must have one of the modes {modes[0]}, .* got {mode}; .*read_image"):
            change(image)
        return
    changed = change(image)
    assert (changed.mode, changed.size) == (mode, image.size)
    if mode in ("LA", "RGBA") and name not in ("blur", "contrast"):  # the mean of contrast may be rounded otherwise
        assert changed.getchannel("A").tobytes() == image.getchannel("A").tobytes()
        assert change(image.convert(mode[:-1])).tobytes() == changed.convert(mode[:-1]).tobytes()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", *DEEP])
def test_blur_is_that_of_each_channel(mode):
    image = picture(mode)
    planes = np.asarray(image).reshape(7, 9, -1).transpose(2, 0, 1).astype(np.float64)
    expected = np.stack([functional.gaussian_blur(plane[np.newaxis], 5)[0] for plane in planes], axis=2)
    blurred = np.asarray(functional.gaussian_blur(image, 5))
    np.testing.assert_allclose(blurred.reshape(7, 9, -1), expected, rtol=1e-6, atol=0.5001)
    assert blurred.dtype == np.asarray(image).dtype


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "HSV", "RGBX"])
def test_grey_of_every_colour(mode):
    image = picture(mode)
    found = Grayscale()(image)
    assert found.mode == "L"
    np.testing.assert_allclose(np.asarray(found), np.asarray(image.convert("RGB").convert("L")), atol=1)


@pytest.mark.parametrize("mode", [*DEEP, "LAB", "La"])
def test_grey_is_refused_where_numbers_would_be_cut_off(mode):
    with pytest.raises(DTypeError, match=rf"rgb_to_grayscale: a Pillow image must have .* got {mode};"):
        Grayscale()(picture(mode))


OPERATIONS = [
    ("ShearX", 0.2), ("TranslateY", 2.0), ("Rotate", 20.0), ("Brightness", 0.2), ("Color", 0.2), ("Posterize", 2.0),
    ("AutoContrast", 0.0), ("Invert", 0.0), ("Solarize", 0.3),
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "magnitude"), OPERATIONS)
def test_operations_of_policies_keep_the_mode_or_name_it(name, magnitude, mode):
    image = picture(mode)

    def step():
        return apply_operation(image, name, magnitude, "nearest", None)

    if mode in ("L", "RGB") or name in ("ShearX", "TranslateY", "Rotate"):
        assert (step().mode, step().getpalette()) == (mode, image.getpalette())
    elif mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
        with pytest.raises(DTypeError, match=f"got {mode};"):
            step()


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_become_a_tensor_of_either_order_of_bytes(order):
    pixels = np.array([[1, 256, 65535]], f"{order}u2")
    image = Image.frombytes("I;16" if order == "<" else "I;16B", (3, 1), pixels.tobytes())
    for given in (image, pixels):
        tensor = ToTensor()(given)
        assert tensor.dtype == np.int32
        assert tensor.tolist() == [[[1, 256, 65535]]]

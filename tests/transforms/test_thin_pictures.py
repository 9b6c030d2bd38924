"""Thin pictures: small files that would become huge are cut first, or refused."""

import resource

import numpy as np
import pytest
from PIL import Image

from convcore.errors import ShapeError
from convcore.models.pretrained.preprocess import DigitImage, ImageClassification, resized_part
from convcore.transforms import CenterCrop, Pad, RandomCrop, RandomResizedCrop, Resize, functional

RNG = np.random.default_rng(0)
METHODS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def thin(width, height):
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def little_memory():
    """A limit of 600 MB beyond what the process has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 30), (2, 41), (3, 50), (60, 3), (33, 1), (500, 24), (20, 2000)])
def test_a_part_is_that_of_the_whole(size, method):
    image = thin(*size)
    scale = 32 / min(size)
    large = (int(size[0] * scale), int(size[1] * scale))
    left, top = (round((n - 28) / 2) for n in large)
    for window in ((left, top, left + 28, top + 28), (0, 0, 28, 28), (-3, -2, 40, 39)):
        part = resized_part(image, large, window, METHODS[method])
        whole = image.resize(large, METHODS[method]).crop(window)
        np.testing.assert_allclose(np.asarray(part, np.int16), np.asarray(whole, np.int16), rtol=0, atol=1)


@pytest.mark.parametrize("interpolation", METHODS)
@pytest.mark.parametrize("size", [(1, 30_000), (1, 65_000), (30_000, 1), (2, 1_000_000), (1_000_000, 3)])
def test_preparation_needs_little_memory(size, interpolation, little_memory):
    image = thin(*size)
    prepare = ImageClassification(interpolation=interpolation)
    found = prepare(image).numpy()
    # 40 pixels of the middle, which are few enough to be resized as a whole; two levels of rounding.
    w, h = size
    left, top = max(w // 2 - 20, 0), max(h // 2 - 20, 0)
    middle = image.crop((left, top, min(w, left + 40), min(h, top + 40)))
    np.testing.assert_allclose(found, prepare(middle).numpy(), rtol=0, atol=0.04)


@pytest.mark.parametrize("interpolation", METHODS)
def test_photographs_have_the_bits_of_resizing_the_whole(interpolation):
    for size in ((300, 200), (316, 781), (97, 331), (40, 40), (1600, 100)):
        image = thin(*size)
        large = [int(256 * n / min(size)) for n in size]
        left, top = (round((n - 224) / 2) for n in large)
        window = (left, top, left + 224, top + 224)
        whole = image.resize((large[0], large[1]), METHODS[interpolation]).crop(window)
        plain = ImageClassification(interpolation=interpolation, mean=(0, 0, 0), std=(1, 1, 1))(image).numpy()
        np.testing.assert_array_equal(plain.transpose(1, 2, 0), np.asarray(whole, np.float32) / 255)


def test_a_digit_of_any_shape(little_memory):
    for size in ((1, 30_000), (65_000, 1), (9000, 9000)):
        image = Image.new("L", size, 255)
        image.paste(0, (0, 0, 1, min(size[1], 4)))
        assert DigitImage()(image).numpy().any()


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (
            Resize(256),
            "resize: an image of 30000 x 1 would become 7680000 x 256, more than .* give max_size, or height",
        ),
        (Resize([256]), "resize: an image of 30000 x 1 would become 7680000 x 256"),
        (lambda x: functional.rotate(x, 45, expand=True), "rotate: an image of 30000 x 1 would become 21214 x 21214, "),
        (Pad((4000, 0)), "pad: an image of 30000 x 1 would become 30000 x 8001, more than 89,478,485 pixels; crop it"),
        (RandomCrop(4000, pad_if_needed=True), "pad: an image of 30000 x 1 would become 30000 x "),
    ],
)
@pytest.mark.parametrize("make", [lambda x: x, lambda x: np.asarray(x)[np.newaxis]], ids=["pillow", "array"])
def test_what_would_become_huge_is_refused(apply, message, make, little_memory):
    with pytest.raises(ShapeError, match=message):
        apply(make(Image.new("L", (1, 30_000))))


def test_the_limit_is_pillow_s(monkeypatch):
    image = Image.new("L", (1, 50))
    assert Resize(20)(image).size == (20, 1000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(ShapeError, match="1000 x 20, more than 10,000 pixels"):
        Resize(20)(image)
    assert Resize((1000, 20))(image).size == (20, 1000)  # asked for by number
    assert Resize(20, max_size=400)(image).size == (8, 400)
    large = Image.new("L", (150, 100))
    assert Resize(200)(large).size == (300, 200)  # four times as large as it is
    assert functional.rotate(large, 45, expand=True).size[0] > 170
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert Resize(20)(image).size == (20, 1000)


def test_cutting_the_middle_out_needs_little_memory(little_memory):
    image = thin(1, 2_000_000)
    cut = CenterCrop(224)(image)
    assert cut.size == (224, 224)
    np.testing.assert_array_equal(np.asarray(cut)[:, 111], np.asarray(image)[999_888:1_000_112, 0])
    assert not np.asarray(cut)[:, :111].any()
    assert RandomResizedCrop(224, generator=0)(image).size == (224, 224)
    assert CenterCrop(224)(np.asarray(image).transpose(2, 0, 1)).shape == (3, 224, 224)


def test_an_image_without_pixels_is_named():
    with pytest.raises(ShapeError, match="resize: the image must have pixels, got 5 x 0"):
        ImageClassification()(Image.new("RGB", (0, 5)))

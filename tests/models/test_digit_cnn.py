"""The network for digits that comes trained, and how drawings are prepared for it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import convcore as cc
from convcore import models
from convcore.data import digits
from convcore.models.pretrained.preprocess import DigitImage


def test_the_weights_are_as_good_as_their_note_says():
    model = models.digit_cnn(weights="DIGITS").eval()
    images, labels = digits("test").tensors
    with cc.no_grad():
        right = int((model(images).argmax(1) == labels).numpy().sum())
    assert abs(right - 1970) <= 1  # the last bits depend on the CPU's vectors
    note = (Path(models.__file__).parent / "DIGIT_CNN.md").read_text(encoding="utf-8")
    for fact in ("98.50 % (1,970 of 2,000)", models.Digit_CNN_Weights.DIGITS.value.file, "--epochs 20"):
        assert fact in note
    assert sum(parameter.numel() for parameter in model.parameters()) == 21_818


def test_bundled_digits_are_prepared_to_what_they_are():
    """Prepared once more, MNIST's own digits are what they were, but for a pixel here or there."""
    prepare = models.Digit_CNN_Weights.DIGITS.transforms()
    model = models.digit_cnn(weights="DIGITS").eval()
    images, labels = digits("test").tensors
    pixels = (images.numpy()[:200, 0] * 255).round().astype(np.uint8)
    with cc.no_grad():
        again = cc.stack([prepare(Image.fromarray(image)) for image in pixels])
        assert (model(again).argmax(1) == labels[:200]).numpy().mean() > 0.96


@pytest.mark.parametrize("paper", ["black", "white"])
def test_a_drawing_is_scaled_and_centred(paper):
    image = Image.new("RGB", (300, 200), paper)
    ImageDraw.Draw(image).rectangle((10, 20, 49, 99), fill="white" if paper == "black" else "black")
    prepared = DigitImage()(image).numpy()
    assert prepared.shape == (1, 28, 28)
    rows, columns = np.nonzero(prepared[0] > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 9, 18)
    assert prepared.max() == 1


def test_an_empty_drawing_is_empty():
    assert not DigitImage()(Image.new("L", (32, 32))).numpy().any()

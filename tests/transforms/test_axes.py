"""Images whose channels come last, where they must come first, and the other way round, are named as such."""

import numpy as np
import pytest
from PIL import Image

import convcore as cc
from convcore.errors import DTypeError, ShapeError
from convcore.models.pretrained.preprocess import DigitImage, ImageClassification
from convcore.transforms import (
    AutoAugment,
    CenterCrop,
    ColorJitter,
    CutMix,
    GaussianBlur,
    Grayscale,
    MixUp,
    Normalize,
    Pad,
    RandAugment,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    Resize,
    ToTensor,
    TrivialAugmentWide,
    functional,
    to_pil_image,
)

TRANSFORMS = [
    AutoAugment(), CenterCrop(4), ColorJitter(0.1), GaussianBlur(3), Grayscale(), Normalize(0.5, 0.5), Pad(1),
    RandAugment(), RandomAffine(3), RandomCrop(4), RandomErasing(), RandomGrayscale(), RandomHorizontalFlip(),
    RandomResizedCrop(4), RandomRotation(3), Resize(4), TrivialAugmentWide(), Normalize([0.5] * 3, [0.5] * 3),
]  # fmt: skip
FUNCTIONS = {
    "crop": lambda x: functional.crop(x, 0, 0, 2, 2),
    "center_crop": lambda x: functional.center_crop(x, 9),
    "resized_crop": lambda x: functional.resized_crop(x, 0, 0, 2, 2, 4),
    "pad": lambda x: functional.pad(x, 1, fill=[1, 2, 3]),
    "resize": lambda x: functional.resize(x, 4),
    "hflip": functional.hflip,
    "vflip": functional.vflip,
    "rotate": lambda x: functional.rotate(x, 3, expand=True),
    "affine": lambda x: functional.affine(x, 3, [0, 0], 1, 0),
    "adjust_hue": lambda x: functional.adjust_hue(x, 0.1),
    "invert": functional.invert,
}


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_transforms_name_channels_that_come_last(transform, channels):
    name = type(transform).__name__
    x = np.zeros((9, 8, channels), np.float32)
    with pytest.raises(
        ShapeError, match=rf"{name}: x must be \(C, H, W\), .* looks like \(H, W, C\); x\.transpose\(2, 0, 1\)"
    ):
        transform(x)
    with pytest.raises(ShapeError, match=rf"{name}: .* x\.permute\(2, 0, 1\) puts the channels first$"):
        transform(cc.from_numpy(x))
    with pytest.raises(
        ShapeError, match=rf"{name}: .*\(2, 9, 8, {channels}\), .* \(N, H, W, C\); x\.transpose\(0, 3, 1, 2\)"
    ):
        transform(np.stack([x, x]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_name_channels_that_come_last(name):
    with pytest.raises(ShapeError, match=r"\w+: x must be .*, which looks like .*and so does ToTensor"):
        FUNCTIONS[name](np.zeros((9, 8, 3), np.uint8))


@pytest.mark.parametrize("mix", [MixUp(num_classes=2), CutMix(num_classes=2)])
def test_mixing_names_channels_that_come_last(mix):
    with pytest.raises(ShapeError, match=r"\(2, 9, 8, 3\), which looks like \(N, H, W, C\)"):
        mix(np.zeros((2, 9, 8, 3), np.float32), np.array([0, 1]))


@pytest.mark.parametrize(
    "shape", [(3, 9, 8), (1, 9, 8), (2, 9, 8), (64, 7, 7), (1, 9, 3), (3, 9, 3), (3, 9, 1), (2, 3, 1, 5)]
)
def test_channels_that_come_first_are_taken(shape):
    assert RandomHorizontalFlip(1.0)(np.zeros(shape, np.float32)).shape == shape


def test_to_tensor_names_channels_that_come_first():
    assert ToTensor()(np.zeros((9, 8, 3), np.uint8)).shape == (3, 9, 8)
    assert ToTensor()(np.zeros((3, 8, 3), np.uint8)).shape == (3, 3, 8)
    for channels in (1, 3):
        with pytest.raises(
            ShapeError, match=r"ToTensor: pic must be \(H, W, C\), .* looks like \(C, H, W\); convcore\.from_n"
        ):
            ToTensor()(np.zeros((channels, 9, 8), np.uint8))


def test_to_pil_image_names_channels_that_come_last():
    with pytest.raises(ShapeError, match=r"got \(9, 8, 3\), which looks like \(H, W, C\); PIL\.Image\.fromarray makes"):
        to_pil_image(np.zeros((9, 8, 3), np.uint8))


@pytest.mark.parametrize("prepare", [ImageClassification(), DigitImage()])
@pytest.mark.parametrize("make", [lambda x: x, cc.from_numpy, lambda x: x.tolist()], ids=["array", "tensor", "list"])
def test_preparation_of_a_network_takes_pictures(prepare, make):
    pixels = np.zeros((9, 8, 3), np.uint8)
    with pytest.raises(DTypeError, match=r"image must be a Pillow image, got .*fromarray .*\(H, W, C\).*to_pil_image"):
        prepare(make(pixels))
    assert prepare(Image.fromarray(pixels)).ndim == 3

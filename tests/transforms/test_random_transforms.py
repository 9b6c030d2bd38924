"""Random transforms: seeded, reproducible, with the distributions that their arguments ask for."""

import numpy as np
import pytest
from PIL import Image
from reference_cases import image

import convcore as cc
from convcore import random
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.transforms import (
    AutoAugment,
    CenterCrop,
    ColorJitter,
    Compose,
    CutMix,
    GaussianBlur,
    Grayscale,
    InterpolationMode,
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
    RandomVerticalFlip,
    Resize,
    ToTensor,
    TrivialAugmentWide,
    functional,
    to_pil_image,
)

PICTURE = Image.fromarray(image())
UINT8 = np.moveaxis(image(), 2, 0)
FLOATS = UINT8.astype(np.float32) / np.float32(255)

RANDOM = {
    "RandomCrop": lambda g: RandomCrop((9, 11), padding=2, generator=g),
    "RandomResizedCrop": lambda g: RandomResizedCrop((8, 9), generator=g),
    "RandomHorizontalFlip": lambda g: RandomHorizontalFlip(generator=g),
    "RandomVerticalFlip": lambda g: RandomVerticalFlip(generator=g),
    "RandomRotation": lambda g: RandomRotation(30, generator=g),
    "RandomAffine": lambda g: RandomAffine(20, (0.2, 0.1), (0.8, 1.2), (-5, 5, -8, 8), generator=g),
    "ColorJitter": lambda g: ColorJitter(0.4, 0.4, 0.4, 0.2, generator=g),
    "RandomGrayscale": lambda g: RandomGrayscale(0.5, generator=g),
    "GaussianBlur": lambda g: GaussianBlur(5, generator=g),
    "RandomErasing": lambda g: RandomErasing(value="random", generator=g),
    "RandAugment": lambda g: RandAugment(generator=g),
    "AutoAugment": lambda g: AutoAugment(generator=g),
    "TrivialAugmentWide": lambda g: TrivialAugmentWide(generator=g),
}


def pixels(x):
    return np.asarray(x) if isinstance(x, Image.Image) else x.array if isinstance(x, cc.Tensor) else x


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(
    "x", [PICTURE, UINT8, FLOATS, cc.from_numpy(FLOATS)], ids=["pillow", "uint8", "float", "tensor"]
)
def test_seeds_fix_what_is_drawn(name, x):
    before = pixels(x).copy()
    first, second = RANDOM[name](3), RANDOM[name](np.random.default_rng(3))
    results = [pixels(first(x)) for _ in range(12)]
    for result in results:
        np.testing.assert_array_equal(pixels(second(x)), result)
        assert result.dtype == before.dtype
    assert len({result.tobytes() for result in results}) > 1
    assert type(first(x)) is type(x)
    np.testing.assert_array_equal(pixels(x), before)
    resumed = RANDOM[name](4)
    resumed.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(pixels(resumed(x)), pixels(first(x)))


@pytest.mark.parametrize("name", RANDOM)
def test_each_image_of_a_batch_draws_for_itself(name):
    batch = np.stack([FLOATS] * 12)
    result = RANDOM[name](0)(batch)
    assert result.shape[:2] == (12, 3)
    assert len({one.tobytes() for one in result}) > 1
    assert RANDOM[name](0)(batch[:0]).shape == (0, *result.shape[1:])


@pytest.mark.parametrize("name", RANDOM)
def test_the_default_seed_and_the_loader_s(name):
    def run():
        return [pixels(transform(PICTURE)).tobytes() for _ in range(12)]

    random.manual_seed(7)
    transform = RANDOM[name](None)
    first = run()
    random.manual_seed(7)
    transform = RANDOM[name](None)
    assert run() == first
    with random.drawing_from(np.random.default_rng(1)):
        inside = run()
    with random.drawing_from(np.random.default_rng(1)):
        assert run() == inside
        own = RANDOM[name](5)
        with random.drawing_from(np.random.default_rng(2)):
            assert run() != inside
            np.testing.assert_array_equal(pixels(own(PICTURE)), pixels(RANDOM[name](5)(PICTURE)))
    assert random.current_generator() is None


def share(transform, changes, n=400):
    return sum(changes(pixels(transform(FLOATS))) for _ in range(n)) / n


def is_changed(x):
    return x.shape != FLOATS.shape or not np.array_equal(x, FLOATS)


@pytest.mark.parametrize("make", [RandomHorizontalFlip, RandomVerticalFlip, RandomGrayscale, RandomErasing])
def test_probabilities(make):
    assert share(make(p=0.0, generator=0), is_changed, 50) == 0
    assert share(make(p=1.0, generator=0), is_changed, 50) == 1
    assert abs(share(make(p=0.25, generator=0), is_changed) - 0.25) < 0.07
    with pytest.raises(ShapeError, match=rf"{make.__name__}: p must lie in \[0, 1\], got 1.5"):
        make(p=1.5)


def test_flips():
    np.testing.assert_array_equal(RandomHorizontalFlip(1.0)(FLOATS), FLOATS[:, :, ::-1])
    np.testing.assert_array_equal(RandomVerticalFlip(1.0)(FLOATS), FLOATS[:, ::-1])
    both = RandomHorizontalFlip(0.5, generator=0)(np.stack([FLOATS] * 400))
    flipped = [np.array_equal(one, FLOATS[:, :, ::-1]) for one in both]
    assert 160 < sum(flipped) < 240
    assert all(f or np.array_equal(one, FLOATS) for f, one in zip(flipped, both, strict=True))


def test_random_resized_crop_draws_areas_and_shapes():
    crop = RandomResizedCrop(10, scale=(0.1, 0.4), ratio=(0.5, 2.0), generator=0)
    windows = np.array([crop.draw(300, 300) for _ in range(2000)])
    areas, ratios = windows[:, 2] * windows[:, 3] / 90000, windows[:, 3] / windows[:, 2]
    assert 0.09 < areas.min() < 0.12
    assert 0.38 < areas.max() < 0.41
    assert 0.49 < ratios.min() < 0.52
    assert 1.9 < ratios.max() < 2.05
    assert abs(np.median(ratios) - 1) < 0.06
    assert (windows[:, 0] + windows[:, 2] <= 300).all()
    assert (windows[:, 1] + windows[:, 3] <= 300).all()
    assert RandomResizedCrop(10, (2.0, 2.0), generator=0).draw(100, 1000) == (0, 433, 100, 133)
    assert RandomResizedCrop(10, (2.0, 2.0), generator=0).draw(1000, 100) == (433, 0, 133, 100)
    assert RandomResizedCrop(10, (2.0, 2.0), generator=0).draw(100, 110) == (0, 0, 100, 110)


def test_random_affine_draws_within_its_bounds():
    affine = RandomAffine((-10, 20), (0.1, 0.2), (0.5, 2.0), 7, generator=0)
    drawn = [affine.draw(100, 50) for _ in range(1000)]
    for values, low, high in (
        ([d["angle"] for d in drawn], -10, 20),
        ([d["translate"][0] for d in drawn], -5, 5),
        ([d["translate"][1] for d in drawn], -20, 20),
        ([d["scale"] for d in drawn], 0.5, 2.0),
        ([d["shear"][0] for d in drawn], -7, 7),
    ):
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high
    still = RandomAffine(0, generator=0)
    np.testing.assert_array_equal(still(FLOATS), FLOATS)


def test_random_erasing_covers_one_rectangle():
    for value, covered in ((0.0, 0.0), ((1.0, 2.0, 3.0), None), ("random", None)):
        result = RandomErasing(1.0, scale=(0.1, 0.3), value=value, generator=1)(FLOATS)
        changed = (result != FLOATS).any(axis=0)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert changed[window].mean() > 0.95
        assert 0.05 < changed.mean() < 0.35
        if covered is not None:
            assert (result[(slice(None), *window)] == covered).all()
    picture = RandomErasing(1.0, value=(9, 8, 7), generator=1)(PICTURE)
    np.testing.assert_array_equal(
        pixels(picture), np.moveaxis(RandomErasing(1.0, value=(9, 8, 7), generator=1)(UINT8), 0, 2)
    )
    assert (pixels(picture) == (9, 8, 7)).all(axis=2).sum() > 5


def test_jitter_applies_each_in_random_order():
    only = ColorJitter(brightness=(0.5, 0.5), generator=0)
    np.testing.assert_array_equal(only(FLOATS), functional.adjust_brightness(FLOATS, 0.5))
    only = ColorJitter(hue=(0.1, 0.1), generator=0)
    np.testing.assert_array_equal(only(FLOATS), functional.adjust_hue(FLOATS, 0.1))
    both = ColorJitter((2.0, 2.0), (0.5, 0.5), generator=0)
    orders = {pixels(both(FLOATS)).tobytes() for _ in range(50)}
    bright, dull = functional.adjust_brightness, functional.adjust_contrast
    assert orders == {dull(bright(FLOATS, 2.0), 0.5).tobytes(), bright(dull(FLOATS, 0.5), 2.0).tobytes()}


def test_policies_use_all_their_operations():
    for make, at_least in ((RandAugment, 100), (TrivialAugmentWide, 60), (AutoAugment, 20)):
        policy = make(generator=0)
        results = {pixels(policy(PICTURE)).tobytes() for _ in range(500)}
        assert len(results) > at_least, make
    np.testing.assert_array_equal(RandAugment(num_ops=0)(FLOATS), FLOATS)


def test_signed_operations_go_both_ways():
    policy = RandAugment(generator=0)
    turned = [pixels(policy.step(FLOATS, "Rotate", RandAugment.RANGES, 31, 30)).tobytes() for _ in range(200)]
    both = {sign: functional.rotate(FLOATS, sign * 30.0).tobytes() for sign in (-1, 1)}
    assert set(turned) == set(both.values())
    assert 70 < turned.count(both[1]) < 130
    dark = {pixels(policy.step(FLOATS, "Posterize", RandAugment.RANGES, 31, 30)).tobytes() for _ in range(20)}
    assert dark == {functional.posterize(FLOATS, 4).tobytes()}


def test_cut_mix():
    batch = np.stack([np.full((3, 20, 30), value, np.float32) for value in range(4)])
    mix = CutMix(num_classes=4, generator=0)
    areas = []
    for _ in range(200):
        images, labels = mix(batch, np.arange(4))
        other = images[1] == 0
        areas.append(other.mean())
        assert np.array_equal(images[0] == 3, other)
        np.testing.assert_allclose(labels[1], [areas[-1], 1 - areas[-1], 0, 0], atol=1e-6)
        rows, columns = other[0].any(axis=1), other[0].any(axis=0)
        assert other[0].sum() == rows.sum() * columns.sum()
    assert min(areas) < 0.05
    assert max(areas) > 0.7
    np.testing.assert_array_equal(np.unique(batch), np.arange(4))


def test_mixing_a_training_batch():
    images, labels = cc.from_numpy(np.stack([FLOATS, FLOATS[:, ::-1].copy()])), cc.tensor([1, 0])
    for mix in (MixUp(alpha=0.4, num_classes=2, generator=0), CutMix(num_classes=2, generator=0)):
        mixed, chances = mix((images, labels))
        assert mixed.shape == images.shape
        np.testing.assert_allclose(chances.numpy().sum(axis=1), 1, rtol=1e-6)
        again, kept = mix(mixed, chances)
        assert again.dtype == cc.float32
        loss = cc.nn.functional.cross_entropy(cc.zeros(2, 2), kept)
        np.testing.assert_allclose(loss.item(), np.log(2), rtol=1e-6)
    shares = [MixUp(alpha=0.1, num_classes=2, generator=s)(images, labels)[1].numpy()[0, 1] for s in range(200)]
    assert np.mean((np.array(shares) < 0.1) | (np.array(shares) > 0.9)) > 0.6


def test_from_pictures_to_tensors_and_back():
    tensor = ToTensor()(PICTURE)
    np.testing.assert_array_equal(tensor.numpy(), FLOATS)
    np.testing.assert_array_equal(ToTensor()(image()).numpy(), FLOATS)
    np.testing.assert_array_equal(pixels(to_pil_image(tensor)), image())
    np.testing.assert_array_equal(pixels(to_pil_image(UINT8)), image())
    grey = PICTURE.convert("L")
    assert ToTensor()(grey).shape == (1, 16, 20)
    assert to_pil_image(ToTensor()(grey)).mode == "L"
    assert ToTensor()(PICTURE.convert("1")).numpy().max() == 1
    assert ToTensor()(np.zeros((2, 3), np.float64)).dtype == cc.float64
    deep = Image.fromarray(np.full((2, 3), 40000, np.uint16))
    assert ToTensor()(deep).tolist() == [[[40000] * 3] * 2]


def test_the_usual_pipelines():
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    steps = [Resize(14), CenterCrop(12), ToTensor(), Normalize(mean, std)]
    result = Compose(steps)(PICTURE)
    assert result.shape == (3, 12, 12)
    assert isinstance(result, cc.Tensor)
    assert Grayscale(3)(PICTURE).mode == "RGB"
    assert pixels(Grayscale()(FLOATS)).shape == (1, 16, 20)
    assert Pad((1, 2))(FLOATS).shape == (3, 20, 22)
    assert [Pad(1)(PICTURE.convert(mode)).mode for mode in ("1", "L", "RGBA")] == ["1", "L", "RGBA"]
    assert [GaussianBlur(3)(PICTURE.convert(mode)).mode for mode in ("L", "RGBA")] == ["L", "RGBA"]
    assert GaussianBlur((1, 3))(Image.new("RGB", (1, 9))).size == (1, 9)
    assert Resize(8, InterpolationMode.NEAREST)(PICTURE).size == (10, 8)
    assert Resize(8, Image.Resampling.BICUBIC)(PICTURE).size == (10, 8)
    assert RandomCrop(30, pad_if_needed=True, fill=(1, 2, 3))(PICTURE).size == (30, 30)
    assert "Resize(size=14, interpolation=InterpolationMode.BILINEAR, max_size=None, antialias=True)" in repr(
        Compose(steps)
    )
    assert RandomRotation((90, 90), expand=True)(PICTURE).size == (16, 20)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Resize(8, "cubic")(PICTURE), DTypeError, "interpolation must be one of 'nearest', .* got 'cubic'"),
        (lambda: Resize(8, antialias=False)(PICTURE), UnsupportedError, "antialias must be True"),
        (lambda: Resize((8, 8), max_size=9)(PICTURE), ShapeError, "max_size goes with one size"),
        (lambda: Resize(8, max_size=8)(PICTURE), ShapeError, "max_size must be greater than size, got 8 and 8"),
        (
            lambda: functional.crop(PICTURE, 0, 15, 5, 6),
            ShapeError,
            r"inside the image of 16 x 20, got 5 x 6 at \(0, 15\)",
        ),
        (
            lambda: Pad(1, padding_mode="wrap")(PICTURE),
            UnsupportedError,
            "padding_mode must be one of constant, edge",
        ),
        (lambda: Pad((1, 2, 3))(PICTURE), ShapeError, r"padding must be at least 0: one, two or four integers"),
        (
            lambda: Pad(1, fill=(1, 2))(PICTURE),
            ShapeError,
            r"fill must be a number, or one for each of the 3 channels",
        ),
        (lambda: RandomAffine(5, translate=(2, 0)), ShapeError, r"translate must be two parts in \[0, 1\]"),
        (lambda: RandomAffine(5, scale=(2, 1)), ShapeError, "scale must be two rising bounds"),
        (lambda: functional.affine(PICTURE, 0, (0, 0), 0, 0), ShapeError, "scale must be greater than 0, got 0"),
        (lambda: RandomRotation(-3), ShapeError, "degrees must be at least 0, or two bounds, got -3"),
        (lambda: ColorJitter(hue=0.6), ShapeError, r"hue must be two rising bounds in \[-0.5, 0.5\], got 0.6"),
        (lambda: functional.adjust_hue(PICTURE, 0.7), ShapeError, r"hue_factor must lie in \[-0.5, 0.5\], got 0.7"),
        (lambda: functional.adjust_contrast(PICTURE, -1), ShapeError, "contrast_factor must be at least 0, got -1"),
        (lambda: functional.adjust_contrast(FLOATS[:2], 1), ShapeError, "x must have 1 or 3 channels, got 2"),
        (lambda: functional.invert(UINT8[:2]), ShapeError, "x must have 1 or 3 channels, got 2"),
        (lambda: functional.posterize(PICTURE, 9), ShapeError, r"bits must lie in \[0, 8\], got 9"),
        (lambda: functional.rgb_to_grayscale(PICTURE, 2), ShapeError, "num_output_channels must be 1 or 3, got 2"),
        (lambda: GaussianBlur(4)(PICTURE), ShapeError, "kernel_size must be odd, got"),
        (lambda: GaussianBlur(3, -1), ShapeError, "sigma must be two rising bounds"),
        (
            lambda: functional.gaussian_blur(PICTURE, 3, 0),
            ShapeError,
            "sigma must be one or two numbers greater than 0",
        ),
        (
            lambda: GaussianBlur(41)(FLOATS),
            ShapeError,
            r"kernel_size \(41, 41\) is too large for an image of 16 x 20",
        ),
        (lambda: RandomErasing(value="noise"), ShapeError, "or \"random\", got 'noise'"),
        (lambda: RandomErasing(1, value=(1, 2))(FLOATS), ShapeError, "value must have 1 or 3 numbers"),
        (lambda: RandAugment(magnitude=31), ShapeError, "magnitude must be below num_magnitude_bins 31, got 31"),
        (
            lambda: AutoAugment("cifar10"),
            UnsupportedError,
            r"policy must be AutoAugmentPolicy\.IMAGENET, got 'cifar10'",
        ),
        (lambda: MixUp(alpha=0), ShapeError, "alpha must be greater than 0"),
        (lambda: MixUp()(FLOATS[None], np.array([0])), ShapeError, "num_classes must say how many classes there are"),
        (lambda: MixUp(num_classes=2)(FLOATS[None], np.array([2])), ShapeError, r"must be integers in \[0, 2\)"),
        (
            lambda: MixUp(num_classes=2)(FLOATS[None], np.zeros((1, 3))),
            ShapeError,
            "labels have 3 classes, but num_classes",
        ),
        (
            lambda: MixUp(num_classes=2)(FLOATS[None], np.array([0, 1])),
            ShapeError,
            r"labels must be \(1,\) or \(1, classes\)",
        ),
        (lambda: CutMix(num_classes=2)(FLOATS, np.array([0])), ShapeError, "images must be a floating-point batch"),
        (
            lambda: CutMix(num_classes=2)(FLOATS[None], [0]),
            DTypeError,
            "labels must be a tensor or a NumPy array, got list",
        ),
        (lambda: Normalize(0, 1)(PICTURE), DTypeError, r"a Pillow image of mode RGB; put ToTensor\(\) before it"),
        (lambda: ToTensor()([1]), DTypeError, "pic must be a Pillow image or a NumPy array, got list"),
        (lambda: ToTensor()(np.zeros(3)), ShapeError, r"pic must be \(H, W\) or \(H, W, C\), got \(3,\)"),
        (
            lambda: to_pil_image(np.zeros((2, 3, 4))),
            ShapeError,
            r"pic must be \(1, H, W\) or \(3, H, W\), got \(2, 3, 4\)",
        ),
        (
            lambda: to_pil_image(np.zeros((1, 3, 4), int)),
            DTypeError,
            "pic must be floating-point or uint8, got int64",
        ),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()

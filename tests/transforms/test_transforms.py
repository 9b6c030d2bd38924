"""Transforms, on images and on batches."""

import numpy as np
import pytest

from convcore import random
from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.transforms import Compose, Normalize, RandomCrop

BATCH = np.random.default_rng(0).standard_normal((40, 2, 5, 6)).astype(np.float32)


def crops_of(image, size, padding, fill=0.0):
    """Every window of the padded image, by plain slicing."""
    padded = np.pad(image, [(0, 0), (padding,) * 2, (padding,) * 2], constant_values=fill)
    return [
        padded[:, i : i + size[0], j : j + size[1]]
        for i in range(padded.shape[1] - size[0] + 1)
        for j in range(padded.shape[2] - size[1] + 1)
    ]


@pytest.mark.parametrize(("size", "padding", "fill"), [((5, 6), 2, 0.0), ((3, 2), 0, 0.0), ((4, 7), 1, 9.0)])
def test_random_crop_cuts_a_window_of_each_image(size, padding, fill):
    result = RandomCrop(size, padding, fill=fill, generator=0)(BATCH)
    assert result.shape == (40, 2, *size)
    assert result.dtype == np.float32
    places = []
    for image, crop in zip(BATCH, result, strict=True):
        matches = [k for k, window in enumerate(crops_of(image, size, padding, fill)) if np.array_equal(window, crop)]
        assert matches
        places.append(matches[0])
    # Each image draws for itself, and all places occur about equally often.
    possible = len(crops_of(BATCH[0], size, padding))
    assert len(set(places)) > min(possible, 40) / 2


def test_random_crop_draws_every_place():
    crop = RandomCrop((5, 6), padding=1, generator=0)
    images = np.broadcast_to(BATCH[0], (400, 2, 5, 6))
    windows = crops_of(BATCH[0], (5, 6), 1)
    counts = [sum(np.array_equal(w, c) for c in crop(images)) for w in windows]
    assert min(counts) > 20


def test_random_crop_is_seeded_and_resumes():
    first = RandomCrop((5, 6), padding=2, generator=np.random.default_rng(3))
    second = RandomCrop((5, 6), padding=2, generator=3)
    np.testing.assert_array_equal(first(BATCH), second(BATCH))
    state = first.state_dict()
    expected = first(BATCH)
    resumed = RandomCrop((5, 6), padding=2)
    resumed.load_state_dict(state)
    np.testing.assert_array_equal(resumed(BATCH), expected)
    assert not np.array_equal(first(BATCH), expected)


def test_random_crop_follows_the_default_seed():
    random.manual_seed(5)
    first = RandomCrop((5, 6), padding=2)(BATCH)
    random.manual_seed(5)
    np.testing.assert_array_equal(RandomCrop((5, 6), padding=2)(BATCH), first)


def test_normalize():
    result = Normalize([1.0, -2.0], [0.5, 4.0])(BATCH)
    np.testing.assert_allclose(result[:, 0], (BATCH[:, 0] - 1) / 0.5, rtol=1e-6)
    np.testing.assert_allclose(result[:, 1], (BATCH[:, 1] + 2) / 4, rtol=1e-6)
    assert result.dtype == np.float32
    np.testing.assert_allclose(Normalize(0.1307, 0.3081)(BATCH), (BATCH - np.float32(0.1307)) / np.float32(0.3081))
    assert Normalize(0.0, 2.0)(BATCH.astype(np.float64)).dtype == np.float64


def test_kinds_and_shapes_are_kept():
    both = Compose([Normalize(0.5, 0.5), RandomCrop((5, 6), padding=1, generator=0)])
    before = BATCH.copy()
    for x in (BATCH, BATCH[0], BATCH[:0]):
        assert both(x).shape == x.shape
        assert isinstance(both(x), np.ndarray)
        assert isinstance(both(wrap(x)), Variable)
    np.testing.assert_array_equal(BATCH, before)
    reversed_view = BATCH[::-1, :, ::-1]
    np.testing.assert_array_equal(Normalize(1.0, 2.0)(reversed_view), (reversed_view - 1) / 2)


def test_results_do_not_share_memory_with_the_input():
    crop = RandomCrop((5, 6), generator=0)(BATCH)
    np.testing.assert_array_equal(crop, BATCH)
    assert not np.shares_memory(crop, BATCH)


def test_repr():
    transform = Compose([Normalize(0.5, 0.25), RandomCrop(28, padding=2)])
    assert repr(transform) == (
        "Compose(\n    Normalize(mean=[0.5], std=[0.25])\n    RandomCrop(size=(28, 28), padding=(2, 2, 2, 2), "
        "pad_if_needed=False, fill=0, padding_mode=constant)\n)"
    )


@pytest.mark.parametrize(
    ("make", "x", "error", "message"),
    [
        (lambda: RandomCrop(5), BATCH[0, 0], ShapeError, r"RandomCrop: x must be an image \(C, H, W\) or a batch"),
        (
            lambda: RandomCrop(5),
            BATCH.astype(np.int16),
            DTypeError,
            r"must be floating-point in \[0, 1\] or uint8, got int16",
        ),
        (lambda: RandomCrop(5), [1.0], DTypeError, "must be a Pillow image, a tensor or a NumPy array, got list"),
        (lambda: RandomCrop(8, padding=1), BATCH, ShapeError, r"as large as the window \(8, 8\), got \(7, 8\) with"),
        (lambda: RandomCrop(0), BATCH, ShapeError, "size must be at least 1"),
        (lambda: RandomCrop(5, padding=-1), BATCH, ShapeError, "padding must be at least 0"),
        (lambda: Normalize([1, 2, 3], 1), BATCH, ShapeError, "x has 2 channels, but mean has 3 and std 1 values"),
        (lambda: Normalize(0, [1, 0]), BATCH, ShapeError, "std must not be 0"),
        (lambda: Normalize(np.zeros((1, 1)), 1), BATCH, ShapeError, "must be numbers or lists of numbers"),
    ],
)
def test_refuses(make, x, error, message):
    with pytest.raises(error, match=message):
        make()(x)

"""The bundled digits: what is in them, and that the split never changes."""

import hashlib

import numpy as np
import pytest

from convcore.data import digits
from convcore.data.image_sets import DIGITS_FILE
from convcore.errors import ShapeError


@pytest.fixture(scope="module")
def parts():
    return {split: [t.array for t in digits(split).tensors] for split in ("train", "test", "all")}


def test_shapes_types_and_range(parts):
    for split, n in (("train", 8000), ("test", 2000), ("all", 10000)):
        images, labels = parts[split]
        assert images.shape == (n, 1, 28, 28)
        assert images.dtype == np.float32
        assert images.min() == 0
        assert images.max() == 1
        assert labels.shape == (n,)
        assert labels.dtype == np.int64


def test_parts_are_disjoint_and_hold_every_digit_of_the_file(parts):
    with np.load(DIGITS_FILE) as file:
        stored = {image.tobytes() for image in file["images"]}
    assert len(stored) == 10000
    seen = [{np.rint(image * 255).astype(np.uint8).tobytes() for image in parts[s][0]} for s in ("train", "test")]
    assert len(seen[0]) == 8000
    assert seen[0].isdisjoint(seen[1])
    assert seen[0] | seen[1] == stored


def test_classes_are_shuffled_and_about_equal(parts):
    assert np.bincount(parts["all"][1]).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    for split in ("train", "test"):
        share = np.bincount(parts[split][1]) / len(parts[split][1])
        assert share.min() > 0.08
        assert share.max() < 0.13
    assert len(set(parts["train"][1][:50])) == 10


def test_split_is_the_same_for_everyone(parts):
    digest = hashlib.sha256(parts["test"][0].tobytes() + parts["test"][1].tobytes()).hexdigest()
    assert digest == "e71dd17c0068491e617ea68a5450334b4e7b6012683dddc6b366d56620aa4366"


def test_unknown_split():
    with pytest.raises(ShapeError, match="split must be 'train', 'test' or 'all', got 'validation'"):
        digits("validation")


def test_provenance_ships_with_the_data():
    note = DIGITS_FILE.with_name("DIGITS.md").read_text(encoding="utf-8")
    for fact in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0", "MIT"):
        assert fact in note

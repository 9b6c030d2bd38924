"""Settings and data of `convcore train`."""

import re

import pytest

from convcore.data import Subset, Transformed, digits
from convcore.errors import ShapeError, UnsupportedError
from convcore.training import Settings, prepare, read_data


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"limit": -3}, "limit must be at least 1"),
        ({"lr": 0.0}, r"lr must be a positive number, got 0\.0"),
        ({"lr": float("nan")}, "lr must be a positive number, got nan"),
        ({"lr": float("inf")}, "lr must be a positive number, got inf"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_wrong_settings(values, message):
    with pytest.raises(ShapeError, match=message):
        Settings(**values)


@pytest.mark.parametrize("name", ["letters", "mnist", "mnist:", "digits:x", ""])
def test_unknown_data(name):
    with pytest.raises(UnsupportedError, match=r"data must be digits, mnist:FOLDER, .*, got "):
        read_data(name)


def test_data_parts():
    train, test = read_data("digits")
    assert (len(train), len(test)) == (8000, 2000)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_data("fashion-mnist:nowhere")


def test_home_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no train-images-idx3-ubyte or .* in " + re.escape(str(tmp_path))):
        read_data("mnist:~")


def test_validation_is_set_aside_from_the_training_part(tmp_path):
    train = digits()
    trainer = prepare(Settings(), train, tmp_path, progress=False)
    assert len(trainer.train_data) == 7500 // 64
    transformed, validation_part = trainer.train_data.dataset, trainer.validation_data.dataset
    assert isinstance(transformed, Transformed)
    assert isinstance(transformed.dataset, Subset)
    assert isinstance(validation_part, Subset)
    training, validation = transformed.dataset.indices, validation_part.indices
    assert (len(training), len(validation)) == (7500, 500)
    assert sorted([*training, *validation]) == list(range(8000))
    limited = prepare(Settings(limit=160), train, tmp_path, progress=False)
    assert (len(limited.train_data.dataset), len(limited.validation_data.dataset)) == (150, 10)


@pytest.mark.parametrize(("limit", "batch_size"), [(15, 4), (67, 64), (8000, 7501)])
def test_too_few_images(tmp_path, limit, batch_size):
    with pytest.raises(ShapeError, match=rf"{limit} training images are too few: .* a batch of {batch_size}"):
        prepare(Settings(limit=limit, batch_size=batch_size), digits(), tmp_path)


def test_images_are_shifted_anew_in_each_epoch(tmp_path):
    trainer = prepare(Settings(limit=80), digits(), tmp_path, progress=False)
    sums = [sorted(next(iter(trainer.train_data))[0].array.sum(axis=(1, 2, 3)).tolist()) for _ in range(2)]
    images = [next(iter(trainer.train_data))[0].array for _ in range(2)]
    assert images[0].shape == images[1].shape == (64, 1, 28, 28)
    assert sums[0] != sums[1]

"""The examples learn what they are there to learn."""

import numpy as np

from convcore.examples import series, transfer, volumes


def test_the_series_are_told_apart(capsys):
    assert series.main() > 0.95
    assert "epoch 10: loss" in capsys.readouterr().out


def test_the_volumes_are_told_apart(capsys):
    assert volumes.main() > 0.95
    assert "epoch  8: loss" in capsys.readouterr().out


def test_examples_are_drawn_from_their_seed():
    for make in (series.make_series, volumes.make_volumes):
        first, again, other = make(8, seed=3), make(8, seed=3), make(8, seed=4)
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
        assert (first[0] != other[0]).any()


def test_the_pictures_of_the_transfer_lesson_are_split_honestly():
    training, held_out = transfer.read_pictures(seed=1)
    assert (len(training[1]), len(held_out[1])) == (20, 180)
    assert (training[1].sum(), held_out[1].sum()) == (10, 90)
    every = {picture.tobytes() for picture, _ in [*zip(*training, strict=True), *zip(*held_out, strict=True)]}
    assert len(every) == 200
    large, labels = transfer.as_photographs(training)
    assert (large.shape, large.dtype) == ((20, 3, 64, 64), np.float32)
    assert labels is training[1]


def test_what_imagenet_taught_tells_faces_from_others(capsys):
    accuracies = transfer.learn_from_imagenet(*transfer.read_pictures(), epochs=4)
    assert min(accuracies.values()) > 0.85
    assert "stages unfrozen" in capsys.readouterr().out

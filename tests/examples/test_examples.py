"""The examples learn what they are there to learn."""

import numpy as np

from convcore.examples import series, volumes


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

"""The algorithms step by step: each step uses only what is there, and in the end the convolution is."""

import numpy as np
import pytest
import torch

from convcore.errors import ShapeError, UnsupportedError
from convcore.inspect import trace

X = np.random.default_rng(0).integers(-3, 4, (6, 8)).astype(np.float64)
W = np.random.default_rng(1).integers(-3, 4, (3, 3)).astype(np.float64)


@pytest.mark.parametrize(("algorithm", "count"), [("direct", 216), ("im2col", 216), ("winograd", 96)])
def test_steps_lead_to_the_convolution(algorithm, count):
    found = trace(X, W, algorithm)
    grids = {name: np.full(shape, np.nan) for name, shape in found.grids.items()}
    grids.update({name: values.copy() for name, values in found.given.items()})
    for step in found.steps:
        assert all(np.isfinite(grids[name][row, column]) for name, row, column in step.reads), step.text
        for (name, row, column), value in step.writes:
            grids[name][row, column] = value
        assert step.text
    expected = torch.nn.functional.conv2d(torch.tensor(X)[None, None], torch.tensor(W)[None, None])
    assert np.array_equal(grids["out"], expected[0, 0].numpy())
    assert found.multiplications == count


def test_a_window_is_read_where_its_output_is_written():
    steps = trace(X, W, "direct").steps
    assert len(steps) == 24
    assert steps[7].writes[0][0] == ("out", 1, 1)
    assert steps[7].reads[:9] == [("x", r, s) for r in (1, 2, 3) for s in (1, 2, 3)]


def test_what_cannot_be_followed():
    with pytest.raises(ShapeError, match=r"the filter \(3, 3\) must fit into the image \(2, 8\)"):
        trace(X[:2], W, "direct")
    with pytest.raises(UnsupportedError, match="algorithm must be one of direct, im2col, winograd, got 'fft'"):
        trace(X, W, "fft")
    with pytest.raises(
        UnsupportedError, match=r"winograd needs a 3x3 filter and an even image, got \(3, 3\) and \(5, 8\)"
    ):
        trace(X[:5], W, "winograd")

"""For the tests of compiled models: models, inputs, and what must be the same."""

import numpy as np
import pytest

import convcore
from convcore import nn


def images(*shape, seed=0):
    return convcore.tensor(np.random.default_rng(seed).standard_normal(shape, np.float32))


def network():
    convcore.manual_seed(0)
    layers = [
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, stride=2, bias=False), nn.BatchNorm2d(24), nn.Hardswish(),
        nn.Flatten(), nn.Linear(24 * 7 * 7, 10),
    ]  # fmt: skip
    return nn.Sequential(*layers).eval()


def assert_same(one, other):
    assert one.shape == other.shape
    assert one.array.strides == other.array.strides
    assert np.array_equal(one.array, other.array, equal_nan=True)


def assert_as_it_is(compiled, *args, why):
    """The result is the model's, and a warning says why there is no list."""
    with pytest.warns(UserWarning, match=why):
        result = compiled(*args)
    assert_same(result, compiled._orig_mod(*args))
    assert compiled.steps(*args) == []
    compiled(*args)  # the second time without a warning: they are errors here


class Function(nn.Module):
    """A model that is one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)

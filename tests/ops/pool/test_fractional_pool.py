"""Fractional max pooling and antialiased interpolation, whose cases torch's database lacks, against torch."""

import numpy as np
import pytest
import torch

import convcore as cc
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.nn import functional as F


def data(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize(
    ("rank", "shape", "kernel", "size"),
    [
        (2, (2, 3, 9, 12), (2, 3), (5, 6)),
        (2, (3, 7, 7), 3, 1),
        (2, (1, 1, 8, 8), 2, (7, 7)),
        (3, (2, 2, 7, 8, 9), (2, 1, 3), (3, 5, 4)),
        (3, (2, 6, 6, 6), 2, 3),
    ],
)
def test_fractional_max_pooling_is_torchs(rank, shape, kernel, size):
    x = data(*shape)
    x.reshape(-1)[5] = np.nan
    batch = shape[0] if len(shape) == rank + 2 else 1
    samples = np.random.default_rng(1).random((batch, shape[-rank - 1], rank))
    results = []
    for library in (cc, torch):
        given = library.tensor(x, requires_grad=True)
        pool = getattr(library.nn, f"FractionalMaxPool{rank}d")
        layer = pool(kernel, output_size=size, return_indices=True, _random_samples=library.tensor(samples))
        out, indices = layer(given)
        out.backward(library.tensor(data(*out.shape)))
        results.append((out.detach().numpy(), indices.numpy(), given.grad.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_windows_are_placed_by_chance():
    x = cc.tensor(data(2, 3, 10, 10))
    cc.manual_seed(0)
    first, second = (cc.nn.FractionalMaxPool2d(2, output_ratio=0.7)(x) for _ in range(2))
    assert first.shape == (2, 3, 7, 7)
    assert not np.array_equal(first.numpy(), second.numpy())
    cc.manual_seed(0)
    np.testing.assert_array_equal(cc.nn.functional.fractional_max_pool2d(x, 2, output_ratio=0.7).numpy(), first.numpy())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, ShapeError, "give either output_size or output_ratio"),
        ({"output_size": 2, "output_ratio": 0.5}, ShapeError, "give either output_size or output_ratio"),
        ({"output_size": 8}, ShapeError, "8 windows of 2 do not fit into a height of 8"),
        ({"output_ratio": 1.5}, ShapeError, "output_ratio must be between 0 and 1"),
        ({"output_size": 2, "_random_samples": cc.rand(1, 1, 3)}, ShapeError, r"must be \(1, 1, 2\), got \(1, 1, 3\)"),
        ({"output_size": 2, "_random_samples": cc.ones(1, 1, 2).long()}, DTypeError, "must be a tensor of float32"),
    ],
)
def test_wrong_arguments(settings, error, message):
    with pytest.raises(error, match=message):
        F.fractional_max_pool2d(cc.zeros(1, 1, 8, 8), 2, **settings)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    "sizes", [{"size": (5, 7)}, {"size": (20, 3)}, {"size": 1}, {"scale_factor": 0.4}, {"scale_factor": (1.5, 0.7)}]
)
def test_antialias_is_torchs(mode, align_corners, sizes):
    x = data(2, 3, 12, 15)
    results = []
    for library in (cc, torch):
        given = library.tensor(x, requires_grad=True)
        out = library.nn.functional.interpolate(given, **sizes, mode=mode, align_corners=align_corners, antialias=True)
        out.backward(library.tensor(data(*out.shape)))
        results.append((out.detach().numpy(), given.grad.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_antialias_of_other_modes():
    with pytest.raises(UnsupportedError, match="antialias goes with the modes bilinear and bicubic only, not with"):
        F.interpolate(cc.zeros(1, 1, 4, 4), 2, mode="nearest", antialias=True)

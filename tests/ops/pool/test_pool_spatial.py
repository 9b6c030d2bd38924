"""Pooling of series and volumes, unpooling and Lp pooling against PyTorch: values, indices, gradients, errors."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.errors import DTypeError, ShapeError
from convcore.nn import functional as F
from convcore.testing import gradcheck, gradgradcheck
from kernels.threads import max_num_threads

functions: Any = F
SERIES, VOLUME = (2, 3, 13), (2, 3, 7, 6, 8)
CALLS = [
    ("max_pool1d", SERIES, (3,), {"stride": 2, "padding": 1}),
    ("max_pool1d", SERIES[1:], (4, 3), {"dilation": 2, "ceil_mode": True}),
    ("max_pool3d", VOLUME, (2,), {}),
    ("max_pool3d", VOLUME, ((2, 3, 3), (1, 2, 3)), {"padding": (1, 0, 1), "dilation": (2, 1, 2), "ceil_mode": True}),
    ("max_pool3d", VOLUME[1:], (3, 1, 1), {}),
    ("avg_pool1d", SERIES, (3,), {"padding": 1, "count_include_pad": False}),
    ("avg_pool1d", SERIES, (4, 3), {"ceil_mode": True}),
    ("avg_pool3d", VOLUME, (3, 2), {"padding": 1, "ceil_mode": True, "count_include_pad": False}),
    ("avg_pool3d", VOLUME, ((2, 3, 2),), {"divisor_override": 5}),
    ("avg_pool3d", VOLUME[1:], (2,), {"stride": (1, 2, 1)}),
    ("adaptive_avg_pool1d", SERIES, (5,), {}),
    ("adaptive_avg_pool3d", VOLUME, ((3, None, 9),), {}),
    ("adaptive_avg_pool3d", VOLUME[1:], (1,), {}),
    ("adaptive_max_pool1d", SERIES, (4,), {}),
    ("adaptive_max_pool3d", VOLUME, ((3, 4, None),), {}),
    ("lp_pool1d", SERIES, (2, 3), {"stride": 2}),
    ("lp_pool2d", (2, 3, 7, 6), (3, (2, 3)), {"ceil_mode": True}),
    ("lp_pool3d", VOLUME, (2.5, 2), {}),
    ("max_pool3d", (0, 3, 4, 4, 4), (2,), {}),
    ("avg_pool3d", (0, 3, 4, 4, 4), (2,), {}),
]


def draw(shape, dtype: Any = np.float64, seed=0):
    return np.abs(np.random.default_rng(seed).integers(-20, 20, shape).astype(dtype) / 4) + 0.25


def compare(ours, theirs, data):
    x: Any = convcore.tensor(data, requires_grad=True)
    t: Any = torch.tensor(data, requires_grad=True)
    out, expected = ours(x), theirs(t)
    tolerance = 32 * np.finfo(data.dtype).eps
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), tolerance, tolerance)
    assert out.dtype == data.dtype
    cotangent = draw(tuple(expected.shape), data.dtype, 1)
    out.backward(convcore.tensor(cotangent))
    expected.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), 4 * tolerance, 4 * tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("op", "shape", "sizes", "options"), CALLS)
def test_values_and_gradients_agree_with_torch(op, shape, sizes, options, dtype):
    def call(library):
        return lambda x: getattr(library, op)(x, *sizes, **options)

    data = draw(shape, dtype)
    for array in (data, np.asfortranarray(data)):
        compare(call(functions), call(torch.nn.functional), array)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_indices_and_special_values_agree_with_torch(special):
    data = draw((2, 5, 6, 7, 8))
    data[np.random.default_rng(3).random(data.shape) < 0.3] = special
    for call in (
        lambda lib, x: lib.max_pool3d(x, 3, 2, 1, return_indices=True),
        lambda lib, x: lib.max_pool3d(x, (2, 3, 2), 1, dilation=2, return_indices=True),
        lambda lib, x: lib.adaptive_max_pool3d(x, (4, 3, 5), return_indices=True),
        lambda lib, x: lib.max_pool1d(x[:, :, 0, 0], 3, 2, 1, return_indices=True),
        lambda lib, x: lib.adaptive_max_pool1d(x[0, :, 0, 0], 3, return_indices=True),
    ):
        ours, theirs = call(functions, convcore.tensor(data)), call(torch.nn.functional, torch.tensor(data))
        for a, right in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a.numpy(), right.numpy())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling_agrees_with_torch(rank):
    data = np.random.default_rng(0).permutation(2 * 3 * 6**rank).reshape(2, 3, *[6] * rank).astype(np.float64)
    places = torch.nn.functional.__dict__[f"max_pool{rank}d"](torch.tensor(data), 2, return_indices=True)[1]
    pooled, size = data[(..., *[slice(0, 3)] * rank)].copy(), [7] * rank
    for options in ({}, {"output_size": size}):
        compare(
            lambda x, o=options: getattr(functions, f"max_unpool{rank}d")(x, convcore.tensor(places.numpy()), 2, **o),
            lambda t, o=options: getattr(torch.nn.functional, f"max_unpool{rank}d")(t, places, 2, **o),
            pooled,
        )


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.max_pool3d(x, 2, 1),
        lambda x: F.avg_pool3d(x * x, 2, 1, 1),
        lambda x: F.max_pool1d(x[0, :, :, 0], 2),
        lambda x: F.lp_pool3d(x, 2, 2),
        lambda x: F.max_unpool2d(x[0], convcore.tensor(np.arange(32).reshape(2, 4, 2, 2) % 16), 2),
    ],
)
def test_second_derivatives(call):
    x = convcore.tensor(0.3 + np.random.default_rng(0).permutation(32).reshape(1, 2, 4, 2, 2) / 4, requires_grad=True)
    assert gradcheck(call, (x,))
    assert gradgradcheck(call, (x,))


def test_pooling_of_volumes_is_bitwise_the_same_for_any_number_of_threads():
    x, before, results = convcore.randn(2, 19, 7, 9, 8), convcore.get_num_threads(), []
    try:
        for threads in (1, max_num_threads()):
            convcore.set_num_threads(threads)
            v = x.detach().clone().requires_grad_()
            outs = F.max_pool3d(v, 3, 2, 1), F.avg_pool3d(v, 3, 2, 1)
            (outs[0] * outs[1]).sum().backward()
            assert v.grad is not None
            results.append([a.numpy().tobytes() for a in (outs[0].detach(), outs[1].detach(), v.grad)])
    finally:
        convcore.set_num_threads(before)
    assert results[0] == results[1]


X = convcore.ones(2, 3, 4, 5)
INDICES = convcore.zeros(2, 3, 4, 5, dtype=convcore.int64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.max_pool1d(X, 2), ShapeError, r"input must have 3 axes \(N, C, L\) or 2 \(C, L\), it has 4"),
        (lambda: F.avg_pool3d(X[0], 2), ShapeError, r"avg_pool3d: input must have 5 axes .*\n  input  \(3, 4, 5\)"),
        (lambda: F.max_pool3d(X, (2, 2)), ShapeError, r"kernel_size must be one integer or three \(depth, "),
        (lambda: F.max_pool3d(X, 6), ShapeError, r"padded input's depth 3 \(3 \+ 0 \+ 0\) is .*\n.*C, D, H, W"),
        (lambda: F.adaptive_avg_pool3d(X, (1, 2)), ShapeError, r"output_size must be one size or three \(depth"),
        (lambda: F.adaptive_max_pool1d(X[0], (1, 2)), ShapeError, r"output_size must be one size, got \(1, 2\)"),
        (lambda: F.max_unpool2d(X, INDICES[:1], 2), ShapeError, "input and indices must have one shape"),
        (lambda: F.max_unpool2d(X, INDICES.int(), 2), DTypeError, "indices must be int64, .* got int32"),
        (lambda: F.max_unpool3d(X[0], INDICES[0], 2), ShapeError, "input must have 5 axes, or 4 without a batch"),
        (lambda: F.max_unpool2d(X[:, :0], INDICES[:, :0], 2), ShapeError, "only its batch axis may be"),
        (
            lambda: F.max_unpool2d(X, INDICES, 2, output_size=(8, 13)), ShapeError,
            "within a stride of the usual size, 9 to 11 for the width, got 13",
        ),
        (lambda: F.max_unpool2d(X, INDICES, 2, output_size=[8]), ShapeError, "output_size must have 2 sizes, or those"),
        (lambda: F.max_unpool2d(X, INDICES, 2, padding=9), ShapeError, "output's height must be at least 1, got -10"),
        (lambda: F.max_unpool2d(X, INDICES + 80, 2), ShapeError, r"indices must lie from 0 to 79 .*, got 80 to 80"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

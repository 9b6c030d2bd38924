"""Interpolation, pixel and channel shuffling, windows as columns and sampling at grids against PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.nn import functional as F
from convcore.testing import gradcheck, gradgradcheck

SERIES, IMAGE, VOLUME = (2, 3, 7), (2, 3, 5, 6), (1, 2, 4, 3, 5)
functions: Any = F
RESIZE = [
    *[
        (mode, shape, options)
        for mode in ("nearest", "nearest-exact", "area")
        for shape in (SERIES, IMAGE, VOLUME)
        for options in ({"size": 9}, {"size": 2}, {"scale_factor": 1.7}, {"scale_factor": 0.7})
    ],
    *[
        (mode, shape, {**size, "align_corners": align})
        for mode, shape in (("linear", SERIES), ("bilinear", IMAGE), ("trilinear", VOLUME), ("bicubic", IMAGE))
        for size in ({"size": 9}, {"size": 3}, {"size": 1}, {"scale_factor": 1.7}, {"scale_factor": 0.6})
        for align in (None, False, True)
    ],
    ("bilinear", IMAGE, {"scale_factor": (2.3, 0.7), "recompute_scale_factor": True}),
    ("bicubic", IMAGE, {"size": (3, 11)}),
    ("bilinear", (0, 3, 5, 6), {"size": 4}),
]


def compare(call, *arrays, gradients=True):
    """`call(library, *tensors)` in both libraries: values, and gradients for a random cotangent."""
    ours: list[Any] = [convcore.tensor(a, requires_grad=gradients) for a in arrays]
    theirs: list[Any] = [torch.tensor(a, requires_grad=gradients) for a in arrays]
    out, expected = call(functions, *ours), call(torch.nn.functional, *theirs)
    tolerance = 2e-5 if arrays[0].dtype == np.float32 else 1e-12
    assert out.dtype == expected.detach().numpy().dtype
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    if gradients:
        cotangent = np.random.default_rng(1).standard_normal(tuple(expected.shape)).astype(arrays[0].dtype)
        out.backward(convcore.tensor(cotangent))
        expected.backward(torch.tensor(cotangent))
        for x, t in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=10 * tolerance, atol=10 * tolerance)


def draw(shape, dtype: Any = np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("mode", "shape", "options"), RESIZE)
def test_interpolate_agrees_with_torch(mode, shape, options, dtype):
    compare(lambda lib, x: lib.interpolate(x, mode=mode, **options), draw(shape, dtype))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_the_nearest_value_is_that_of_torch_for_all_sizes(mode):
    for size in (1, 2, 5, 7, 12, 31):
        x = np.arange(size, dtype=np.float32)[None, None]
        for target in range(1, 70):
            compare(lambda lib, x, t=target: lib.interpolate(x, size=t, mode=mode), x, gradients=False)
        for factor in (0.3, 0.5, 1.1, 2.0, 2.6, 3.3):
            if size * factor >= 1:
                compare(lambda lib, x, f=factor: lib.interpolate(x, scale_factor=f, mode=mode), x, gradients=False)
    bytes_in = np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4)
    compare(lambda lib, x: lib.interpolate(x, size=(5, 3), mode=mode), bytes_in, gradients=False)


def test_old_names():
    x = draw(IMAGE)
    np.testing.assert_array_equal(
        F.upsample_nearest(convcore.tensor(x), scale_factor=2).numpy(), np.repeat(np.repeat(x, 2, axis=2), 2, axis=3)
    )
    np.testing.assert_array_equal(
        F.upsample_bilinear(convcore.tensor(x), size=8).numpy(),
        F.upsample(convcore.tensor(x), size=8, mode="bilinear", align_corners=True).numpy(),
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda lib, x: lib.pixel_shuffle(x, 2),
        lambda lib, x: lib.pixel_unshuffle(x, 2),
        lambda lib, x: lib.pixel_shuffle(x[0], 2),
        lambda lib, x: lib.channel_shuffle(x, 4),
        lambda lib, x: lib.unfold(x, 3),
        lambda lib, x: lib.unfold(x[1], (2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)),
        lambda lib, x: lib.fold(x.reshape(2, 8, 24), (7, 5), 2),
        lambda lib, x: lib.fold(x.reshape(2, 12, 16)[0], (10, 5), (3, 2), dilation=(1, 3), padding=1, stride=(3, 1)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moved_values_agree_with_torch(call, dtype):
    compare(call, draw((2, 8, 4, 6), dtype))


GRIDS = [
    (mode, padding, align)
    for mode in ("bilinear", "nearest", "bicubic")
    for padding in ("zeros", "border", "reflection")
    for align in (False, True)
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("mode", "padding", "align"), GRIDS)
def test_grid_sample_agrees_with_torch(mode, padding, align, dtype):
    rng = np.random.default_rng(4)
    x, grid = draw(IMAGE, dtype), rng.uniform(-2.6, 2.6, (2, 4, 3, 2)).astype(dtype)
    compare(lambda lib, x, g: lib.grid_sample(x, g, mode, padding, align), x, grid)
    if mode != "bicubic":
        volume, grid = draw(VOLUME, dtype), rng.uniform(-2.6, 2.6, (1, 2, 3, 2, 3)).astype(dtype)
        compare(lambda lib, x, g: lib.grid_sample(x, g, mode, padding, align), volume, grid)


def test_grid_places_at_infinity_read_outside_and_nan_stays_nan():
    x, grid = draw((1, 1, 3, 3)), np.array([np.nan, np.inf, -np.inf, 1e30, 0.1, 0.2, 0.3, np.nan]).reshape(1, 2, 2, 2)
    for padding in ("zeros", "border"):
        out = F.grid_sample(convcore.tensor(x), convcore.tensor(grid), padding_mode=padding, align_corners=False)
        assert np.isnan(out.numpy()).tolist() == [[[[True, False], [False, True]]]]


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(("theta", "size"), [((2, 2, 3), (2, 3, 4, 5)), ((1, 3, 4), (1, 1, 2, 4, 3))])
def test_affine_grid_agrees_with_torch(theta, size, align):
    compare(lambda lib, t: lib.affine_grid(t, size, align), draw(theta))


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (lambda x: F.interpolate(x * x, size=3, mode="bicubic"), (1, 2, 2, 3)),
        (lambda x: F.interpolate(x * x, scale_factor=1.5, mode="linear"), (1, 2, 4)),
        (lambda x: F.unfold(x * x, 2), (1, 2, 3, 3)),
        (lambda x: F.fold(x * x, (3, 3), 2), (1, 4, 4)),
        (lambda x: F.grid_sample(x * x, x.permute(0, 2, 3, 1) * 0.3, align_corners=False), (1, 2, 2, 3)),
    ],
)
def test_second_derivatives(call, shape):
    x = convcore.tensor(np.random.default_rng(2).uniform(0.3, 1.1, shape), requires_grad=True)
    assert gradcheck(call, (x,))
    assert gradgradcheck(call, (x,))


X = convcore.ones(2, 3, 4, 5)


def test_a_grid_of_one_place_is_the_center():
    theta = convcore.tensor(np.array([[[1.0, 0, 0.25], [0, 1, 0.5]]]))
    assert F.affine_grid(theta, (1, 1, 1, 1), align_corners=True).tolist() == [[[[0.25, 0.5]]]]


def test_windows_of_any_type():
    flags = np.eye(3, dtype=bool)[None]
    expected = torch.nn.functional.unfold(torch.tensor(flags), 2).numpy()
    np.testing.assert_array_equal(F.unfold(convcore.tensor(flags), 2).numpy(), expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.interpolate(X), ShapeError, "give either size or scale_factor, got None and None"),
        (lambda: F.interpolate(X, 2, 2.0), ShapeError, "give either size or scale_factor, got 2 and 2.0"),
        (lambda: F.interpolate(X, 2, mode="sinc"), UnsupportedError, "mode must be one of 'nearest', .*, got 'sinc'"),
        (lambda: F.interpolate(X, 2, mode="linear"), UnsupportedError, "mode 'linear' takes inputs of 3 axes"),
        (lambda: F.interpolate(X, 2, align_corners=True), ShapeError, "align_corners goes with the linear and cubic"),
        (lambda: F.interpolate(X, (2, 2, 2)), ShapeError, r"size must be one number or 2 for shape \(2, 3, 4, 5\)"),
        (lambda: F.interpolate(X, 0), ShapeError, "sizes must be at least 1"),
        (lambda: F.interpolate(X, scale_factor=-1.0), ShapeError, "scale_factor must be positive, got -1.0"),
        (lambda: F.interpolate(X, 2, recompute_scale_factor=True), ShapeError, "needs a scale_factor, got size"),
        (lambda: F.interpolate(X.long(), 2), DTypeError, "input must be float32 or float64, got int64"),
        (lambda: functions.interpolate([1], 2), DTypeError, "input must be a tensor, got list"),
        (lambda: F.pixel_shuffle(X, 2), ShapeError, r"divisible by upscale_factor\^2 = 4, got 3"),
        (lambda: F.pixel_shuffle(X[0, 0], 2), ShapeError, r"at least 3 axes \(.., C, H, W\), got shape \(4, 5\)"),
        (lambda: F.pixel_unshuffle(X, 2), ShapeError, "divisible by downscale_factor 2, got 4, 5"),
        (lambda: F.channel_shuffle(X, 2), ShapeError, "groups must divide the channels, got 2 and 3"),
        (lambda: F.channel_shuffle(X[0, 0], 2), ShapeError, "at least 3 axes"),
        (lambda: functions.unfold([1], 2), DTypeError, "unfold: input must be a tensor, got list"),
        (lambda: F.unfold(X, 6), ShapeError, r"no window fits into an image of 4 x 5: kernel_size \(6, 6\)"),
        (lambda: F.unfold(X[0, 0], 2), ShapeError, r"input must be \(N, C, H, W\) or \(C, H, W\)"),
        (lambda: F.fold(X[0], 3, 2), ShapeError, r"a multiple of k_h \* k_w = 4 rows and a column for each of the 4"),
        (lambda: F.fold(X, 3, 2), ShapeError, r"fold: input must be \(N, C \* k_h \* k_w, L\) or without N"),
        (lambda: F.grid_sample(X, X), ShapeError, "one place for each output of each image or volume\n  input"),
        (lambda: F.grid_sample(X, X[..., :2], "cubic"), UnsupportedError, "mode must be .*, got 'cubic'"),
        (lambda: F.grid_sample(X, X[..., :2], "nearest", "wrap"), UnsupportedError, "padding_mode must be .*'wrap'"),
        (lambda: F.grid_sample(X[:, :, :0], X[..., :2]), ShapeError, "must not be empty along its spatial axes"),
        (lambda: F.affine_grid(X, (2, 3, 4, 5)), ShapeError, r"theta must be \(N, 2, 3\) for a size of 4 numbers"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

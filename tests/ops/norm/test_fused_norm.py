"""Batch norm, ReLU and max pooling in one: the steps one by one and PyTorch must give the same."""

import contextlib
from typing import Any

import numpy as np
import pytest
import torch

import convcore
import convcore.nn.functional as F
from convcore.autograd import wrap
from convcore.errors import ShapeError
from convcore.models import CNN, SimpleCNN

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-11}
NO_POOLING: dict[str, Any] = {}
WINDOWS = {
    "none": NO_POOLING,
    "2x2": {"kernel_size": 2},
    "3x3, stride 2": {"kernel_size": 3, "stride": 2, "padding": 1},
    "gaps": {"kernel_size": 2, "stride": 3},
    "every pixel": {"kernel_size": 3, "stride": 1, "padding": 1},
    "unequal": {"kernel_size": (2, 3), "stride": (2, 1), "padding": (0, 1)},
    "dilated": {"kernel_size": 2, "dilation": 3},
    "rounded up": {"kernel_size": 2, "ceil_mode": True},
    "many taps": {"kernel_size": (9, 11)},
}
# Windows that share no pixel: a pixel's gradient is no sum, which each kernel takes in its own order.
SEPARATE = ("2x2", "gaps", "rounded up", "many taps")


def block(rng, shape, dtype):
    """A channels-last image with many equal numbers."""
    n, c, h, w = shape
    numbers = rng.integers(-6, 7, (n, h, w, c)) / 4 + rng.standard_normal(c)
    return numbers.astype(dtype).transpose(0, 3, 1, 2)


def run(shape, dtype, window, training, rectify=True, fuse=True, value=None, inplace=False) -> list[np.ndarray]:
    """Output, gradients of x, weight and bias, running statistics."""
    rng = np.random.default_rng(sum(shape))
    array = block(rng, shape, dtype)
    if value is not None:
        array[0, 0, 1, 2] = value
    x = wrap(array).requires_grad_()
    weight: Any = wrap(rng.standard_normal(shape[1]).astype(dtype)).requires_grad_()
    bias: Any = wrap(rng.standard_normal(shape[1]).astype(dtype)).requires_grad_()
    mean, var = (wrap((rng.random(shape[1]) + 0.5).astype(dtype)) for _ in range(2))
    with contextlib.nullcontext() if fuse else convcore.no_fusion():
        out = F.batch_norm(x, mean, var, weight, bias, training)
        assert (out.deferred is not None) == fuse
        out = F.relu(out, inplace) if rectify else out
        out = F.max_pool2d(out, **window) if window else out
        out.backward(wrap(rng.standard_normal(out.shape).astype(dtype)))
    assert x.grad is not None
    return [out.array, x.grad.array, weight.grad.array, bias.grad.array, mean.array, var.array]


def run_torch(shape, window, training, rectify=True) -> list[np.ndarray]:
    """The same in PyTorch, in float64, of numbers that float32 holds exactly."""
    rng = np.random.default_rng(sum(shape))
    x: Any = torch.tensor(block(rng, shape, np.float32).astype(np.float64), requires_grad=True)
    draw = [rng.standard_normal(shape[1]).astype(np.float32).astype(np.float64) for _ in range(2)]
    weight: Any = torch.tensor(draw[0], requires_grad=True)
    bias: Any = torch.tensor(draw[1], requires_grad=True)
    mean, var = (torch.tensor((rng.random(shape[1]) + 0.5).astype(np.float32).astype(np.float64)) for _ in range(2))
    out = torch.nn.functional.batch_norm(x, mean, var, weight, bias, training)
    out = torch.relu(out) if rectify else out
    out = torch.nn.functional.max_pool2d(out, **window) if window else out
    out.backward(torch.tensor(rng.standard_normal(tuple(out.shape)).astype(np.float32).astype(np.float64)))
    return [t.detach().numpy() for t in (out, x.grad, weight.grad, bias.grad, mean, var)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [1, 3, 6, 24, 40, 100])
@pytest.mark.parametrize("window", WINDOWS)
def test_the_steps_one_by_one_give_the_same(window, channels, training, dtype):
    shape = (3, channels, 9, 11)
    fused = run(shape, dtype, WINDOWS[window], training)
    steps = run(shape, dtype, WINDOWS[window], training, fuse=False)
    np.testing.assert_array_equal(fused[0], steps[0])  # the same arithmetic
    for actual, wanted in zip(fused[1:], steps[1:], strict=True):
        bound = TOLERANCE[dtype] * max(1, abs(wanted).max())
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound)
    if not WINDOWS[window] or (not training and window in SEPARATE):
        np.testing.assert_array_equal(fused[1], steps[1])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("window", WINDOWS)
def test_torch_gives_the_same(window, rectify, training):
    for channels in (5, 32):
        shape = (2, channels, 12, 13)
        fused = run(shape, np.float32, WINDOWS[window], training, rectify)
        for actual, wanted in zip(fused, run_torch(shape, WINDOWS[window], training, rectify), strict=True):
            bound = 2e-5 * max(1, abs(wanted).max())
            np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("window", ["none", "2x2", "3x3, stride 2"])
def test_nan_and_infinity_travel_as_in_the_steps(window, rectify, training, value):
    fused = run((2, 3, 8, 8), np.float32, WINDOWS[window], training, rectify, value=value)
    steps = run((2, 3, 8, 8), np.float32, WINDOWS[window], training, rectify, fuse=False, value=value)
    for actual, wanted in zip(fused, steps, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)
    assert not np.isfinite(fused[0]).all() or (value == -np.inf and rectify) or (value == -np.inf and window != "none")


@pytest.mark.parametrize("window", ["none", "2x2"])
def test_in_place_gives_the_same(window):
    fused = run((2, 8, 6, 6), np.float32, WINDOWS[window], True, inplace=True)
    for actual, wanted in zip(fused, run((2, 8, 6, 6), np.float32, WINDOWS[window], True), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_return_indices_needs_the_image():
    x = wrap(block(np.random.default_rng(0), (2, 3, 6, 6), np.float32))
    y = F.relu(F.batch_norm(x, None, None, training=True))
    out, indices = F.max_pool2d(y, 2, return_indices=True)
    assert y.deferred is None
    np.testing.assert_array_equal(out.array, F.max_pool2d(y, 2).array)
    assert indices.dtype == np.int64


def test_wrong_windows_are_errors_at_once():
    x = wrap(block(np.random.default_rng(0), (2, 3, 6, 6), np.float32))
    y = F.relu(F.batch_norm(x, None, None, training=True))
    with pytest.raises(ShapeError, match=r"max_pool2d: the padded input's height 6 .* is smaller"):
        F.max_pool2d(y, 7)
    assert y.deferred is not None


def test_empty_batch():
    x = wrap(np.empty((0, 4, 4, 3), np.float32).transpose(0, 3, 1, 2)).requires_grad_()
    weight = convcore.ones(3, requires_grad=True)
    out = F.max_pool2d(F.relu(F.batch_norm(x, None, None, weight, None, True)), 2)
    out.backward(out.detach())
    assert x.grad is not None
    assert weight.grad is not None
    assert (out.shape, x.grad.shape, weight.grad.tolist()) == ((0, 3, 2, 2), (0, 3, 4, 4), [0, 0, 0])


@pytest.mark.parametrize(("build", "shape"), [(CNN, (3, 1, 28, 28)), (SimpleCNN, (2, 3, 32, 40))])
@pytest.mark.parametrize("training", [True, False])
def test_whole_networks(build, shape, training):
    def gradients():
        convcore.manual_seed(0)
        model = build().train(training)
        model(convcore.rand(*shape)).square().sum().backward()
        return [p.grad.array for p in model.parameters()] + [b.array for b in model.buffers()]

    fused = gradients()
    with convcore.no_fusion():
        steps = gradients()
    for actual, wanted in zip(fused, steps, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=1e-4 * max(1, abs(wanted).max()))

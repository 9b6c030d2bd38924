"""Convolutions whose stride, padding or dilation is far larger than the image: exact, at the price of small ones."""

import itertools
import resource
from typing import Any

import numpy as np
import pytest

import convcore
from convcore.autograd import grad
from convcore.nn import functional as F
from convcore.ops.conv.far import near
from convcore.ops.conv.geometry import conv_geometry
from convcore.testing import gradcheck

MEBIBYTE = 1024  # of the unit of ru_maxrss
CHANNELS = {  # rank, channels, filters, groups: each for another algorithm
    "few channels": (2, 4, 4, 1), "many channels": (2, 16, 16, 1), "depthwise": (2, 8, 8, 8), "grouped": (2, 12, 12, 4),
    "grouped in vectors": (2, 16, 16, 4), "series": (1, 4, 4, 1), "volumes": (3, 4, 4, 1),
}  # fmt: skip
SETTINGS = {  # kernel, stride, padding, dilation
    "stride": (3, 10**7, 1, 1), "stride beyond 32 bits": (3, 2**31 + 1, 1, 1),
    "stride beyond 64 bits": (3, 2**70, 1, 1),
    "padding and dilation": (3, 1, 10**6, 10**6), "padding and stride": (3, 10**6, 10**6, 1),
    "all three": (2, 2**40, 2**40, 2**40), "dilation of one tap": (1, 2, 0, 2**70), "stride of five": (3, 5, 1, 1),
    "stride and dilation": (3, 4, 2, 2), "one tap of nine": (1, 3, 0, 1),
}  # fmt: skip


def by_definition(x, weight, grad_out, stride, padding, dilation, groups):
    """out, grad_x and grad_weight, one output and tap after the other."""
    c, k, sizes = x.shape[1], len(weight), grad_out.shape[2:]
    out, grad_x, grad_weight = np.zeros(grad_out.shape), np.zeros(x.shape), np.zeros(weight.shape)
    for place in itertools.product(*[range(s) for s in sizes]):
        for tap in itertools.product(*[range(s) for s in weight.shape[2:]]):
            read = [o * stride + t * dilation - padding for o, t in zip(place, tap, strict=True)]
            if not all(0 <= i < s for i, s in zip(read, x.shape[2:], strict=True)):
                continue
            for g in range(groups):
                channels: Any = (slice(None), slice(g * c // groups, (g + 1) * c // groups), *read)
                filters = slice(g * k // groups, (g + 1) * k // groups)
                results: Any = (slice(None), filters, *place)
                weights: Any = (filters, slice(None), *tap)
                out[results] += x[channels] @ weight[weights].T
                grad_x[channels] += grad_out[results] @ weight[weights]
                grad_weight[weights] += grad_out[results].T @ x[channels]
    return out, grad_x, grad_weight


def whole_numbers(rng, *shape):
    return rng.integers(-3, 4, shape).astype(np.float32)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_results_and_gradients_are_those_of_the_definition(channels, settings):
    rank, c_in, c_out, groups = CHANNELS[channels]
    kernel, stride, padding, dilation = SETTINGS[settings]
    rng = np.random.default_rng(0)
    x, weight = whole_numbers(rng, 2, c_in, *[5] * rank), whole_numbers(rng, c_out, c_in // groups, *[kernel] * rank)
    a, b = convcore.tensor(x, requires_grad=True), convcore.tensor(weight, requires_grad=True)
    conv = getattr(F, f"conv{rank}d")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with convcore.no_grad():
        unrecorded = conv(a, b, None, stride, padding, dilation, groups).numpy()
    out = conv(a, b, None, stride, padding, dilation, groups)
    grad_out = whole_numbers(rng, *out.shape)
    out.backward(convcore.tensor(grad_out))
    wanted = by_definition(x, weight, grad_out, stride, padding, dilation, groups)
    assert a.grad is not None
    assert b.grad is not None
    for got, right in zip((unrecorded, a.grad.numpy(), b.grad.numpy()), wanted, strict=True):
        np.testing.assert_array_equal(got, right)
    np.testing.assert_array_equal(out.detach().numpy(), unrecorded)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * MEBIBYTE  # new kernels included


@pytest.mark.parametrize("algorithm", ["direct", "reference"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_algorithms_asked_for_by_name_do_the_same(settings, algorithm):
    kernel, stride, padding, dilation = SETTINGS[settings]
    rng = np.random.default_rng(1)
    x, weight = whole_numbers(rng, 1, 3, 5, 5), whole_numbers(rng, 2, 3, kernel, kernel)
    a, b = convcore.tensor(x, requires_grad=True), convcore.tensor(weight, requires_grad=True)
    out = F.conv2d(a, b, None, stride, padding, dilation, algorithm=algorithm)
    grad_out = whole_numbers(rng, *out.shape)
    out.backward(convcore.tensor(grad_out))
    assert a.grad is not None
    np.testing.assert_array_equal(
        a.grad.numpy(), by_definition(x, weight, grad_out, stride, padding, dilation, 1)[1]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "stride", "padding", "dilation", "extra"),
    [(1, 2**70, 1, 1, 0), (2, 10**6, 500_000, 1, 3), (4, 1, 10**6, 10**6, 0), (1, 2**33, 2**32, 2**32, 5)],
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolutions_are_the_gradients_of_these(rank, size, stride, padding, dilation, extra):
    rng = np.random.default_rng(2)
    x, weight = whole_numbers(rng, 2, 4, *[size] * rank), whole_numbers(rng, 4, 3, *[3] * rank)
    a, b = convcore.tensor(x, requires_grad=True), convcore.tensor(weight, requires_grad=True)
    out = getattr(F, f"conv_transpose{rank}d")(a, b, None, stride, padding, extra, 1, dilation)
    grad_out = whole_numbers(rng, *out.shape)
    out.backward(convcore.tensor(grad_out))
    assert a.grad is not None
    assert b.grad is not None
    grad_x, wanted, grad_weight = by_definition(grad_out, weight, x, stride, padding, dilation, 1)
    np.testing.assert_array_equal(out.detach().numpy(), wanted)
    np.testing.assert_array_equal(a.grad.numpy(), grad_x)
    np.testing.assert_array_equal(b.grad.numpy(), grad_weight)


def test_second_derivatives_of_far_convolutions():
    x = convcore.randn(1, 2, 4, 4, dtype=convcore.float64, requires_grad=True)
    weight = convcore.randn(3, 2, 3, 3, dtype=convcore.float64, requires_grad=True)
    settings: Any = {"stride": 1, "padding": 10**6, "dilation": 10**6}
    assert gradcheck(lambda a, b: grad(F.conv2d(a, b, **settings).square().sum(), a, create_graph=True)[0], [x, weight])


def test_a_compiled_model_gathers_again():
    net = convcore.compile(convcore.nn.Conv2d(3, 4, 3, padding=10**5, dilation=10**5).eval())
    with convcore.no_grad():
        for _ in range(3):
            x = convcore.randn(1, 3, 6, 6)
            np.testing.assert_allclose(
                net(x).numpy(), F.conv2d(x, net.weight[:, :, 1:2, 1:2], net.bias).numpy(), rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("stride", [2**31, 2**70])
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "unfold"])
def test_windows_beyond_the_image_are_none(name, stride):
    gradients = []
    for step in (stride, 8):
        x = convcore.arange(64, dtype=convcore.float32).reshape(1, 1, 8, 8).requires_grad_()
        out = getattr(F, name)(x, 3, stride=step)
        out.sum().backward()
        assert x.grad is not None
        gradients.append((out.tolist(), x.grad.tolist()))
    assert gradients[0] == gradients[1]


def test_ordinary_settings_are_left_to_the_algorithms():
    for size, kernel, stride, padding, dilation in itertools.product(
        (1, 8, 224), (1, 3, 7), (1, 2, 64), (0, 3, 64), (1, 36)
    ):
        if size + 2 * padding > dilation * (kernel - 1):
            shapes = convcore.ones(1, 3, size, size), convcore.ones(2, 3, kernel, kernel)
            geometry = conv_geometry("conv2d", *shapes, stride, padding, dilation, 1)
            assert near(geometry) is geometry

"""Results of STREAM_BYTES and more are stored past the caches: a batch of them is what its images are one by one."""

import numpy as np
import pytest

import convcore
import convcore.nn.functional as F
from kernels.cpu.vector.target import STREAM_BYTES

# Of two images; the result of one is below STREAM_BYTES. 60 and 37 channels leave lines that are not aligned, 64 none.
CONVOLUTIONS = {
    "winograd": ((2, 16, 190, 190), (64, 16, 3, 3), {"padding": 1, "algorithm": "winograd"}),
    "winograd, unaligned": ((2, 16, 200, 200), (60, 16, 3, 3), {"padding": 1, "algorithm": "winograd"}),
    "winograd2x2": ((2, 16, 190, 190), (64, 16, 3, 3), {"padding": 1, "algorithm": "winograd2x2"}),
    "direct": ((2, 3, 190, 190), (64, 3, 3, 3), {"padding": 1, "algorithm": "direct"}),
    "direct, unaligned": ((2, 3, 250, 250), (37, 3, 3, 3), {"padding": 1, "algorithm": "direct"}),
    "pointwise": ((2, 24, 190, 190), (64, 24, 1, 1), {"algorithm": "pointwise"}),
    "pointwise, in blocks of the sum": ((2, 600, 96, 96), (256, 600, 1, 1), {"algorithm": "pointwise"}),
    "pointwise, unaligned": ((2, 24, 250, 250), (37, 24, 1, 1), {"algorithm": "pointwise"}),
}


def normal(*shape, seed=0):
    return convcore.tensor(np.random.default_rng(seed).standard_normal(shape, np.float32))


def assert_streamed(batch, images):
    assert images[0].array.nbytes < STREAM_BYTES <= batch.array.nbytes
    for i, image in enumerate(images):
        np.testing.assert_array_equal(batch.array[i], image.array[0])


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case, relu):
    shape, filters, settings = CONVOLUTIONS[case]
    x, weight, bias = normal(*shape), normal(*filters, seed=1), normal(filters[0], seed=2)

    def convolved(images):
        out = F.conv2d(images, weight, bias, **settings)
        return F.relu(out) if relu else out

    with convcore.no_grad():
        assert_streamed(convolved(x), [convolved(x[i : i + 1].clone()) for i in range(2)])


def test_sums_with_a_convolution():
    shape, filters, settings = CONVOLUTIONS["winograd"]
    x, weight = normal(*shape), normal(*filters, seed=1)
    with convcore.no_grad():
        addend = F.conv2d(x, weight, **settings).clone()
        batch = F.conv2d(x, weight, **settings) + addend
        np.testing.assert_array_equal(batch.array, 2 * addend.array)


@pytest.mark.parametrize("channels", [64, 60])
@pytest.mark.parametrize("relu", [False, True])
def test_batch_norm_and_its_gradient(channels, relu):
    x, mean, variance = normal(2, channels, 250, 250), normal(channels, seed=1), normal(channels, seed=2).abs()
    grad_out = normal(2, channels, 250, 250, seed=3)

    def normalised(images, gradient):
        images = images.clone().requires_grad_()
        out = F.batch_norm(images, mean, variance)
        out = F.relu(out) if relu else out
        out.backward(gradient)
        return out.detach(), images.grad

    batch = normalised(x, grad_out)
    single = [normalised(x[i : i + 1], grad_out[i : i + 1]) for i in range(2)]
    for streamed, images in zip(batch, zip(*single, strict=True), strict=True):
        assert_streamed(streamed, images)


def test_gradient_of_a_convolutions_input():
    weight, grad_out = normal(24, 64, 3, 3), normal(2, 24, 190, 190, seed=1)

    def gradient(g):
        x = convcore.zeros(len(g), 64, 190, 190, requires_grad=True)
        F.conv2d(x, weight, padding=1).backward(g)
        return x.grad

    assert_streamed(gradient(grad_out), [gradient(grad_out[i : i + 1]) for i in range(2)])

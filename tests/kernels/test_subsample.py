"""Pixels taken out of images by a stride, and put back."""

import numpy as np
import pytest

from kernels.cpu.conv.subsample import put_pixels, take_pixels


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 5, 8, 19])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 3), (4, 2)])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 6)])
def test_taking_and_putting_follow_slices(size, stride, channels, dtype):
    rng = np.random.default_rng(channels)
    images = rng.standard_normal((2, *size, channels)).astype(dtype)
    expected = images[:, :: stride[0], :: stride[1]]
    seen = np.full(expected.shape, np.nan, dtype)
    take_pixels(images, seen, *stride)
    np.testing.assert_array_equal(seen, expected)
    back = np.full(images.shape, np.nan, dtype)
    put_pixels(seen, back, *stride)
    between = np.zeros_like(images)
    between[:, :: stride[0], :: stride[1]] = seen
    np.testing.assert_array_equal(back, between)

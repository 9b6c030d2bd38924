"""Vectors of integers beside vectors of floats: loads that widen, stores that cut, comparisons, bits."""

import numpy as np
import pytest

from kernels.cpu.vector.integers import (
    load_integer_lanes,
    store_integer_lanes,
    vbits,
    vfloats,
    viequal,
    viload,
    vishift_left,
    visplat,
    vistore,
)
from kernels.cpu.vector.target import lanes
from kernels.cpu.vector.values import vlanes, vload, vselect, vstore
from kernels.launch import kernel


@kernel(1)
def _count_up(chunk, x, integers, out, added):
    vistore(viload(integers, 0, x) + visplat(x, added), out, 0)


@kernel(1)
def _choose(chunk, x, integers, out, wanted):
    vstore(vselect(viequal(viload(integers, 0, x), visplat(x, wanted)), vload(x, 0), vload(x, vlanes(x))), out, 0)


@kernel(1)
def _part(chunk, x, integers, out, index, count):
    store_integer_lanes(load_integer_lanes(integers, index, count, x), out, index, count, x)


@kernel(1)
def _scale(chunk, x, out, exponent, bits):
    vstore(vfloats(vbits(vload(x, 0)) + vishift_left(visplat(x, exponent), bits)), out, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [np.uint8, np.int8, np.int32, np.int64])
def test_integers_of_any_width(dtype, width):
    n = lanes(np.dtype(dtype).itemsize)
    x = np.arange(2 * n).astype(dtype)
    integers = (np.arange(n) * 7 + (250 if width == np.uint8 else -2)).astype(width)
    out = np.full(n, 99, width)
    _count_up(x, integers, out, 3)
    np.testing.assert_array_equal(out, (integers + width(3)).astype(width))
    chosen = np.empty(n, dtype)
    _choose(x, integers, chosen, int(integers[n - 1]))
    np.testing.assert_array_equal(chosen, [*x[n : 2 * n - 1], x[n - 1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [np.uint8, np.int32])
def test_parts_touch_nothing_beyond_their_count(dtype, width):
    n = lanes(np.dtype(dtype).itemsize)
    for count in range(n + 3):
        integers = np.arange(1, 4 + min(count, n)).astype(width)  # the memory ends with the part
        out = np.full(3 + n, 77, width)
        _part(np.empty(1, dtype), integers, out, 3, count)
        np.testing.assert_array_equal(out, [77] * 3 + [*integers[3:]] + [77] * (n - min(count, n)))


@pytest.mark.parametrize(("dtype", "bits"), [(np.float32, 23), (np.float64, 52)])
def test_bits_of_floats(dtype, bits):
    n = lanes(np.dtype(dtype).itemsize)
    x = np.linspace(-3, 5, n).astype(dtype)
    out = np.empty(n, dtype)
    _scale(x, out, -4, bits)
    np.testing.assert_array_equal(out, x / 16)

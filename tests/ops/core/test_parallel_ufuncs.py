"""Sums and products by kernels of all threads: the definition rounded once, and NumPy where there is no kernel."""

from typing import Any

import numpy as np
import pytest

import convcore
from convcore.ops.core import parallel_ufuncs
from convcore.ops.core.layout import empty_like
from kernels.reference import elementwise as reference

SHAPE = (2, 35, 33, 29)  # more than SMALLEST in float32, and no multiple of a vector or of a chunk


def image(seed: int, dtype: Any, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Channels-last numbers of all sizes, with infinities, zeros of both signs and NaN."""
    n, c, h, w = shape
    rng = np.random.default_rng(seed)
    block = rng.standard_normal((n, h, w, c)) * 10.0 ** rng.integers(-44, 38, (n, h, w, c))
    with np.errstate(all="ignore"):
        block = block.astype(dtype)
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], dtype)
    where = rng.random(block.shape) < 0.1
    block[where] = rng.choice(special, where.sum())
    return flushed(block).transpose(0, 3, 1, 2)


def flushed(array: np.ndarray) -> np.ndarray:
    """Denormals as zeros of their signs."""
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, np.copysign(0, array), array).astype(array.dtype)


def run(ufunc: Any, *arrays: np.ndarray) -> tuple[bool, np.ndarray]:
    out = empty_like(max(arrays, key=lambda array: array.size))
    out[...] = 7
    return parallel_ufuncs.computed(ufunc, arrays, out), out


def bits(array: np.ndarray) -> np.ndarray:
    """The numbers with one NaN for all, for which of two NaN goes on is the processor's choice."""
    whole = np.where(np.isnan(array), np.nan, array).astype(array.dtype)
    return whole.view(f"u{array.itemsize}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("ufunc", [np.add, np.multiply])
def test_equal_shapes(ufunc, dtype):
    a, b = image(1, dtype), image(2, dtype)
    for pair in ((a, b), (np.ascontiguousarray(a), np.ascontiguousarray(b))):
        before = [array.copy() for array in pair]
        taken, out = run(ufunc, *pair)
        assert taken
        with np.errstate(all="ignore"):
            expected = flushed(getattr(reference, ufunc.__name__)(*pair).astype(dtype))
        np.testing.assert_array_equal(bits(out), bits(expected))
        for array, unchanged in zip(pair, before, strict=True):
            np.testing.assert_array_equal(bits(array), bits(unchanged))


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 35, 1, 1), (1, 35, 1, 1), (35, 1, 1)], ids=str)
def test_factors_of_channels(shape, dtype):
    x, factors = image(3, dtype), np.random.default_rng(4).standard_normal(shape).astype(dtype)
    for pair in ((x, factors), (factors, x)):
        taken, out = run(np.multiply, *pair)
        assert taken
        pixels = x.transpose(0, 2, 3, 1).reshape(SHAPE[0], -1, SHAPE[1])
        with np.errstate(all="ignore"):
            expected = flushed(reference.multiply_channels(pixels, factors.reshape(-1, SHAPE[1])).astype(dtype))
        np.testing.assert_array_equal(bits(out.transpose(0, 2, 3, 1).reshape(pixels.shape)), bits(expected))


def test_what_has_no_kernel_is_left_to_numpy():
    a, b = image(1, np.float32), image(2, np.float32)
    read_only = b.copy(order="K")
    read_only.flags.writeable = False
    others = [
        (np.subtract, a, b),
        (np.add, a, np.ascontiguousarray(b)),
        (np.add, a, read_only),
        (np.add, a, b.astype(np.float64)),
        (np.add, a[:, :, :8, :8], b[:, :, :8, :8]),
        (np.add, a.view(np.int32), b.view(np.int32)),
        (np.add, a, b[:, :, :1, :1]),
        (np.multiply, a, b[:, :1]),
        (np.multiply, np.ascontiguousarray(a), b[:, :, :1, :1]),
    ]
    with np.errstate(all="ignore"):
        for ufunc, *pair in others:
            taken, out = run(ufunc, *pair)
            assert not taken
            assert (out == 7).all()


def test_tensors_of_both_ways_agree():
    """What users call, with sizes on both sides of the limit."""
    for side in (8, 64):
        with convcore.no_grad():
            x, y = (convcore.nn.Conv2d(3, 16, 1)(convcore.randn(1, 3, side, side)) for _ in range(2))
            gate = convcore.rand(1, 16, 1, 1)
        np.testing.assert_array_equal((x + y).numpy(), x.numpy() + y.numpy())
        np.testing.assert_array_equal((x * y).numpy(), x.numpy() * y.numpy())
        np.testing.assert_array_equal((gate * x).numpy(), gate.numpy() * x.numpy())

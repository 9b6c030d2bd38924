"""Transposed copies, against their definition."""

import numpy as np
import pytest

from kernels.cpu.layout import transpose_matrices
from kernels.reference import layout as reference

SHAPES = [
    (1, 1, 1), (3, 5, 7), (2, 3, 1000), (2, 1000, 3), (70, 64, 49), (70, 49, 64), (1, 300, 500), (2, 130, 257),
    (0, 3, 4), (2, 0, 4), (1, 7, 5000), (1, 8, 9), (1, 5000, 7),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transpose_matrices(shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    before = x.copy()
    n, rows, columns = shape
    memory = np.full(n * columns * rows + 64, np.nan, dtype)
    out = memory[: memory.size - 64].reshape(n, columns, rows)
    transpose_matrices(x, out)
    np.testing.assert_array_equal(out, reference.transpose_matrices(x))
    np.testing.assert_array_equal(x, before)
    assert np.isnan(memory[memory.size - 64 :]).all()


def test_denormals_are_copied_as_they_are():
    x = np.full((1, 16, 16), 1e-40, np.float32)
    out = np.zeros_like(x)
    transpose_matrices(x, out)
    np.testing.assert_array_equal(out, x)

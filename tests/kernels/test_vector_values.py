"""Vectors as values: arithmetic, loads and stores, each against NumPy; parts touch nothing beyond their count."""

import numpy as np
import pytest
from numba.core.errors import TypingError

from kernels.cpu.micro.pack import transpose_block
from kernels.cpu.vector.target import lanes
from kernels.cpu.vector.transpose import vtranspose, vtranspose_part
from kernels.cpu.vector.values import (
    load_lanes,
    store_lanes,
    vabs,
    vcopysign,
    vequal,
    vexceeds,
    vfirst,
    vfma,
    vgreater,
    vis_nan,
    vlanes,
    vlargest,
    vless,
    vless_equal,
    vload,
    vload_bytes,
    vload_part,
    vmax,
    vmuladd,
    vselect,
    vsplat,
    vsqrt,
    vstore,
    vstore_bytes,
    vstore_part,
    vsum,
)
from kernels.launch import kernel


@kernel(1)
def _arithmetic(chunk, x, y, out, factor):
    n = x.size
    a, b = vload(x, 0), vload(y, 0)
    vstore(a + b, out, 0)
    out[4 * n] = vlanes(x)
    vstore(a - b, out, n)
    vstore(a * b, out, 2 * n)
    vstore(vfma(a, b, vsplat(x, factor)), out, 3 * n)


@kernel(1)
def _parts(chunk, x, loaded, stored, index, count):
    part = vload_part(x, index, count)
    vstore(part, loaded, 0)
    vstore_part(part, stored, index, count)


@kernel(1)
def _comparisons(chunk, x, y, out):
    n = x.size
    a, b = vload(x, 0), vload(y, 0)
    one, zero = vsplat(x, x.dtype.type(1)), vsplat(x, x.dtype.type(0))
    vstore(vselect(vgreater(a, b), one, zero), out, 0)
    vstore(vselect(vless_equal(a, b), one, zero), out, n)
    vstore(vselect(vequal(a, b), one, zero), out, 2 * n)
    vstore(vselect(vis_nan(a), one, zero), out, 3 * n)
    vstore(vselect(vgreater(a, b) | vis_nan(a), a, b), out, 4 * n)


@kernel(1)
def _bytes(chunk, numbers, out, copy):
    values = vload_bytes(numbers, 1, vload(out, 0))
    vstore(values, out, 0)
    vstore_bytes(values, copy, 2)


@kernel(1)
def _choices(chunk, x, y, out, count):
    n = vlanes(x)
    a, b = vload(x, 0), vload(y, 0)
    vstore(vmax(a, b), out, 0)
    vstore(vselect(vless(a, b), a, b), out, n)
    vstore(vselect(vexceeds(a, b), a, b), out, 2 * n)
    vstore(vselect(vfirst(x, count), a, b), out, 3 * n)


@kernel(1)
def _functions(chunk, x, y, out):
    n = vlanes(x)
    a, b = vload(x, 0), vload(y, 0)
    vstore(vabs(a), out, 0)
    vstore(vcopysign(a, b), out, n)
    vstore(vsqrt(vabs(a)), out, 2 * n)
    vstore(a / b, out, 3 * n)
    vstore(vmuladd(a, b, a), out, 4 * n)
    a += b
    vstore(a, out, 5 * n)


@kernel(1)
def _reductions(chunk, x, out):
    out[0], out[1] = vsum(vload(x, 0)), vlargest(vload(x, 0))


@kernel(1)
def _lanes(chunk, x, stored, index, count):
    store_lanes(load_lanes(x, index, count), stored, index, count)


@kernel(1)
def _transposed(chunk, source, index, row, out, out_index, out_row):
    vtranspose(source, index, row, out, out_index, out_row)


@kernel(1)
def _transposed_part(chunk, source, index, row, rows, columns, out, out_index, out_row):
    vtranspose_part(source, index, row, rows, columns, out, out_index, out_row)


@kernel(1)
def _mixed(chunk, x, y):
    vstore(x, 0, vload(x, 0) + vload(y, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic(dtype):
    n = lanes(np.dtype(dtype).itemsize)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, n)).astype(dtype)
    out = np.full(4 * n + 1, np.nan, dtype)
    _arithmetic(x, y, out, dtype(0.5))
    fused = (x.astype(np.longdouble) * y + 0.5).astype(dtype)
    for actual, right in zip(out[:-1].reshape(4, n), (x + y, x - y, x * y, fused), strict=True):
        np.testing.assert_array_equal(actual, right)
    assert out[-1] == n


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_comparisons_are_false_beside_nan_and_choose_lane_by_lane(dtype):
    n = lanes(np.dtype(dtype).itemsize)
    pairs = [(1, 2), (2, 1), (3, 3), (np.nan, 1), (1, np.nan), (np.inf, 5), (-np.inf, -np.inf), (0, -0.0)]
    for first in range(len(pairs)):
        x, y = np.array([pairs[(first + i) % len(pairs)] for i in range(n)], dtype).T.copy()
        out = np.full(5 * n, -1, dtype)
        _comparisons(x, y, out)
        larger = np.where((x > y) | np.isnan(x), x, y)
        for actual, right in zip(out.reshape(5, n), (x > y, x <= y, x == y, np.isnan(x), larger), strict=True):
            np.testing.assert_array_equal(actual, right)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_become_floats_and_come_back(dtype):
    n = lanes(np.dtype(dtype).itemsize)
    numbers = np.arange(256 - n - 1, 256, dtype=np.uint8)
    out, copy = np.full(n, np.nan, dtype), np.full(n + 4, 7, np.uint8)
    _bytes(numbers, out, copy)
    np.testing.assert_array_equal(out, numbers[1:])
    np.testing.assert_array_equal(copy, [7, 7, *numbers[1:], 7, 7])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_touch_nothing_beyond_their_count(dtype):
    n = lanes(np.dtype(dtype).itemsize)
    for count in range(n + 1):
        x = np.arange(1, 4 + count, dtype=dtype)  # the memory ends with the part
        loaded, stored = np.full(n, np.nan, dtype), np.full(3 + n, -1, dtype)
        _parts(x, loaded, stored, 3, count)
        np.testing.assert_array_equal(loaded, [*x[3:], *[0] * (n - count)])
        np.testing.assert_array_equal(stored, [*[-1] * 3, *x[3:], *[-1] * (n - count)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_comparisons_with_and_without_nan(dtype):
    n = lanes(np.dtype(dtype).itemsize)
    values = [1, -np.inf, np.nan, np.inf, np.nan, -2, 0, 3]
    for shift in range(8):
        x = np.resize(np.array(values, dtype), n)
        y = np.resize(np.roll(np.array(values, dtype), shift), n)
        out = np.full(4 * n, 9, dtype)
        _choices(x, y, out, n - 1)
        largest, less, exceeds, first = out.reshape(4, n)
        np.testing.assert_array_equal(largest, np.maximum(x, y))
        np.testing.assert_array_equal(less, np.where(x < y, x, y))
        np.testing.assert_array_equal(exceeds, np.where((x > y) | np.isnan(x), x, y))
        np.testing.assert_array_equal(first, [*x[:-1], y[-1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_of_each_lane(dtype):
    n = lanes(np.dtype(dtype).itemsize)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, n)).astype(dtype)
    out = np.full(6 * n, np.nan, dtype)
    _functions(x, y, out)
    right = abs(x), np.copysign(x, y), np.sqrt(abs(x)), x / y, x * y + x, x + y
    for actual, expected in zip(out.reshape(6, n), right, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reductions_of_all_lanes(dtype):
    n = lanes(np.dtype(dtype).itemsize)
    x, out = np.arange(n, dtype=dtype) - 1, np.empty(2, dtype)
    _reductions(x, out)
    np.testing.assert_array_equal(out, [x.sum(), n - 2])
    for place in range(n):
        y = x.copy()
        y[place] = np.nan
        _reductions(y, out)
        assert np.isnan(out).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lanes_touch_nothing_beyond_their_count(dtype):
    n = lanes(np.dtype(dtype).itemsize)
    for count in range(n + 3):
        x = np.arange(1, 4 + min(count, n), dtype=dtype)
        stored = np.full(3 + n, -1, dtype)
        _lanes(x, stored, 3, count)
        np.testing.assert_array_equal(stored, [*[-1] * 3, *x[3:], *[-1] * (n - min(count, n))])


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_a_square_is_transposed(dtype):
    n = lanes(np.dtype(dtype).itemsize)
    source = np.arange(2 + n * (n + 3)).astype(dtype)
    out = np.full((n, n + 1), np.nan, dtype)
    _transposed(source, 2, n + 3, out.reshape(-1), 0, n + 1)
    np.testing.assert_array_equal(out[:, :n], source[2:].reshape(n, n + 3)[:, :n].T)
    assert np.isnan(out[:, n]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_a_part_of_a_square_is_transposed(dtype):
    """Also at the end of the source: whole vectors of its rows are read, but nothing of a row that is not there."""
    n = lanes(np.dtype(dtype).itemsize)
    for rows in range(1, n + 1):
        for columns in range(1, n + 1):
            source = np.arange(1, 3 + (rows - 1) * (n + 3) + n).astype(dtype)
            out = np.full((n, n + 1), np.nan, dtype)
            _transposed_part(source, 2, n + 3, rows, columns, out.reshape(-1), 0, n + 1)
            part = np.lib.stride_tricks.sliding_window_view(source[2:], n)[:: n + 3][:rows]
            np.testing.assert_array_equal(out[:columns, :rows], part[:, :columns].T)
            assert (out[:columns, rows:n] == 0).all()
            assert np.isnan(out[columns:]).all()
            assert np.isnan(out[:, n]).all()


@kernel(1)
def _transposed_block(chunk, source, offset, row, rows, columns, out, out_row, out_columns):
    transpose_block(source, offset, row, rows, columns, out, 0, out_row, out_columns)


@pytest.mark.parametrize("rows", [1, 3, 8, 9, 16, 24, 31, 32])
@pytest.mark.parametrize("columns", [1, 2, 9, 16, 25, 49])
def test_a_block_is_transposed(rows, columns):
    """Filters of 1 to 49 taps, of full and of partial panels, with and without memory behind the last one."""
    for behind in (0, 64):
        source = np.arange(1, 1 + rows * columns + behind).astype(np.float32)
        for out_columns in (rows, 32):
            out = np.full((columns, out_columns + 1), np.nan, np.float32)
            _transposed_block(source, 0, columns, rows, columns, out.reshape(-1), out_columns + 1, out_columns)
            block = source[: rows * columns].reshape(rows, columns)
            np.testing.assert_array_equal(out[:, :rows], block.T)
            assert (out[:, rows:out_columns] == 0).all()
            if columns > 1:
                assert np.isnan(out[:, out_columns]).all()


def test_two_element_types_do_not_mix():
    with pytest.raises(TypingError, match="No implementation of function"):
        _mixed(np.ones(64, np.float32), np.ones(64, np.float64))

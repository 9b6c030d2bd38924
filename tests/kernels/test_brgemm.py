"""The micro-kernel, tile by tile, against the formula in its file."""

import numpy as np
import pytest

from kernels.cpu.micro.brgemm import brgemm
from kernels.cpu.vector.target import REGISTER_BYTES, TILE_ROWS, tile_columns
from kernels.launch import kernel


@kernel(1)
def one_tile(chunk, rows, a, a_offset, a_row, a_col, taps, length, b, b_offset, b_tap, b_row, c, c_offset, c_row,
             columns, start, d, d_offset, add_d, relu, mask_b, stream):  # fmt: skip
    """A single tile, as a kernel calls it."""
    brgemm(
        rows, a, a_offset, a_row, a_col, taps, taps.size, length, b, b_offset, b_tap, b_row,
        c, c_offset, c_row, columns, start, 0, d, d_offset, add_d, relu, stream, mask_b,
    )  # fmt: skip


def expected(rows, a, a_offset, a_row, a_col, taps, length, b, b_offset, b_tap, b_row, c, c_offset, c_row,
             columns, start, d, d_offset, add_d, relu):  # fmt: skip
    """The formula, in float64; everything of C outside the tile stays as it was."""
    result = c.astype(np.float64)
    for m in range(rows):
        for j in range(columns):
            at = c_offset + m * c_row + j
            total = float(start[j]) + (float(d[d_offset + m * c_row + j]) if add_d else 0.0)
            for t, tap in enumerate(taps):
                for l in range(length):
                    total += float(a[a_offset + tap + m * a_row + l * a_col]) * float(
                        b[b_offset + t * b_tap + l * b_row + j]
                    )
            result[at] = max(total, 0) if relu else total
    return result


def integers(rng, size, dtype):
    return rng.integers(-3, 4, size).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("masked", [False, True], ids=["packed", "masked"])
@pytest.mark.parametrize("rows", [*range(1, TILE_ROWS + 2), 3 * TILE_ROWS - 1])
def test_every_tile_size_is_exact(rows, masked, dtype):
    """Integers make sums exact; every number of columns, with taps, strides and offsets that are all different."""
    rng = np.random.default_rng(rows)
    wide = tile_columns(np.dtype(dtype).itemsize)
    taps, length, a_row, a_col = np.array([3, 0, 11]), 5, 7, 2
    for columns in range(1, wide + 1):
        b_row, b_tap, c_row, a_offset, b_offset, c_offset = wide + 1, 6 * (wide + 1), columns + 2, 4, 9, 5
        a = integers(rng, a_offset + 11 + rows * a_row + length * a_col, dtype)
        # A masked tile must not read beyond its columns: its B ends there.
        end = b_offset + 2 * b_tap + (length - 1) * b_row + (columns if masked else wide)
        b = integers(rng, end, dtype)
        start = integers(rng, wide, dtype)
        for added in ("nothing", "C", "another"):
            c = integers(rng, c_offset + rows * c_row + 8, dtype)
            d, d_offset = (integers(rng, 3 + rows * c_row, dtype), 3) if added == "another" else (c, c_offset)
            arguments = (rows, a, a_offset, a_row, a_col, taps, length, b, b_offset, b_tap, b_row)
            relu = columns % 2 == 1
            last = (start, d, d_offset, added != "nothing", relu)
            right = expected(*arguments, c, c_offset, c_row, columns, *last)
            one_tile(*arguments, c, c_offset, c_row, columns, *last, masked, columns % 3 == 0)
            np.testing.assert_array_equal(c, right, err_msg=f"{columns} columns, D is {added}")


@pytest.mark.parametrize("taps", [0, 1])
def test_an_empty_sum_leaves_the_start(taps):
    """No taps, or taps of length zero, give the start values: a phase that no filter tap reaches."""
    columns = tile_columns(4) - 3
    c, start = np.full(TILE_ROWS * columns, np.nan, np.float32), np.arange(tile_columns(4), dtype=np.float32)
    a, b = np.full(64, np.nan, np.float32), np.full(64, np.nan, np.float32)
    one_tile(
        TILE_ROWS,
        a,
        0,
        1,
        1,
        np.zeros(taps, np.int64),
        0,
        b,
        0,
        0,
        0,
        c,
        0,
        columns,
        columns,
        start,
        c,
        0,
        False,
        False,
        False,
        False,
    )
    np.testing.assert_array_equal(c.reshape(TILE_ROWS, columns), np.tile(start[:columns], (TILE_ROWS, 1)))


def test_values_that_are_not_read_do_not_matter():
    """C is not read unless it is added."""
    ones, zeros, taps = np.ones(64, np.float32), np.zeros(64, np.float32), np.zeros(1, np.int64)
    c = np.ones(4, np.float32)
    one_tile(1, ones, 0, 1, 1, taps, 2, ones, 0, 0, 4, c, 0, 4, 4, zeros, c, 0, True, False, True, False)
    np.testing.assert_array_equal(c, 3)
    c[:] = np.nan
    one_tile(1, ones, 0, 1, 1, taps, 2, ones, 0, 0, 4, c, 0, 4, 4, ones, c, 0, False, False, True, False)
    np.testing.assert_array_equal(c, 3)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("columns", [tile_columns(4), tile_columns(4) // 2, tile_columns(4) - 1])
def test_past_the_caches(columns, offset):
    """Rows that are aligned to vectors, rows that are not, and such as do not fill them."""
    wide, rows, taps = tile_columns(4), 2 * TILE_ROWS + 1, np.zeros(1, np.int64)
    rng = np.random.default_rng(columns)
    a, b, start = integers(rng, rows * 3, np.float32), integers(rng, 3 * wide, np.float32), np.ones(wide, np.float32)
    memory = np.full((rows + 1) * wide + 16, 7, np.float32)
    c = memory[-memory.ctypes.data % 64 // 4 + offset :]
    right = expected(rows, a, 0, 3, 1, taps, 3, b, 0, 0, wide, c, 0, wide, columns, start, c, 0, False, False)
    one_tile(rows, a, 0, 3, 1, taps, 3, b, 0, 0, wide, c, 0, wide, columns, start, c, 0, False, False, False, True)
    np.testing.assert_array_equal(c, right)


def test_relu_lets_nan_pass():
    a, start, taps = np.array([1, -1, np.nan], np.float32), np.zeros(64, np.float32), np.zeros(1, np.int64)
    c = np.full(3, 7, np.float32)
    one_tile(
        3, a, 0, 1, 1, taps, 1, np.ones(64, np.float32), 0, 0, 4, c, 0, 1, 1, start, c, 0, False, True, True, False
    )
    np.testing.assert_array_equal(c, [1, 0, np.nan])


def test_a_panel_is_two_vectors_wide():
    assert tile_columns(4) == 2 * REGISTER_BYTES // 4

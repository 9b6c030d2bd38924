"""The micro-kernel of depthwise and grouped convolution, form by form."""

import numpy as np
import pytest

from kernels.cpu.micro.depthwise_tile import depthwise_tiles
from kernels.cpu.vector.target import lanes
from kernels.launch import kernel

pytestmark = pytest.mark.slow  # each form is compiled


@kernel(1)
def tiles(
    chunk, lines, rows, channels, group, a, a_line, a_row, n_i, a_i, n_j, a_j, b, b_i, b_j, b_c, c, c_line, c_row, c_c,
    start, accumulate,
):  # fmt: skip
    """The micro-kernel, as a kernel calls it."""
    depthwise_tiles(
        lines, rows, channels, group, a, 1, a_line, a_row, n_i, a_i, n_j, a_j, b, 2, b_i, b_j, b_c,
        c, 5, c_line, c_row, c_c, start, 3, accumulate,
    )  # fmt: skip


def check(lines, rows, channels, group, separate, n_j, apart, accumulate, dtype):
    """Compare a call with the formula; integers make the sums exact, and what lies between the results stays."""
    rng = np.random.default_rng(n_j)
    a, b, start = (rng.integers(-3, 4, 60000).astype(dtype) for _ in range(3))
    n_i, a_line, a_i, a_j = 2, 401, 211, 83
    a_row = apart * a_j if apart else 37
    b_c = 0 if separate else channels + 1
    b_j, b_i = channels * group + group + 5, (channels * group + group + 5) * n_j + 7
    c_c = channels + 2 if separate else 0
    c_row = (channels + 2) * (group if separate else 1)
    c_line = c_row * rows + 3
    c = rng.integers(-3, 4, 5 + lines * c_line).astype(dtype)
    right = c.copy()
    k = np.arange(channels)
    for line in range(lines):
        for m in range(rows):
            for own in range(group if separate else 1):
                at, total = 5 + line * c_line + m * c_row + own * c_c, np.zeros(channels, dtype)
                for i in range(n_i):
                    for j in range(n_j):
                        for seen in (own,) if separate else range(group):
                            source = a[1 + line * a_line + m * a_row + i * a_i + j * a_j + k // group * group + seen]
                            total += source * b[2 + i * b_i + j * b_j + seen * b_c :][:channels]
                right[at : at + channels] = total + (c[at : at + channels] if accumulate else start[3:][:channels])
    tiles(
        lines, rows, channels, group, a, a_line, a_row, n_i, a_i, n_j, a_j, b, b_i, b_j, b_c,
        c, c_line, c_row, c_c, start, accumulate,
    )  # fmt: skip
    np.testing.assert_array_equal(c, right, err_msg=f"{channels} channels, groups of {group}, {lines} x {rows}")


by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
by_start = pytest.mark.parametrize("accumulate", [False, True], ids=["starts", "accumulates"])
by_distance = pytest.mark.parametrize("apart", [0, 1, 2], ids=["any_steps", "neighbours", "two_apart"])


@by_dtype
@by_start
@pytest.mark.parametrize("n_j", [1, 2, 3, 4, 5, 7])
@by_distance
def test_every_form_is_exact_and_writes_nothing_beside(apart, n_j, accumulate, dtype):
    vl = lanes(np.dtype(dtype).itemsize)
    for channels in (1, vl - 1, vl, 2 * vl, 3 * vl + 1, 4 * vl - 1):
        for lines, rows in ((1, 1), (2, 3), (5, 4), (3, 7), *((1, rows) for rows in range(5, 27))):
            check(lines, rows, channels, 1, False, n_j, apart, accumulate, dtype)


@by_dtype
@by_start
@pytest.mark.parametrize("n_j", [1, 2, 3, 5])
@by_distance
def test_groups_are_found_within_vectors(apart, n_j, accumulate, dtype):
    vl = lanes(np.dtype(dtype).itemsize)
    for group in (*(size for size in (2, 4, 8) if size < vl), vl, 2 * vl):
        for lines, rows in ((1, 1), (2, 3), (1, 5), (1, 8), (2, 12), (1, 25)):
            check(lines, rows, 4 * vl, group, False, n_j, apart, accumulate, dtype)


@by_dtype
@by_start
@pytest.mark.parametrize(("k_h", "k_w"), [(1, 1), (3, 3), (2, 5), (7, 7)])
def test_channels_of_a_group_have_sums_of_their_own(k_h, k_w, accumulate, dtype):
    vl = lanes(np.dtype(dtype).itemsize)
    for group in (*(size for size in (2, 4, 8) if size < vl), vl, 2 * vl):
        check(k_h, k_w, 2 * vl, group, True, 4, 0, accumulate, dtype)

"""The kernels of batch norm, ReLU and max pooling in one, against the definitions one after the other."""

import numpy as np
import pytest
from pool_cases import CASES, Case, image, name

from convcore.ops.pool.geometry import max_pool_geometry
from kernels.cpu.norm import batch_norm as norm
from kernels.cpu.norm import batch_norm_pool as norm_pool
from kernels.cpu.reduce import sum_chunks
from kernels.reference import pool as pool_reference
from kernels.threads import get_num_threads, max_num_threads, set_num_threads

N = 2
LOGICAL = (0, 3, 1, 2)
FEW_TAPS = [case for case in CASES if np.prod(case.kernel_size) <= norm_pool.NOWHERE]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


def run(x, grad_out, lines, lowest, geometry, frozen=False, rows_per_chunk=3):
    """What the kernels write: out, positions (of real channels), the two sums, grad_x."""
    dtype, channels = x.dtype.type, x.shape[3]
    wide = norm.wide_columns(channels, x.itemsize)
    coefficients = np.tile(lines, wide // channels)
    rows, columns = geometry.height, geometry.width
    out = np.full(geometry.out_block_shape, np.nan, dtype)
    positions = np.full((*out.shape[:3], norm_pool.position_channels(channels, x.itemsize)), 77, np.uint8)
    before = x.copy(), grad_out.copy(), coefficients.copy()
    norm_pool.batch_norm_max_pool2d_forward(
        x, coefficients, dtype(lowest), out, positions,
        rows.start, rows.stop, columns.start, columns.stop, rows.dilation, columns.dilation, columns.taps,
    )  # fmt: skip
    without = np.full_like(out, np.nan)
    norm_pool.batch_norm_max_pool2d_forward(
        x, coefficients, dtype(lowest), without, np.empty((0, 0, 0, 0), np.uint8),
        rows.start, rows.stop, columns.start, columns.stop, rows.dilation, columns.dilation, columns.taps,
    )  # fmt: skip
    np.testing.assert_array_equal(without, out)
    windows = (
        rows.start, columns.start, columns.stop, rows.over_start, rows.over_stop, rows.dilation, columns.dilation,
        columns.taps, columns.is_partition,
    )  # fmt: skip
    chunks = -(-x.shape[0] * x.shape[1] // rows_per_chunk)
    sums, workspace = np.full((2, channels), np.nan), np.full((2, chunks, wide), np.nan)
    norm_pool.batch_norm_max_pool2d_grad_sums(x, grad_out, positions, coefficients, workspace, rows_per_chunk, *windows)
    sum_chunks(workspace, sums)
    grad_x = np.full_like(x, np.nan)
    norm_pool.batch_norm_max_pool2d_grad_input(
        x, grad_out, positions, coefficients, frozen, grad_x, rows_per_chunk, *windows
    )
    for array, copy in zip((x, grad_out, coefficients), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    return out, positions[..., :channels], sums, grad_x


def lines_for(channels, dtype, seed=0):
    """Coefficients on a coarse grid, so that everything before the pooling is exact."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-8, 9, (6, channels)) / 8).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 5, 24])
@pytest.mark.parametrize("case", FEW_TAPS, ids=name)
def test_against_the_references(case: Case, channels, dtype):
    x = image((N, *case.size, channels), dtype)
    geometry = max_pool_geometry("max_pool2d", x.transpose(LOGICAL), **case.settings(), dilation=case.dilation)
    grad_out = image(geometry.out_block_shape, dtype, seed=1)
    lines = lines_for(channels, dtype)
    center, scale, shift, grad_scale, slope, grad_shift = lines.astype(np.float64)
    normalised = (x - center) * scale + shift
    for lowest in (np.nan, 0):
        y = np.maximum(normalised, 0) if lowest == 0 else normalised
        expected, indices = pool_reference.max_pool2d_forward(y, *case.taps())
        gradient = pool_reference.max_pool2d_grad_input(grad_out, indices, *case.size)
        if lowest == 0:
            gradient = np.where(normalised > 0, gradient, 0)
        for frozen in (False, True):
            out, _, sums, grad_x = run(x, grad_out, lines, lowest, geometry, frozen)
            np.testing.assert_array_equal(out, expected)
            np.testing.assert_allclose(sums[0], gradient.sum((0, 1, 2)), atol=1e-12)
            np.testing.assert_allclose(sums[1], (gradient * (x - center)).sum((0, 1, 2)), rtol=TOLERANCE[dtype])
            wanted = gradient * grad_scale + (0 if frozen else slope * (x - center) + grad_shift)
            np.testing.assert_allclose(grad_x, wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_stand_where_they_stood(value):
    case = Case("halves", (4, 6), (2, 2), (2, 2))
    x = image((1, *case.size, 3), np.float32)
    x[0, 1, 2, 1] = value
    geometry = max_pool_geometry("max_pool2d", x.transpose(LOGICAL), **case.settings(), dilation=case.dilation)
    grad_out = np.ones(geometry.out_block_shape, np.float32)
    lines = np.ones((6, 3), np.float32)
    lines[[0, 2]] = 0
    out, positions, _, grad_x = run(x, grad_out, lines, 0, geometry, frozen=True)
    expected = np.maximum(x, 0).reshape(1, 2, 2, 3, 2, 3).max((2, 4))
    np.testing.assert_array_equal(out, expected)
    if value != -np.inf:
        assert positions[0, 0, 1, 1] == 2
        assert grad_x[0, 1, 2, 1] == 1
    else:
        assert grad_x[0, 1, 2, 1] == 0


def test_zero_lets_no_gradient_pass():
    x = np.zeros((1, 2, 2, 1), np.float32)
    geometry = max_pool_geometry("max_pool2d", x.transpose(LOGICAL), 2, None, 0, 1, False)
    lines = np.array([[0], [1], [0], [1], [0], [0]], np.float32)
    out, positions, sums, grad_x = run(x, np.ones((1, 1, 1, 1), np.float32), lines, 0, geometry)
    assert out.item() == 0
    assert positions.item() == norm_pool.NOWHERE
    assert not sums.any()
    assert not grad_x.any()


def test_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, 33, 31, 40)).astype(np.float32)
    geometry = max_pool_geometry("max_pool2d", x.transpose(LOGICAL), 3, 2, 1, 1, False)
    grad_out = rng.standard_normal(geometry.out_block_shape).astype(np.float32)
    lines = rng.standard_normal((6, 40)).astype(np.float32)
    before = get_num_threads()
    results = []
    try:
        for threads in (1, max_num_threads()):
            set_num_threads(threads)
            results.append(run(x, grad_out, lines, 0, geometry))
    finally:
        set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)

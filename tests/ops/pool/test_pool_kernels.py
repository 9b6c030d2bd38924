"""The pooling kernels against their definition, with poisoned outputs."""

import numpy as np
import pytest
from pool_cases import ADAPTIVE, CASES, UNDILATED, Case, image, name

from convcore.ops.pool.geometry import adaptive_pool_geometry, avg_pool_geometry, max_pool_geometry, position_dtype
from kernels.cpu.pool import (
    CHANNEL_BLOCK,
    avg_pool2d_forward,
    avg_pool2d_grad_input,
    max_pool2d_forward,
    max_pool2d_grad_input,
)
from kernels.reference import pool as reference
from kernels.threads import get_num_threads, max_num_threads, set_num_threads

N, C = 2, 5
LOGICAL = (0, 3, 1, 2)


def poisoned(shape, dtype):
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 99, dtype)


def run_max(x, grad_out, geometry, keep=True):
    """The kernels' outputs for one block of images: out, positions, grad_x."""
    rows, columns = geometry.height, geometry.width
    out = poisoned(geometry.out_block_shape, x.dtype)
    positions = poisoned(out.shape if keep else (0, 0, 0, 0), position_dtype(rows, columns))
    before = x.copy(), grad_out.copy()
    max_pool2d_forward(
        x, out, positions,
        rows.start, rows.stop, columns.start, columns.stop, rows.dilation, columns.dilation, columns.taps,
    )  # fmt: skip
    grad_x = poisoned(x.shape, x.dtype)
    if keep:
        max_pool2d_grad_input(
            grad_out, positions, grad_x, rows.start, columns.start,
            rows.over_start, rows.over_stop, columns.over_start, columns.over_stop,
            rows.dilation, columns.dilation, columns.taps,
        )  # fmt: skip
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(grad_out, before[1])
    return out, positions, grad_x


def run_avg(x, grad_out, geometry):
    """The kernels' outputs for one block of images: out, grad_x."""
    rows, columns = geometry.height, geometry.width
    out, grad_x = poisoned(geometry.out_block_shape, x.dtype), poisoned(x.shape, x.dtype)
    before = x.copy(), grad_out.copy()
    avg_pool2d_forward(x, out, rows.start, rows.stop, rows.count, columns.start, columns.stop, columns.count)
    avg_pool2d_grad_input(
        grad_out, grad_x,
        rows.over_start, rows.over_stop, rows.count, columns.over_start, columns.over_stop, columns.count,
    )  # fmt: skip
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(grad_out, before[1])
    return out, grad_x


def places(positions, geometry):
    """Positions within windows as places h * W + w of the image; -1 for windows without taps."""
    rows, columns = geometry.height, geometry.width
    result = np.full(positions.shape, -1)
    for i, oh, ow, c in np.ndindex(positions.shape):
        r, s = divmod(int(positions[i, oh, ow, c]), columns.taps)
        h, w = rows.start[oh] + r * rows.dilation, columns.start[ow] + s * columns.dilation
        if rows.start[oh] < rows.stop[oh] and columns.start[ow] < columns.stop[ow]:
            result[i, oh, ow, c] = h * columns.size + w
    return result


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=name)
def test_max_pool2d_kernels_against_reference(case: Case, dtype):
    x = image((N, *case.size, C), dtype)
    geometry = max_pool_geometry("max_pool2d", x.transpose(LOGICAL), **case.settings(), dilation=case.dilation)
    grad_out = image(geometry.out_block_shape, dtype, seed=1)
    out, positions, grad_x = run_max(x, grad_out, geometry)
    expected, indices = reference.max_pool2d_forward(x, *case.taps())
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(places(positions, geometry), indices)
    np.testing.assert_array_equal(grad_x, reference.max_pool2d_grad_input(grad_out, indices, *case.size))
    np.testing.assert_array_equal(run_max(x, grad_out, geometry, keep=False)[0], expected)


@pytest.mark.parametrize("special", [np.nan, -np.inf, np.inf])
def test_max_pool2d_kernels_with_special_values(special):
    """NaN wins and is found; among infinities the first is found. 37 channels reach vectors and their remainder."""
    x = image((1, 7, 7, 37), np.float32)
    x[np.random.default_rng(2).random(x.shape) < 0.5] = special
    x[:, :3, :3] = special
    geometry = max_pool_geometry("max_pool2d", x.transpose(LOGICAL), 3, 2, 1, 1, False)
    grad_out = image(geometry.out_block_shape, np.float32, seed=1)
    out, positions, grad_x = run_max(x, grad_out, geometry)
    taps = reference.window_taps(7, 3, 2, 1)
    expected, indices = reference.max_pool2d_forward(x, taps, taps)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(places(positions, geometry), indices)
    np.testing.assert_array_equal(grad_x, reference.max_pool2d_grad_input(grad_out, indices, 7, 7))
    np.testing.assert_array_equal(run_max(x, grad_out, geometry, keep=False)[0], expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "divide", [{}, {"count_include_pad": False}, {"divisor_override": -3}], ids=["padded", "inside", "override"]
)
@pytest.mark.parametrize("case", UNDILATED, ids=name)
def test_avg_pool2d_kernels_against_reference(case: Case, divide, dtype):
    x = image((N, *case.size, C), dtype)
    options = {"count_include_pad": True, "divisor_override": None, **divide}
    geometry = avg_pool_geometry("avg_pool2d", x.transpose(LOGICAL), **case.settings(), **options)
    grad_out = image(geometry.out_block_shape, dtype, seed=1)
    out, grad_x = run_avg(x, grad_out, geometry)
    divisors = case.divisors(**divide)
    tolerance = {"rtol": 4 * np.finfo(dtype).eps, "atol": 4 * np.finfo(dtype).eps}
    np.testing.assert_allclose(out, reference.avg_pool2d_forward(x, *case.taps(), divisors), **tolerance)
    expected = reference.avg_pool2d_grad_input(grad_out, *case.taps(), divisors, *case.size)
    np.testing.assert_allclose(grad_x, expected, rtol=64 * np.finfo(dtype).eps, atol=64 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("size", "size_out"), ADAPTIVE, ids=name)
def test_adaptive_kernels_against_reference(size, size_out):
    x = image((N, *size, C), np.float32)
    taps_h, taps_w = (reference.adaptive_taps(size[i], size_out[i]) for i in range(2))
    divisors = np.outer([len(t) for t in taps_h], [len(t) for t in taps_w])
    geometry = adaptive_pool_geometry("adaptive_avg_pool2d", x.transpose(LOGICAL), size_out)
    grad_out = image(geometry.out_block_shape, np.float32, seed=1)
    out, grad_x = run_avg(x, grad_out, geometry)
    np.testing.assert_allclose(out, reference.avg_pool2d_forward(x, taps_h, taps_w, divisors), rtol=1e-6, atol=1e-6)
    expected = reference.avg_pool2d_grad_input(grad_out, taps_h, taps_w, divisors, *size)
    np.testing.assert_allclose(grad_x, expected, rtol=1e-6, atol=1e-6)
    out, positions, grad_x = run_max(x, grad_out, geometry)
    expected, indices = reference.max_pool2d_forward(x, taps_h, taps_w)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(places(positions, geometry), indices)
    np.testing.assert_array_equal(grad_x, reference.max_pool2d_grad_input(grad_out, indices, *size))


def test_avg_pool2d_over_a_large_image_is_exact():
    """Added up in float32, 300 * 301 values lose far more than the last bit. The third block of channels is ragged."""
    x = np.random.default_rng(0).random((1, 300, 301, 2 * CHANNEL_BLOCK + 3), np.float32)
    geometry = adaptive_pool_geometry("adaptive_avg_pool2d", x.transpose(LOGICAL), 1)
    out = poisoned(geometry.out_block_shape, np.float32)
    rows, columns = geometry.height, geometry.width
    avg_pool2d_forward(x, out, rows.start, rows.stop, rows.count, columns.start, columns.stop, columns.count)
    np.testing.assert_allclose(out, x.mean((1, 2), np.float64, keepdims=True), rtol=1e-7)


def test_pooling_is_bitwise_the_same_for_any_number_of_threads():
    random = np.random.default_rng(3)
    x = random.standard_normal((3, 13, 11, 19), np.float32)
    largest = max_pool_geometry("max_pool2d", x.transpose(LOGICAL), 3, 1, 1, 2, False)
    average = avg_pool_geometry("avg_pool2d", x.transpose(LOGICAL), 3, 2, 1, True, False, None)
    grad_largest = random.standard_normal(largest.out_block_shape, np.float32)
    grad_average = random.standard_normal(average.out_block_shape, np.float32)
    results = []
    before = get_num_threads()
    try:
        for threads in (1, max_num_threads()):
            set_num_threads(threads)
            results.append(run_max(x, grad_largest, largest) + run_avg(x, grad_average, average))
    finally:
        set_num_threads(before)
    for alone, together in zip(*results, strict=True):
        assert alone.tobytes() == together.tobytes()

"""Convolution and matrix products on the GPU, in the simulator, against their definitions."""

from typing import Any

import numpy as np
import pytest
from simulator import empty

from convcore.testing.cases import SMALL_CASES
from kernels.cuda import calls
from kernels.cuda.calls import ConvSizes, Steps
from kernels.reference import conv as reference

CHOSEN = (
    "first_gray-ragged", "pointwise-ragged", "pointwise-skipped_pixels", "over_padded-stride", "grouped-stride",
    "depthwise-ragged", "depthwise-multiplier", "dilated-stride", "non_square-ragged", "empty_batch",
)  # fmt: skip
CASES = [case for case in SMALL_CASES if case.name in CHOSEN]
IN_BOTH_ORDERS = [case for case in CASES if case.name in ("over_padded-stride", "depthwise-multiplier")]
BY_IM2COL = [case for case in CASES if case.name in ("over_padded-stride", "non_square-ragged")]
TOLERANCE = {"rtol": 0, "atol": 2e-5}  # float32 sums of some hundred products of normal numbers


def geometry(case: Any) -> ConvSizes:
    h_out, w_out = (
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip(
            (case.h, case.w), case.padding, case.dilation, case.kernel, case.stride, strict=True
        )
    )
    images = case.n, case.h, case.w, case.c_in, h_out, w_out, case.c_out
    return ConvSizes._make([*images, *case.kernel, *case.stride, *case.padding, *case.dilation, case.groups])


def settings(s: ConvSizes) -> tuple:
    return (s.stride_h, s.stride_w), ((s.pad_top,) * 2, (s.pad_left,) * 2), (s.dil_h, s.dil_w), s.groups


def block(x: np.ndarray) -> np.ndarray:
    """The channels-last memory of (N, C, H, W)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).ravel()


def images(flat: np.ndarray, n: int, h: int, w: int, c: int) -> np.ndarray:
    return flat.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def data(case, floats):
    s = geometry(case)
    return s, floats(*case.x_shape), floats(*case.weight_shape), floats(s.n, s.c_out, s.h_out, s.w_out)


def test_every_chosen_case_exists():
    assert len(CASES) == len(CHOSEN)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_passes(reverse_gpu, case, floats):
    check_passes(case, floats, calls.conv2d_forward, calls.conv2d_grad_input, calls.conv2d_grad_weight)


@pytest.mark.parametrize("case", IN_BOTH_ORDERS, ids=str)
def test_three_passes_with_threads_in_order(forward_gpu, case, floats):
    check_passes(case, floats, calls.conv2d_forward, calls.conv2d_grad_input, calls.conv2d_grad_weight)


@pytest.mark.parametrize("case", BY_IM2COL, ids=str)
def test_three_passes_by_im2col(gpu, case, floats):
    check_passes(
        case, floats, calls.conv2d_forward_im2col, calls.conv2d_grad_input_im2col, calls.conv2d_grad_weight_im2col
    )


def check_passes(case, floats, forward, grad_input, grad_weight):
    s, x, weight, grad_out = data(case, floats)
    bias = floats(s.c_out)
    out, grad_x, grad_w = empty(grad_out.size), empty(x.size), empty(weight.size)
    forward(block(x), weight.ravel(), bias, out, s, empty, relu=True)
    expected = np.maximum(reference.conv_forward(x, weight, bias, *settings(s)), 0)
    np.testing.assert_allclose(images(out, s.n, s.h_out, s.w_out, s.c_out), expected, **TOLERANCE)
    grad_input(block(grad_out), weight.ravel(), grad_x, s, empty)
    expected = reference.conv_grad_input(grad_out, weight, x.shape, *settings(s))
    np.testing.assert_allclose(images(grad_x, s.n, s.h_in, s.w_in, s.c_in), expected, **TOLERANCE)
    grad_weight(block(x), block(grad_out), grad_w, s, empty)
    expected = reference.conv_grad_weight(x, grad_out, weight.shape, *settings(s))
    np.testing.assert_allclose(grad_w.reshape(weight.shape), expected, **TOLERANCE)


def test_a_long_sum_goes_in_parts(reverse_gpu, floats, monkeypatch):
    """Parts of the pixels are added, the last of them shorter."""
    monkeypatch.setattr(calls, "SHORTEST_PART", 32)
    for groups in (1, 3, 6):
        s = ConvSizes(1, 9, 7, 6, 9, 7, 6, 3, 3, 1, 1, 1, 1, 1, 1, groups)
        x, grad_out = floats(1, 6, 9, 7), floats(1, 6, 9, 7)
        grad_w = empty(6 * 6 // groups * 9)
        calls.conv2d_grad_weight(block(x), block(grad_out), grad_w, s, empty)
        shape = (6, 6 // groups, 3, 3)
        expected = reference.conv_grad_weight(x, grad_out, shape, *settings(s))
        np.testing.assert_allclose(grad_w.reshape(shape), expected, **TOLERANCE)


@pytest.mark.parametrize(("m", "n", "depth"), [(130, 66, 17), (1, 1, 1), (3, 5, 0)])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True)])
def test_matmul(reverse_gpu, m, n, depth, transposed, floats):
    a, b, bias, out = floats(m, depth), floats(depth, n), floats(n), empty(m * n)
    a_memory, a_steps = (a.T, Steps(1, m)) if transposed[0] else (a, Steps(depth, 1))
    b_memory, b_steps = (b.T, Steps(1, depth)) if transposed[1] else (b, Steps(n, 1))
    a_flat, b_flat = (np.ascontiguousarray(matrix).ravel() for matrix in (a_memory, b_memory))
    calls.matmul(a_flat, b_flat, out, m, n, depth, a_steps, b_steps, empty, bias)
    np.testing.assert_allclose(out.reshape(m, n), a.astype(np.float64) @ b + bias, **TOLERANCE)


def test_matmul_in_parts_and_in_batches(gpu, floats, monkeypatch):
    monkeypatch.setattr(calls, "SHORTEST_PART", 32)
    a, b, out = floats(5, 70), floats(70, 6), empty(30)
    calls.matmul(a.ravel(), b.ravel(), out, 5, 6, 70, Steps(70, 1), Steps(6, 1), empty)
    np.testing.assert_allclose(out.reshape(5, 6), a.astype(np.float64) @ b, **TOLERANCE)
    a, b, out = floats(3, 4, 7), floats(3, 7, 5), empty(60)
    calls.matmul(a.ravel(), b.ravel(), out, 4, 5, 7, Steps(7, 1, 28), Steps(5, 1, 35), empty, batches=3)
    np.testing.assert_allclose(out.reshape(3, 4, 5), a.astype(np.float64) @ b, **TOLERANCE)


def test_nan_passes_a_rectified_product(reverse_gpu):
    out = empty(1)
    one = np.ones(1, np.float32)
    calls.matmul(one * np.nan, one, out, 1, 1, 1, Steps(1, 1), Steps(1, 1), empty, relu=True)
    assert np.isnan(out).all()

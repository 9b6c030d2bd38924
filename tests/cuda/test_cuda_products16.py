"""Products of numbers of 16 bits, in the simulator: tensor cores and their scalar twin, against the definitions.

What is compared with is computed of the rounded operands in float64, so only float32's sums are between.
"""

import numpy as np
import pytest
import tensor_core
from simulator import empty
from tensor_core import rounded
from test_cuda_conv import TOLERANCE, block, geometry, images, settings

from convcore.testing.cases import SMALL_CASES
from kernels.cuda import calls, calls16
from kernels.cuda.calls16 import SCALAR, TENSOR_CORES
from kernels.cuda.micro import half as numbers16
from kernels.reference import conv as reference

KINDS = "float16", "bfloat16"
# A bias, padding, a stride, a dilation, groups of filled-up channels, 1x1, more than one tile, and an empty batch.
CHOSEN = {
    "pointwise-ragged": "float16", "pointwise-skipped_pixels": "bfloat16", "over_padded-stride": "float16",
    "dilated-stride": "bfloat16", "non_square-ragged": "float16", "empty_batch": "bfloat16",
}  # fmt: skip
CASES = [(case, CHOSEN[case.name]) for case in SMALL_CASES if case.name in CHOSEN]
SPECIAL = [
    np.nan,
    np.inf,
    -np.inf,
    0,
    -0.0,
    1,
    65504,
    65519.9,
    65520,
    -1e6,
    6e-8,
    2.9e-8,
    2.99e-8,
    1e-40,
    3.3895e38,
    3.4e38,
]


def halves(size: int) -> np.ndarray:
    """Memory of 16 bits that nobody wrote to: NaN in both kinds."""
    return np.full(size, 0x7FFF, np.uint16)


def round_matrix(kernels, matrix):
    rows, columns = matrix.shape
    return calls16.round_rows(kernels, matrix.ravel(), rows, columns, halves)


@pytest.mark.parametrize("kind", KINDS)
def test_rounding(gpu, kind, rng):
    """To the nearest, ties to even: all that PyTorch makes of them."""
    patterns = rng.integers(0, 2**32, 300, dtype=np.uint64).astype(np.uint32)
    ties = (patterns & 0xFFFF0000 | 0x8000).astype(np.uint32), (patterns & 0xFFFFE000 | 0x1000).astype(np.uint32)
    x = np.concatenate([np.array(SPECIAL, np.float32), *[bits.view(np.float32) for bits in (patterns, *ties)]])
    got = round_matrix(TENSOR_CORES[kind], x[None]).numbers[: x.size]
    expected = tensor_core.bits(kind, x)
    nan = np.isnan(x)
    np.testing.assert_array_equal(got[~nan], expected[~nan])
    assert np.isnan(tensor_core.values(kind, got[nan])).all()


@pytest.mark.parametrize(("rows", "columns"), [(3, 16), (3, 12), (5, 7), (2, 1)])
def test_rows_are_filled_up_with_zeros(gpu, rows, columns, floats):
    x = floats(rows, columns)
    numbers, step = round_matrix(TENSOR_CORES["float16"], x)
    got = numbers.reshape(rows, step)
    assert step == -(-columns // 8) * 8
    np.testing.assert_array_equal(got[:, :columns], tensor_core.bits("float16", x))
    assert not got[:, columns:].any()


TURNS = [(False, False), (False, True), (True, False), (True, True)]


def check_product(kernels, kind, m, n, depth, turns, a, b, bias=None):
    """A (m, depth) and B (n, depth), stored transposed where a test says so."""
    out = empty(m * n)
    given = [round_matrix(kernels, np.ascontiguousarray(x.T) if t else x) for x, t in zip((a, b), turns, strict=True)]
    calls16.multiply(kernels, given[0], given[1], out, m, n, depth, empty, turns[0], turns[1], bias)
    expected = rounded(kind, a).astype(np.float64) @ rounded(kind, b).T + (0 if bias is None else bias)
    np.testing.assert_allclose(out.reshape(m, n), expected, **TOLERANCE)


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("kind", KINDS)
def test_products(reverse_gpu, kind, turns, floats):
    check_product(TENSOR_CORES[kind], kind, 33, 21, 37, turns, floats(33, 37), floats(21, 37), floats(21))


def test_products_of_several_tiles_and_none(gpu, floats):
    for m, n, depth in ((130, 66, 3), (1, 1, 0)):
        a, b = floats(m, depth), floats(n, depth)
        check_product(TENSOR_CORES["float16"], "float16", m, n, depth, (False, True), a, b)


def test_a_long_sum_goes_in_parts(reverse_gpu, floats, monkeypatch):
    monkeypatch.setattr(calls16, "SHORTEST_PART", 32)
    a, b = floats(5, 70), floats(6, 70)
    check_product(TENSOR_CORES["bfloat16"], "bfloat16", 5, 6, 70, (True, False), a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_both_twins_have_the_same_bits_where_sums_are_exact(forward_gpu, kind, rng):
    a, b = (rng.integers(-8, 9, shape).astype(np.float32) for shape in ((40, 20), (9, 20)))
    results = []
    for kernels in (TENSOR_CORES[kind], SCALAR[kind]):
        out = empty(360)
        calls16.multiply(kernels, round_matrix(kernels, a), round_matrix(kernels, b), out, 40, 9, 20, empty)
        results.append(out.reshape(40, 9))
    np.testing.assert_array_equal(results[0], a @ b.T)
    np.testing.assert_array_equal(results[1], a @ b.T)


@pytest.mark.parametrize(("case", "kind"), CASES, ids=str)
def test_three_passes(reverse_gpu, case, kind, floats):
    check_passes(TENSOR_CORES[kind], kind, geometry(case), floats)


GROUPED = calls.ConvSizes(1, 5, 4, 6, 3, 4, 10, 3, 2, 2, 1, 1, 1, 1, 2, 2)


def test_groups_are_filled_up_by_themselves(forward_gpu, floats):
    check_passes(TENSOR_CORES["bfloat16"], "bfloat16", GROUPED, floats)


@pytest.mark.parametrize("kind", KINDS)
def test_three_passes_without_tensor_cores(forward_gpu, kind, floats):
    check_passes(SCALAR[kind], kind, calls.ConvSizes(2, 4, 3, 2, 4, 2, 3, 1, 2, 1, 1, 0, 0, 1, 1, 1), floats)


def test_parts_of_the_pixels(reverse_gpu, floats, monkeypatch):
    monkeypatch.setattr(calls16, "SHORTEST_PART", 32)
    sizes = calls.ConvSizes(1, 9, 7, 6, 9, 7, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1)
    check_passes(TENSOR_CORES["float16"], "float16", sizes, floats)


def check_passes(kernels, kind, s, floats):
    x_shape, weight_shape = (s.n, s.c_in, s.h_in, s.w_in), (s.c_out, s.c_in // s.groups, s.k_h, s.k_w)
    x, weight, grad_out = floats(*x_shape), floats(*weight_shape), floats(s.n, s.c_out, s.h_out, s.w_out)
    bias, out, grad_x, grad_w = floats(s.c_out), empty(grad_out.size), empty(x.size), empty(weight.size)
    pixels = s.n * s.h_in * s.w_in
    rows = calls16.round_images(kernels, block(x), pixels, s.c_in, s.groups, halves)
    grads = calls16.round_images(kernels, block(grad_out), s.pixels, s.c_out, s.groups, halves)
    x, grad_out, rounded_weight = rounded(kind, x), rounded(kind, grad_out), rounded(kind, weight)
    calls16.conv2d_forward(kernels, rows, weight.ravel(), bias, out, s, halves, empty)
    expected = reference.conv_forward(x, rounded_weight, bias, *settings(s))
    np.testing.assert_allclose(images(out, s.n, s.h_out, s.w_out, s.c_out), expected, **TOLERANCE)
    calls16.conv2d_grad_input(kernels, grads, weight.ravel(), grad_x, s, halves, empty)
    expected = reference.conv_grad_input(grad_out, rounded_weight, x_shape, *settings(s))
    np.testing.assert_allclose(images(grad_x, s.n, s.h_in, s.w_in, s.c_in), expected, **TOLERANCE)
    calls16.conv2d_grad_weight(kernels, rows, grads, grad_w, s, empty)
    expected = reference.conv_grad_weight(x, grad_out, weight_shape, *settings(s))
    np.testing.assert_allclose(grad_w.reshape(weight_shape), expected, **TOLERANCE)


def test_every_chosen_case_exists():
    assert len(CASES) == len(CHOSEN)


def test_generations_choose_the_kernels():
    assert calls16.products("float16", (7, 5)) is SCALAR["float16"]
    assert calls16.products("bfloat16", (8, 0)) is TENSOR_CORES["bfloat16"]
    assert calls16.why_no_tensor_cores((12, 0)) == ""
    assert "7.5 lack the instruction m16n8k16" in calls16.why_no_tensor_cores((7, 5))
    for products in TENSOR_CORES.values():
        assert [kernel.serves((7, 5)) for kernel in products] == [False] * 4 + [True] * 2
    for products in SCALAR.values():
        assert [kernel.serves((8, 0)) for kernel in products] == [False] * 4 + [True] * 2
    assert numbers16.round_rows_float16.serves((7, 5))

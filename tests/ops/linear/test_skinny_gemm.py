"""Thin matrix products against their definition, in every role of the small size."""

import numpy as np
import pytest

import convcore
from convcore.ops.linear.geometry import geometry_of
from convcore.ops.linear.matmul import product
from convcore.ops.linear.skinny_gemm import FEW, MAX_TERMS, MIN_COLUMNS, MOST_OF_FEW_COLUMNS, SKINNY
from convcore.ops.linear.table import choose
from kernels import threads
from kernels.reference import linear as reference

# (M, K, N): each size in turn few; with remainders of tiles, vectors and blocks; one of everything.
SIZES = [
    (1, 1, 1),
    (1, 3136, 70),
    (2, 1029, 5),
    (3, 2100, 33),
    (16, 65, 300),
    (5, 17, 1100),
    (40, 100, 3),
    (70, 40, 16),
    (100, 1, 33),
    (19, 16, 515),
    (37, 9, 7),
]


def operands(size, dtype):
    rng = np.random.default_rng(sum(size))
    m, k, n = size
    return [rng.integers(-4, 5, shape).astype(dtype) for shape in ((m, k), (k, n), (n,))]


def is_chosen(a, b):
    return choose(geometry_of(a, b)).name == "skinny"


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "plain"])
@pytest.mark.parametrize("size", SIZES)
def test_exact_for_integers(size, with_bias, order, dtype):
    a, b, bias = operands(size, dtype)
    b = np.asarray(b, order=order)
    before = a.copy(), b.copy()
    expected = reference.gemm(a, b) + (bias if with_bias else 0)
    long_sums = FEW < size[2] < MIN_COLUMNS and size[1] > MAX_TERMS  # of a b by rows: the micro-kernel splits them
    assert is_chosen(a, b) == (not long_sums if b.flags.c_contiguous else size[0] <= FEW or size[2] <= FEW)
    out = SKINNY.multiply(a, (b, bias if with_bias else None), geometry_of(a, b))
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(product(a, b, bias if with_bias else None), expected)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


def test_large_and_stacked_products_are_left_to_the_micro_kernel():
    square, stack = np.ones((17, 17), np.float32), np.ones((3, 2, 2), np.float32)
    assert SKINNY.refuses(geometry_of(square, square)) == "M, K or N must be at most 16, they are 17, 17 and 17"
    assert SKINNY.refuses(geometry_of(stack, stack)) == "it multiplies two matrices, here are stacks of (3,)"


@pytest.mark.parametrize("size", [(1, 2000, 50), (7, 60, 900), (90, 5, 64)])
def test_bitwise_the_same_for_any_number_of_threads(size):
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal(size[:2], np.float32), rng.standard_normal(size[1:], np.float32)
    results = []
    for n in (1, threads.max_num_threads()):
        threads.set_num_threads(n)
        results.append([product(a, b).tobytes(), product(a, np.asfortranarray(b)).tobytes()])
    threads.set_num_threads(threads.max_num_threads())
    assert results[0] == results[1]


def test_nan_stays_in_its_row_and_column():
    a, b = np.ones((3, 20), np.float32), np.ones((20, 5), np.float32)
    a[1, 2] = np.nan
    for right in (b, np.asfortranarray(b)):
        out = product(a, right)
        assert np.isnan(out[1]).all()
        np.testing.assert_array_equal(out[[0, 2]], np.full((2, 5), 20))


def test_gradients_of_a_linear_layer_with_one_row():
    rng = np.random.default_rng(2)
    x, weight, bias = (convcore.tensor(rng.integers(-3, 4, s).astype(np.float32)) for s in ((1, 40), (20, 40), (20,)))
    for tensor in (x, weight, bias):
        tensor.requires_grad_()
    grad = rng.integers(-3, 4, (1, 20)).astype(np.float32)
    convcore.nn.functional.linear(x, weight, bias).backward(convcore.tensor(grad))
    expected = grad @ weight.array, grad.T @ x.array, grad[0]
    for tensor, right in zip((x, weight, bias), expected, strict=True):
        assert tensor.grad is not None
        np.testing.assert_array_equal(tensor.grad.array, right)


def test_many_results_of_few_columns_are_left_to_the_micro_kernel():
    """Row by row they took up to eight times as long."""
    a, b, bias = operands((MOST_OF_FEW_COLUMNS // 8 + 1, 3, 8), np.float32)
    right = np.asfortranarray(b)
    assert not is_chosen(a, right)
    assert is_chosen(a[:-1], right)
    np.testing.assert_array_equal(product(a, right, bias), reference.gemm(a, b) + bias)

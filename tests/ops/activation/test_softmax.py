"""Softmax and log-softmax: reference against PyTorch, kernels against the reference, ops against PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.activation.softmax import log_softmax, softmax
from kernels import threads
from kernels.cpu.activation import softmax as kernels
from kernels.reference import activation as reference

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-14}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
BOTH = pytest.mark.parametrize(
    ("ours", "theirs"), [(softmax, torch.softmax), (log_softmax, torch.log_softmax)], ids=["softmax", "log_softmax"]
)
FAMILIES = [
    (kernels.softmax_forward, reference.softmax_forward, reference.softmax_grad_input, torch.softmax),
    (kernels.log_softmax_forward, reference.log_softmax_forward, reference.log_softmax_grad_input, torch.log_softmax),
]


def leaf(array) -> Any:
    return wrap(array).requires_grad_()


def torch_leaf(array) -> Any:
    return torch.tensor(array, requires_grad=True)


@pytest.mark.parametrize(("_kernel", "forward", "backward", "theirs"), FAMILIES, ids=["softmax", "log_softmax"])
def test_reference_agrees_with_torch(_kernel, forward, backward, theirs):
    rng = np.random.default_rng(0)
    x, grad_out = rng.standard_normal((2, 4, 6)) * 5, rng.standard_normal((2, 4, 6))
    variable = torch_leaf(x)
    expected = theirs(variable, -1)
    expected.backward(torch.tensor(grad_out))
    out = forward(x)
    np.testing.assert_allclose(out, expected.detach().numpy(), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(backward(out, grad_out), variable.grad.numpy(), rtol=1e-12, atol=1e-14)


@DTYPES
@pytest.mark.parametrize(("kernel", "forward", "_backward", "_theirs"), FAMILIES, ids=["softmax", "log_softmax"])
@pytest.mark.parametrize(("rows", "length", "rows_per_chunk"), [(1, 1, 1), (5, 10, 2), (33, 7, 16), (4, 1000, 1)])
def test_kernels_agree_with_the_reference(dtype, kernel, forward, _backward, _theirs, rows, length, rows_per_chunk):
    x = (np.random.default_rng(rows).standard_normal((rows, length)) * 4).astype(dtype)
    before, out = x.copy(), np.full_like(x, np.nan)
    kernel(x, out, rows_per_chunk)
    np.testing.assert_allclose(out, forward(x), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    np.testing.assert_array_equal(x, before)


@BOTH
@DTYPES
@pytest.mark.parametrize(
    ("shape", "axes", "dim"),
    [
        ((3, 5), (0, 1), 1),
        ((3, 5), (1, 0), 1),
        ((4, 3, 2), (0, 1, 2), 0),
        ((2, 6, 3, 4), (0, 2, 3, 1), 1),  # channels-last
        ((2, 6, 3, 4), (3, 2, 1, 0), -2),
        ((7,), (0,), 0),
        ((), (), -1),
        ((0, 4), (0, 1), 1),
        ((4, 0), (0, 1), 1),
    ],
)
def test_op_agrees_with_torch(ours, theirs, dtype, shape, axes, dim):
    """`axes` is the order of the axes in memory."""
    rng = np.random.default_rng(1)
    inverse = np.argsort(axes).astype(int)
    x = np.asarray(rng.standard_normal([shape[a] for a in axes]), dtype).transpose(inverse)
    grad_out = np.asarray(rng.standard_normal([shape[a] for a in axes]), dtype).transpose(inverse)
    variable, before = leaf(x), x.copy()
    out = ours(variable, dim)
    out.backward(wrap(grad_out))
    expected_x = torch_leaf(x.astype(np.float64))
    expected = theirs(expected_x, dim)
    expected.backward(torch.tensor(grad_out.astype(np.float64)))
    tolerance: dict[str, Any] = {"rtol": 4 * TOLERANCE[dtype], "atol": 4 * TOLERANCE[dtype]}
    assert out.array.dtype == variable.grad.array.dtype == dtype
    np.testing.assert_allclose(out.array, expected.detach().numpy(), **tolerance)
    np.testing.assert_allclose(variable.grad.array, expected_x.grad.numpy(), **tolerance)
    np.testing.assert_array_equal(x, before)


@BOTH
def test_second_derivative_agrees_with_torch(ours, theirs):
    rng = np.random.default_rng(2)
    x, grad_out, direction = rng.standard_normal((3, 4, 5))
    x_ours, g_ours = leaf(x), leaf(grad_out)
    x_theirs, g_theirs = torch_leaf(x), torch_leaf(grad_out)
    (first,) = convcore.autograd.grad(ours(x_ours, 1), x_ours, g_ours, create_graph=True)
    first.backward(wrap(direction))
    (expected,) = torch.autograd.grad(theirs(x_theirs, 1), x_theirs, g_theirs, create_graph=True)
    expected.backward(torch.tensor(direction))
    np.testing.assert_allclose(x_ours.grad.array, x_theirs.grad.numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(g_ours.grad.array, g_theirs.grad.numpy(), rtol=1e-12, atol=1e-14)


@BOTH
@DTYPES
def test_extreme_values_agree_with_torch(ours, theirs, dtype):
    inf, nan = np.inf, np.nan
    rows = [
        [1e30, -1e30, 0, 1e30],
        [1e4, 1e4 - 1, 1e4 - 200, -1e4],
        [-1e4, -1e4 - 1, -1e4, -1e4],
        [-inf, 0, 1, -inf],
        [-inf, -inf, -inf, -inf],
        [inf, 0, 1, 2],
        [inf, inf, -inf, 0],
        [nan, 0, 1, 2],
        [0, 1, nan, 2],
        [0, -inf, 1, nan],
        [inf, nan, 1, 2],
    ]
    x = np.array(rows, dtype)
    np.testing.assert_allclose(ours(wrap(x), 1).array, theirs(torch.tensor(x), 1).numpy(), rtol=1e-6)


@BOTH
def test_results_do_not_depend_on_the_number_of_threads(ours, theirs):
    x = np.random.default_rng(3).standard_normal((2000, 17)).astype(np.float32)
    before, results = threads.get_num_threads(), []
    try:
        for count in (1, threads.max_num_threads()):
            threads.set_num_threads(count)
            results.append(ours(wrap(x), 1).array)
    finally:
        threads.set_num_threads(before)
    np.testing.assert_array_equal(*results)


@BOTH
def test_wrong_arguments(ours, theirs):
    name = ours.__name__
    with pytest.raises(ShapeError, match=rf"{name}: dim must be from -2 to 1 for a tensor of 2 axes, got 2"):
        ours(wrap(np.ones((2, 3))), 2)
    with pytest.raises(ShapeError, match=rf"{name}: dim must be from -1 to 0 for a tensor of 0 axes, got -2"):
        ours(wrap(np.ones(())), -2)
    with pytest.raises(DTypeError, match=rf"{name}: dim must be an integer, got 1.5"):
        ours(wrap(np.ones((2, 3))), 1.5)
    with pytest.raises(DTypeError, match=rf"{name}: input must be float32 or float64, got int64.*input\.float\(\)"):
        ours(wrap(np.ones((2, 3), np.int64)), 1)

"""ReLU: the reference against torch, the kernels against the reference, the op against torch."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.testing import gradgradcheck
from kernels.cpu.elementwise.functions import CHUNK, relu
from kernels.reference import elementwise as reference
from kernels.threads import get_num_threads, max_num_threads, set_num_threads

SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-30, -1e-30, 3.0, -3.0]


def numbers(size, dtype):
    """Random numbers of which the first are special."""
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    x[: len(SPECIAL)] = SPECIAL[: len(x)]
    return x


def test_reference_against_torch():
    x = torch.tensor(numbers(100, np.float64), requires_grad=True)
    out = torch.relu(x)
    np.testing.assert_array_equal(reference.relu_forward(x.detach().numpy()), out.detach().numpy())
    grad_out = np.random.default_rng(1).standard_normal(100)
    out.backward(torch.tensor(grad_out))
    assert x.grad is not None
    np.testing.assert_array_equal(reference.relu_grad_input(grad_out, out.detach().numpy()), x.grad.numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 7, 1000, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_kernels_against_reference(size, dtype):
    x, grad_out = numbers(size, dtype), np.random.default_rng(1).standard_normal(size).astype(dtype)
    inputs = x.copy(), grad_out.copy()
    out, grad_x = np.full_like(x, np.nan), np.full_like(x, np.nan)
    relu.forward(x, out, ())
    np.testing.assert_array_equal(out, reference.relu_forward(x).astype(dtype))
    relu.grad_input(grad_out, out, grad_x, ())
    np.testing.assert_array_equal(grad_x, reference.relu_grad_input(grad_out, out).astype(dtype))
    np.testing.assert_array_equal(x, inputs[0])
    np.testing.assert_array_equal(grad_out, inputs[1])


def test_any_number_of_threads_gives_the_same_bits():
    x = convcore.from_numpy(numbers(5 * CHUNK + 3, np.float32)).requires_grad_()
    results = []
    before = get_num_threads()
    for threads in (1, max_num_threads()):
        set_num_threads(threads)
        out = x.relu()
        (grad_x,) = convcore.autograd.grad(out, x, convcore.ones_like(out))
        results.append((out.detach().array.tobytes(), grad_x.array.tobytes()))
    set_num_threads(before)
    assert results[0] == results[1]


LAYOUTS = {
    "row-major": lambda a: a,
    "channels-last": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "every second": lambda a: np.repeat(a, 2, axis=2)[:, :, ::2],
    "backwards": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 1, 1, 1), (0, 3, 2, 2), (2, 1, 3, 1)])
def test_op_against_torch(shape, layout, dtype):
    array = LAYOUTS[layout](numbers(int(np.prod(shape)), dtype).reshape(shape))
    grad_out = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    x: Any = convcore.from_numpy(array).requires_grad_()
    y: Any = torch.tensor(array.copy(), requires_grad=True)
    out, expected = x.relu(), torch.relu(y)
    np.testing.assert_array_equal(out.detach().array, expected.detach().numpy())
    for order in (lambda a: a, LAYOUTS["channels-last"]):
        (grad_x,) = convcore.autograd.grad(out, x, convcore.from_numpy(order(grad_out)), retain_graph=True)
        (expected_grad_x,) = torch.autograd.grad(expected, y, torch.tensor(grad_out), retain_graph=True)
        np.testing.assert_array_equal(grad_x.array, expected_grad_x.numpy())


def test_the_order_in_memory_stays():
    x = convcore.from_numpy(LAYOUTS["channels-last"](np.ones((2, 3, 4, 5), np.float32)))
    assert x.relu().array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_second_derivative():
    x = convcore.tensor([-1.0, 0.5, 2.0], dtype=convcore.float64, requires_grad=True)
    assert gradgradcheck(lambda x: x.relu() ** 3, x)

"""Dropout: Philox against its published numbers, the kernel against the reference, the op's mask and gradients."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore import random
from convcore.autograd import wrap
from convcore.errors import DTypeError, GraphError, ShapeError
from convcore.ops.activation.dropout import dropout
from kernels import threads
from kernels.cpu.activation.dropout import ELEMENTS_PER_CHUNK, dropout_forward
from kernels.cpu.vector.philox import philox4x32
from kernels.reference import activation as reference

# Counter, key and result from the file kat_vectors of Random123, the authors' own implementation.
KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.fixture(autouse=True)
def seeded():
    state = random.get_rng_state()
    random.manual_seed(0)
    yield
    random.set_rng_state(state)


def leaf(array) -> Any:
    return wrap(array).requires_grad_()


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_the_published_numbers(counter, key, words):
    low, high, joined = (a | b << 32 for a, b in (counter[:2], counter[2:], key))
    assert reference.philox4x32(low | high << 64, joined) == words
    assert list(philox4x32.py_func(np.uint64(low), np.uint64(high), np.uint64(joined))) == words


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 63, ELEMENTS_PER_CHUNK + 7])
def test_kernel_agrees_with_the_reference(dtype, size):
    x = np.random.default_rng(size).standard_normal(size).astype(dtype)
    before, out = x.copy(), np.full(size, np.nan, dtype)
    p, seed, offset = 0.3, 2**63 + 12345, 2**32 - 3
    dropout_forward(x, out, dtype(1 / (1 - p)), np.uint64(seed), np.uint64(offset), np.uint64(round(p * 2**32)))
    np.testing.assert_allclose(out, reference.dropout_forward(x, p, seed, offset), rtol=3e-7)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_statistics_of_the_mask(p):
    """Share, mean, and independence of neighbours: each within five standard deviations of what chance allows."""
    size = 1 << 18
    out = dropout(wrap(np.ones(size, np.float32)), p).array
    kept = out != 0
    deviation = np.sqrt(p * (1 - p) / size)
    assert abs(kept.mean() - (1 - p)) < 5 * deviation
    np.testing.assert_array_equal(out[kept], np.float32(1 / (1 - p)))
    for distance in (1, 2, 3, 4, 64):
        centered = kept - (1 - p)
        correlation = (centered[distance:] * centered[:-distance]).mean() / (p * (1 - p))
        assert abs(correlation) < 5 / np.sqrt(size)


def test_every_call_draws_a_new_mask_and_a_seed_repeats_them():
    x = wrap(np.ones(1001))
    first, second = dropout(x).array, dropout(x).array
    assert (first != second).any()
    random.manual_seed(0)
    np.testing.assert_array_equal(dropout(x).array, first)
    state = random.get_rng_state()
    np.testing.assert_array_equal(dropout(x).array, second)
    random.set_rng_state(state)
    np.testing.assert_array_equal(dropout(x).array, second)
    random.manual_seed(1)
    assert (dropout(x).array != first).any()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)])
def test_the_mask_follows_memory_order(order):
    rng = np.random.default_rng(1)
    block = rng.standard_normal((3, 4, 5, 7))
    x = block.transpose(np.argsort(order))
    seed, offset = random.default_generator.next_offset(0)
    out = dropout(wrap(x), 0.4).array
    expected = reference.dropout_forward(block.reshape(-1), 0.4, seed, offset).reshape(block.shape)
    np.testing.assert_allclose(out.transpose(order), expected, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_use_the_same_mask(dtype):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 3, 4, 5)).astype(dtype)[:, ::-1, ::2]
    grad_out = np.asfortranarray(rng.standard_normal(x.shape).astype(dtype))
    variable = leaf(x)
    out = dropout(variable, 0.3)
    factor = out.array / x
    assert set(np.unique(factor.round(5))) == {np.round(dtype(0), 5), np.round(dtype(1 / 0.7), 5)}
    out.backward(wrap(grad_out))
    np.testing.assert_allclose(variable.grad.array, grad_out * factor, rtol=1e-6)
    assert variable.grad.array.dtype == dtype


def test_second_derivative():
    rng = np.random.default_rng(3)
    x, grad_out = leaf(rng.standard_normal(50)), leaf(rng.standard_normal(50))
    out = dropout(x, 0.5)
    (gradient,) = convcore.autograd.grad(out, x, grad_out, create_graph=True)
    direction = rng.standard_normal(50)
    gradient.backward(wrap(direction))
    np.testing.assert_allclose(grad_out.grad.array, direction * np.where(out.array == 0, 0, 2), rtol=1e-15)


def test_results_do_not_depend_on_the_number_of_threads():
    x, before, results = wrap(np.ones(100_003, np.float32)), threads.get_num_threads(), []
    try:
        for count in (1, threads.max_num_threads()):
            threads.set_num_threads(count)
            random.manual_seed(4)
            results.append(dropout(x, 0.2).array)
    finally:
        threads.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_float32_and_float64_drop_the_same_elements():
    masks = []
    for dtype in (np.float32, np.float64):
        random.manual_seed(5)
        masks.append(dropout(wrap(np.ones(1000, dtype)), 0.5).array == 0)
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_dropped_nan_and_infinity_stay_visible_as_in_torch(value):
    x = np.full(64, value)
    out = dropout(wrap(x), 0.5).array
    expected = torch.nn.functional.dropout(torch.tensor(x), 0.5).numpy()
    assert set(map(str, out)) == set(map(str, expected))
    np.testing.assert_array_equal(
        dropout(wrap(x), 1.0).array, torch.nn.functional.dropout(torch.tensor(x), 1.0).numpy()
    )


def test_p_zero_and_evaluation_return_x_itself():
    x = leaf(np.ones((2, 3)))
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.7, training=False) is x
    empty = wrap(np.empty((0, 3)))
    assert dropout(empty) is empty


def test_p_one_drops_everything():
    x = leaf(np.arange(1.0, 7.0))
    out = dropout(x, 1.0)
    out.backward(wrap(np.ones(6)))
    np.testing.assert_array_equal(out.array, np.zeros(6))
    np.testing.assert_array_equal(x.grad.array, np.zeros(6))


def test_in_place():
    x = leaf(np.arange(1.0, 65.0))
    hidden = x * 3
    random.manual_seed(6)
    expected = dropout(wrap(hidden.array.copy()), 0.5).array
    random.manual_seed(6)
    memory = hidden.array
    out = dropout(hidden, 0.5, inplace=True)
    assert out is hidden
    assert out.array is memory
    np.testing.assert_array_equal(memory, expected)
    out.backward(wrap(np.ones(64)))
    np.testing.assert_array_equal(x.grad.array, np.where(expected == 0, 0.0, 6.0))
    with pytest.raises(GraphError, match="dropout: a leaf tensor that requires a gradient cannot be changed in place"):
        dropout(x, 0.5, inplace=True)


def test_wrong_arguments():
    with pytest.raises(ShapeError, match=r"dropout: p is a probability and must lie from 0 to 1, got 1.5"):
        dropout(wrap(np.ones(3)), 1.5)
    with pytest.raises(ShapeError, match=r"must lie from 0 to 1, got nan"):
        dropout(wrap(np.ones(3)), float("nan"))
    with pytest.raises(DTypeError, match=r"dropout: input must be float32 or float64, got int64"):
        dropout(wrap(np.ones(3, np.int64)))

"""Each optimizer kernel against its float64 reference."""

import math
from typing import Any

import numpy as np
import pytest

from kernels import threads
from kernels.cpu.optim import sgd_adam as kernels
from kernels.cpu.optim.sgd_adam import CHUNK
from kernels.reference import optim as reference

SIZES = [0, 1, 37, CHUNK, 2 * CHUNK + 5]
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}


def arrays(dtype, size, count):
    rng = np.random.default_rng(size)
    return [rng.standard_normal(size).astype(dtype) for _ in range(count)]


def close(result, expected, dtype):
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("weight_decay", "maximize"), [(0, False), (0.1, True)])
def test_sgd_step(dtype, size, weight_decay, maximize):
    param, grad = arrays(dtype, size, 2)
    expected = reference.sgd_step(param, grad, 0.3, weight_decay, maximize)
    before = grad.copy()
    kernels.sgd_step(param, grad, dtype(0.3), dtype(weight_decay), dtype(-1 if maximize else 1))
    close(param, expected, dtype)
    assert np.array_equal(grad, before)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("weight_decay", "maximize", "nesterov", "dampening", "first"),
    [(0, False, False, 0.2, False), (0.1, True, True, 0, False), (0.1, False, False, 0.5, True)],
)
def test_sgd_momentum_step(dtype, size, weight_decay, maximize, nesterov, dampening, first):
    param, grad, buffer = arrays(dtype, size, 3)
    if first:
        buffer[:] = 0
    expected = reference.sgd_momentum_step(
        param, grad, buffer, 0.3, 0.9, dampening, weight_decay, nesterov, maximize, first
    )
    share = 1 if first else 1 - dampening
    settings = [dtype(v) for v in (0.3, 0.9, share, weight_decay, -1 if maximize else 1)]
    kernels.sgd_momentum_step(param, grad, buffer, *settings, nesterov)
    close(param, expected[0], dtype)
    close(buffer, expected[1], dtype)


def adam_settings(dtype, step, lr, betas, eps, weight_decay, decoupled, maximize):
    beta1, beta2 = betas
    keep, decay = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    sign = -1 if maximize else 1
    step_size, scale = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    return [dtype(v) for v in (keep, decay, sign, beta1, 1 - beta1, beta2, 1 - beta2, step_size, scale, eps)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("step", "weight_decay", "decoupled", "maximize"),
    [(1, 0, False, False), (3, 0.1, False, True), (7, 0.1, True, False)],
)
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_step(dtype, size, step, weight_decay, decoupled, maximize, amsgrad):
    param, grad, exp_avg, exp_avg_sq, largest = arrays(dtype, size, 5)
    exp_avg_sq, largest = abs(exp_avg_sq), abs(largest)
    common: Any = (step, 0.01, 0.9, 0.99, 1e-8, weight_decay, decoupled, maximize)
    settings = adam_settings(dtype, step, 0.01, (0.9, 0.99), 1e-8, weight_decay, decoupled, maximize)
    state: Any = [exp_avg, exp_avg_sq, largest] if amsgrad else [exp_avg, exp_avg_sq]
    if amsgrad:
        expected = reference.adam_amsgrad_step(param, grad, *state, *common)
        kernels.adam_amsgrad_step(param, grad, *state, *settings)
    else:
        expected = reference.adam_step(param, grad, *state, *common)
        kernels.adam_step(param, grad, *state, *settings)
    for result, wanted in zip([param, *state], expected, strict=True):
        close(result, wanted, dtype)


def test_nan_and_infinity_travel():
    param, grad, exp_avg, exp_avg_sq, largest = (np.ones(4, np.float32) for _ in range(5))
    param[0], grad[1], grad[2], largest[3] = np.inf, np.nan, np.inf, np.nan
    settings = adam_settings(np.float32, 1, 0.01, (0.9, 0.99), 1e-8, 0, False, False)
    kernels.adam_amsgrad_step(param, grad, exp_avg, exp_avg_sq, largest, *settings)
    assert np.isposinf(param[0])
    assert np.isnan(param[1:]).all()
    assert np.isnan(largest[[1, 3]]).all()
    assert np.isposinf(largest[2])
    param = np.array([np.inf, 1], np.float32)
    kernels.sgd_step(param, np.array([1, np.nan], np.float32), np.float32(0.1), np.float32(0), np.float32(1))
    assert np.isposinf(param[0])
    assert np.isnan(param[1])


def test_one_thread_and_two_give_the_same_bits():
    results = []
    for n in (1, min(2, threads.max_num_threads())):
        threads.set_num_threads(n)
        param, grad, exp_avg, exp_avg_sq = arrays(np.float32, 5 * CHUNK + 3, 4)
        settings = adam_settings(np.float32, 1, 0.01, (0.9, 0.99), 1e-8, 0.1, False, False)
        kernels.adam_step(param, grad, exp_avg, abs(exp_avg_sq), *settings)
        results.append(param)
    threads.set_num_threads(threads.max_num_threads())
    assert np.array_equal(*results)

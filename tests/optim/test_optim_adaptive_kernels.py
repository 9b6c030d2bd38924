"""Each optimizer kernel with a history of its own against its float64 reference."""

import math

import numpy as np
import pytest

from kernels import threads
from kernels.cpu.optim import adaptive as kernels
from kernels.cpu.optim.sgd_adam import CHUNK
from kernels.reference import optim as reference

SIZES = [0, 1, 37, 2 * CHUNK + 5]
TOLERANCE = {np.float32: 5e-6, np.float64: 1e-13}
BOTH = pytest.mark.parametrize(
    ("dtype", "size"), [(dtype, size) for dtype in (np.float32, np.float64) for size in SIZES]
)


def arrays(dtype, size, count):
    rng = np.random.default_rng(size)
    return [rng.standard_normal(size).astype(dtype) for _ in range(count)]


def compare(results, expected, dtype):
    for result, wanted in zip(results, expected, strict=True):
        assert result.dtype == dtype
        np.testing.assert_allclose(result, wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@BOTH
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0, 0.9])
@pytest.mark.parametrize(("weight_decay", "maximize"), [(0, False), (0.1, True)])
def test_rmsprop_step(dtype, size, centered, momentum, weight_decay, maximize):
    param, grad, square_avg, grad_avg, buffer = arrays(dtype, size, 5)
    square_avg, grad_avg = 4 + abs(square_avg), grad_avg / 10
    expected = reference.rmsprop_step(
        param, grad, square_avg, grad_avg if centered else None, buffer if momentum else None,
        0.01, 0.99, 1e-3, weight_decay, maximize, momentum,
    )  # fmt: skip
    without = param[:0]
    states = [square_avg, grad_avg if centered else without, buffer if momentum else without]
    settings = (0.01, 0.99, 1 - 0.99, 1e-3, weight_decay, -1 if maximize else 1, momentum)
    kernels.rmsprop_step(param, grad, *states, *map(dtype, settings))
    expected = [without if e is None else e for e in expected]
    compare([param, *states], expected, dtype)


@BOTH
@pytest.mark.parametrize(("weight_decay", "maximize"), [(0, False), (0.1, True)])
def test_adagrad_step(dtype, size, weight_decay, maximize):
    param, grad, total = arrays(dtype, size, 3)
    total = abs(total)
    expected = reference.adagrad_step(param, grad, total, 3, 0.1, 0.05, 1e-3, weight_decay, maximize)
    settings = (0.1 / (1 + 2 * 0.05), 1e-3, weight_decay, -1 if maximize else 1)
    kernels.adagrad_step(param, grad, total, *map(dtype, settings))
    compare([param, total], expected, dtype)


@BOTH
@pytest.mark.parametrize(("weight_decay", "maximize"), [(0, False), (0.1, True)])
def test_adadelta_step(dtype, size, weight_decay, maximize):
    param, grad, square_avg, acc_delta = arrays(dtype, size, 4)
    square_avg, acc_delta = abs(square_avg), abs(acc_delta)
    expected = reference.adadelta_step(param, grad, square_avg, acc_delta, 0.5, 0.9, 1e-3, weight_decay, maximize)
    settings = (0.5, 0.9, 1 - 0.9, 1e-3, weight_decay, -1 if maximize else 1)
    kernels.adadelta_step(param, grad, square_avg, acc_delta, *map(dtype, settings))
    compare([param, square_avg, acc_delta], expected, dtype)


@BOTH
@pytest.mark.parametrize(("weight_decay", "maximize"), [(0, False), (0.1, True)])
def test_adamax_step(dtype, size, weight_decay, maximize):
    param, grad, exp_avg, exp_inf = arrays(dtype, size, 4)
    exp_inf = 1 + abs(exp_inf)
    expected = reference.adamax_step(param, grad, exp_avg, exp_inf, 3, 0.1, 0.9, 0.99, 1e-3, weight_decay, maximize)
    settings = (0.1 / (1 - 0.9**3), 0.9, 1 - 0.9, 0.99, 1e-3, weight_decay, -1 if maximize else 1)
    kernels.adamax_step(param, grad, exp_avg, exp_inf, *map(dtype, settings))
    compare([param, exp_avg, exp_inf], expected, dtype)


@BOTH
@pytest.mark.parametrize(
    ("weight_decay", "decoupled", "maximize"), [(0, False, False), (0.1, False, True), (0.1, True, False)]
)
def test_nadam_step(dtype, size, weight_decay, decoupled, maximize):
    param, grad, exp_avg, exp_avg_sq = arrays(dtype, size, 4)
    exp_avg_sq = 0.5 + abs(exp_avg_sq)
    expected = reference.nadam_step(
        param, grad, exp_avg, exp_avg_sq, 0.2, 3, 0.1, 0.9, 0.99, 1e-3, weight_decay, 0.004, decoupled, maximize
    )
    mu, next_mu = [0.9 * (1 - 0.5 * 0.96 ** (t * 0.004)) for t in (3, 4)]
    assert expected[3] == 0.2 * mu
    keep, decay = (1 - 0.1 * weight_decay, 0) if decoupled else (1, weight_decay)
    settings = (
        keep, decay, -1 if maximize else 1, 0.9, 1 - 0.9, 0.99, 1 - 0.99,
        0.1 * (1 - mu) / (1 - 0.2 * mu), 0.1 * next_mu / (1 - 0.2 * mu * next_mu), 1 / math.sqrt(1 - 0.99**3), 1e-3,
    )  # fmt: skip
    kernels.nadam_step(param, grad, exp_avg, exp_avg_sq, *map(dtype, settings))
    compare([param, exp_avg, exp_avg_sq], expected[:3], dtype)


@BOTH
@pytest.mark.parametrize("step", [3, 40])  # before and after the denominator is trusted
@pytest.mark.parametrize(("weight_decay", "decoupled", "maximize"), [(0.1, False, True), (0.1, True, False)])
def test_radam_step(dtype, size, step, weight_decay, decoupled, maximize):
    param, grad, exp_avg, exp_avg_sq = arrays(dtype, size, 4)
    exp_avg_sq = 0.5 + abs(exp_avg_sq)
    expected = reference.radam_step(
        param, grad, exp_avg, exp_avg_sq, step, 0.1, 0.9, 0.99, 1e-3, weight_decay, decoupled, maximize
    )
    keep, decay = (1 - 0.1 * weight_decay, 0) if decoupled else (1, weight_decay)
    size_of_step = 0.1 / (1 - 0.9**step)
    longest = 2 / (1 - 0.99) - 1
    length = longest - 2 * step * 0.99**step / (1 - 0.99**step)
    rectified = length > 5
    assert rectified == (step == 40)
    if rectified:
        variance = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        size_of_step *= math.sqrt(variance * (1 - 0.99**step))
    settings = (keep, decay, -1 if maximize else 1, 0.9, 1 - 0.9, 0.99, 1 - 0.99, size_of_step, 1e-3)
    kernels.radam_step(param, grad, exp_avg, exp_avg_sq, *map(dtype, settings), rectified)
    compare([param, exp_avg, exp_avg_sq], expected, dtype)


@BOTH
@pytest.mark.parametrize("maximize", [False, True])
def test_rprop_step(dtype, size, maximize):
    param, grad, prev, step_size = arrays(dtype, size, 4)
    step_size = abs(step_size)
    grad[: size // 8], prev[size // 16 : size // 5] = 0, 0
    expected = reference.rprop_step(param, grad, prev, step_size, 0.5, 1.2, 0.1, 0.8, maximize)
    kernels.rprop_step(param, grad, prev, step_size, *map(dtype, (0.5, 1.2, 0.1, 0.8, -1 if maximize else 1)))
    compare([param, prev, step_size], expected, dtype)


def test_the_same_bits_for_every_number_of_threads():
    results = []
    for n in (1, min(2, threads.max_num_threads())):
        threads.set_num_threads(n)
        param, grad, exp_avg, exp_inf = arrays(np.float32, 5 * CHUNK + 3, 4)
        settings = map(np.float32, (0.1, 0.9, 0.1, 0.99, 1e-3, 0.1, 1))
        kernels.adamax_step(param, grad, exp_avg, abs(exp_inf), *settings)
        results.append(param)
    threads.set_num_threads(threads.max_num_threads())
    assert np.array_equal(*results)


def test_nan_travels_where_torchs_does():
    """NaN in a gradient reaches the parameter; Rprop, which looks at signs only, rests instead."""
    ones = np.ones(3, np.float32)
    grad = np.array([1, np.nan, 2], np.float32)
    param, total = ones.copy(), ones.copy()
    kernels.adagrad_step(param, grad, total, *map(np.float32, (0.1, 1e-3, 0, 1)))
    assert np.isnan(param).tolist() == [False, True, False]
    param, exp_inf = ones.copy(), ones.copy()
    kernels.adamax_step(param, grad, ones.copy(), exp_inf, *map(np.float32, (0.1, 0.9, 0.1, 0.99, 1e-3, 0, 1)))
    assert np.isnan(param).tolist() == np.isnan(exp_inf).tolist() == [False, True, False]
    param = ones.copy()
    kernels.rprop_step(param, grad, ones.copy(), ones / 4, *map(np.float32, (0.5, 1.2, 0, 9, 1)))
    np.testing.assert_allclose(param, [0.7, 1, 0.7], rtol=1e-6)

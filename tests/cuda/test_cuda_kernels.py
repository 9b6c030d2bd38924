"""The kernels on the GPU that are not products, in the simulator, against their definitions."""

from typing import Any

import numpy as np
import pytest
from simulator import empty

from convcore.ops.pool.geometry import adaptive_pool_geometry, avg_pool_geometry, max_pool_geometry
from kernels.cuda import calls, elementwise, loss, norm, optim, pool
from kernels.cuda.calls import ceil_div
from kernels.cuda.dropout import dropout_forward
from kernels.cuda.micro import layout
from kernels.reference import activation as activation_reference
from kernels.reference import elementwise as elementwise_reference
from kernels.reference import loss as loss_reference
from kernels.reference import norm as norm_reference
from kernels.reference import optim as optim_reference
from kernels.reference import pool as pool_reference
from kernels.reference import reduce as reduce_reference

pytestmark = pytest.mark.usefixtures("gpu")

CLOSE: Any = {"rtol": 2e-6, "atol": 2e-6}


# Functions of elements


@pytest.mark.parametrize("size", [9, 1025])
def test_relu(size):
    x, grad_out = np.linspace(-4, 4, size, dtype=np.float32), np.linspace(1, 2, size, dtype=np.float32)
    x[:4] = np.nan, np.inf, -np.inf, 0
    out, grad_x, grid = empty(size), empty(size), ceil_div(size, elementwise.PER_BLOCK)
    elementwise.relu_forward(grid, x, out, size)
    elementwise.relu_grad_input(grid, grad_out, out, grad_x, size)
    np.testing.assert_array_equal(out, elementwise_reference.relu_forward(x))
    np.testing.assert_array_equal(grad_x, elementwise_reference.relu_grad_input(grad_out, out))


@pytest.mark.parametrize("size", [9, 1025])
@pytest.mark.parametrize("name", ["hardsigmoid", "hardswish"])
def test_hard_activations(name, size):
    x, grad_out = np.linspace(-4, 4, size, dtype=np.float32), np.linspace(1, 2, size, dtype=np.float32)
    x[:2] = 3, -3
    out, grad_x, grid = empty(size), empty(size), ceil_div(size, elementwise.PER_BLOCK)
    getattr(elementwise, f"{name}_forward")(grid, x, out, size)
    getattr(elementwise, f"{name}_grad_input")(grid, grad_out, x, grad_x, size)
    value, derivative = (getattr(activation_reference, name + suffix) for suffix in ("", "_derivative"))
    np.testing.assert_allclose(out, value(x.astype(np.float64)), **CLOSE)
    np.testing.assert_allclose(grad_x, grad_out * derivative(x.astype(np.float64)), **CLOSE)


@pytest.mark.parametrize(("name", "function"), [("add", np.add), ("sub", np.subtract), ("mul", np.multiply)])
def test_two_elements(name, function, floats):
    x, y, out = floats(1030), floats(1030), empty(1030)
    getattr(elementwise, name)(2, x, y, out, 1030)
    np.testing.assert_array_equal(out, function(x, y))


def test_transpose(floats):
    x, out = floats(2, 33, 40), empty(2640)
    layout.transpose((2, 2, 2), x.ravel(), out, 33, 40)
    np.testing.assert_array_equal(out.reshape(2, 40, 33), x.transpose(0, 2, 1))


@pytest.mark.parametrize("size", [1, 300, 3000])
def test_sum_all(size, floats):
    x, out = floats(size), empty(1)
    calls.sum_all(x, out, size, empty)
    np.testing.assert_allclose(out[0], reduce_reference.sum_all(x), rtol=1e-6, atol=1e-4)


def test_sum_columns(floats, monkeypatch):
    monkeypatch.setattr(calls, "ROWS_PER_PART", 16)
    x, out = floats(37, 35), empty(35)
    calls.sum_columns(x.ravel(), out, 37, 35, empty)
    np.testing.assert_allclose(out, reduce_reference.column_sums(x), **CLOSE)


# Pooling

N, C = 2, 3
LOGICAL = (0, 3, 1, 2)


def image(shape, seed=0):
    """Values on a coarse grid, so that ties within windows are common."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32) / 4


def tables(windows, *names):
    return [getattr(windows, name).astype(np.int32) for name in names]


def run_max(x, geometry):
    rows, columns = geometry.height, geometry.width
    out, grad_out, grad_x = empty(np.prod(geometry.out_block_shape)), image(geometry.out_block_shape, 1), empty(x.size)
    positions = np.full(out.size, 99, np.int32)
    sizes = rows.size, columns.size, rows.size_out, columns.size_out, geometry.c
    pool.max_pool2d_forward(
        ceil_div(out.size, 256), x.ravel(), out, positions, *tables(rows, "start", "stop"),
        *tables(columns, "start", "stop"), out.size, *sizes, rows.dilation, columns.dilation,
    )  # fmt: skip
    pool.max_pool2d_grad_input(
        ceil_div(x.size, 256), grad_out.ravel(), positions, grad_x, *tables(rows, "over_start", "over_stop"),
        *tables(columns, "over_start", "over_stop"), x.size, *sizes,
    )  # fmt: skip
    shape = geometry.out_block_shape
    return out.reshape(shape), positions.reshape(shape), grad_out, grad_x.reshape(x.shape)


def run_avg(x, geometry):
    rows, columns = geometry.height, geometry.width
    out, grad_out, grad_x = empty(np.prod(geometry.out_block_shape)), image(geometry.out_block_shape, 1), empty(x.size)
    sizes = rows.size, columns.size, rows.size_out, columns.size_out, geometry.c
    pool.avg_pool2d_forward(
        ceil_div(out.size, 256), x.ravel(), out, *tables(rows, "start", "stop", "count"),
        *tables(columns, "start", "stop", "count"), out.size, *sizes,
    )  # fmt: skip
    pool.avg_pool2d_grad_input(
        ceil_div(x.size, 256), grad_out.ravel(), grad_x, *tables(rows, "over_start", "over_stop", "count"),
        *tables(columns, "over_start", "over_stop", "count"), x.size, *sizes,
    )  # fmt: skip
    return out.reshape(geometry.out_block_shape), grad_out, grad_x.reshape(x.shape)


def taps(size: Any, *settings: Any) -> Any:
    return [pool_reference.window_taps(size[i], *[setting[i] for setting in settings]) for i in range(2)]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation"),
    [
        ((6, 8), (2, 2), (2, 2), (0, 0), (1, 1)),
        ((9, 8), (3, 3), (2, 2), (1, 1), (1, 1)),
        ((10, 9), (3, 2), (1, 2), (1, 0), (2, 3)),
        ((11, 10), (2, 3), (4, 5), (1, 0), (1, 1)),
        ((2, 3), (2, 2), (1, 1), (1, 1), (3, 3)),  # windows without taps
    ],
)
def test_max_pool(size, kernel, stride, padding, dilation):
    x = image((N, *size, C))
    x[0, :2, :2] = np.nan
    geometry = max_pool_geometry("max_pool2d", x.transpose(LOGICAL), kernel, stride, padding, dilation, False)
    out, positions, grad_out, grad_x = run_max(x, geometry)
    expected, indices = pool_reference.max_pool2d_forward(x, *taps(size, kernel, stride, padding, dilation))
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(positions, indices)
    np.testing.assert_array_equal(grad_x, pool_reference.max_pool2d_grad_input(grad_out, indices, *size))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [((6, 8), (2, 2), (2, 2), (0, 0)), ((9, 12), (4, 2), (1, 3), (2, 1)), ((4, 7), (4, 7), (1, 1), (0, 0))],
)
def test_avg_pool(size, kernel, stride, padding):
    x = image((N, *size, C))
    geometry = avg_pool_geometry("avg_pool2d", x.transpose(LOGICAL), kernel, stride, padding, False, True, None)
    out, grad_out, grad_x = run_avg(x, geometry)
    over_h, over_w = taps(size, kernel, stride, padding)
    divisors = np.full((len(over_h), len(over_w)), kernel[0] * kernel[1])
    np.testing.assert_allclose(out, pool_reference.avg_pool2d_forward(x, over_h, over_w, divisors), **CLOSE)
    expected = pool_reference.avg_pool2d_grad_input(grad_out, over_h, over_w, divisors, *size)
    np.testing.assert_allclose(grad_x, expected, **CLOSE)


@pytest.mark.parametrize(("size", "size_out"), [((7, 5), (3, 4)), ((3, 2), (7, 5)), ((9, 11), (1, 1))])
def test_adaptive_pool(size, size_out):
    x = image((N, *size, C))
    geometry = adaptive_pool_geometry("adaptive_avg_pool2d", x.transpose(LOGICAL), size_out)
    over_h, over_w = (pool_reference.adaptive_taps(size[i], size_out[i]) for i in range(2))
    divisors = np.outer([len(t) for t in over_h], [len(t) for t in over_w])
    out, grad_out, grad_x = run_avg(x, geometry)
    np.testing.assert_allclose(out, pool_reference.avg_pool2d_forward(x, over_h, over_w, divisors), **CLOSE)
    expected = pool_reference.avg_pool2d_grad_input(grad_out, over_h, over_w, divisors, *size)
    np.testing.assert_allclose(grad_x, expected, **CLOSE)
    out, positions, grad_out, grad_x = run_max(x, geometry)
    expected, indices = pool_reference.max_pool2d_forward(x, over_h, over_w)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(positions, indices)


# Batch norm

EPS = 1e-5
OFF = np.float32(np.nan)  # no ReLU: NaN compares false with everything


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("rectified", [False, True])
def test_batch_norm(frozen, rectified, floats):
    rows, columns, part = 37, 35, 16
    x, grad_out = floats(rows, columns) + 100, floats(rows, columns)
    weight, bias, mean, variance = floats(columns), floats(columns), empty(columns), empty(columns)
    lowest = np.float32(0) if rectified else OFF
    parts = ceil_div(rows, part)
    grid, sizes = (ceil_div(columns, 32), parts), (rows, columns, part)
    means, squares = empty(parts * columns), empty(parts * columns)
    running = np.zeros(columns, np.float32), np.ones(columns, np.float32)
    norm.batch_norm_statistics(grid, x.ravel(), means, squares, *sizes)
    norm.join_statistics(1, means, squares, mean, variance, *running, *sizes, 0.1)
    expected_mean, expected_variance = norm_reference.batch_norm_statistics(x)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-6)
    np.testing.assert_allclose(variance, expected_variance, rtol=2e-5)
    unbiased = expected_variance * rows / (rows - 1)
    np.testing.assert_allclose(running[0], norm_reference.batch_norm_running(0, expected_mean, 0.1), rtol=1e-6)
    np.testing.assert_allclose(running[1], norm_reference.batch_norm_running(1, unbiased, 0.1), rtol=1e-5)

    out, grad_x = empty(x.size), empty(x.size)
    partials, sums = empty(parts * 2 * columns), empty(2 * columns)
    settings = x.ravel(), mean, variance, weight, bias
    norm.batch_norm_forward(grid, *settings, out, *sizes, EPS, lowest)
    y = norm_reference.batch_norm_forward(x, mean, variance, weight, bias, EPS)
    np.testing.assert_allclose(out.reshape(x.shape), np.maximum(y, 0) if rectified else y, rtol=1e-4, atol=1e-4)
    x_flat, *channels = settings
    norm.batch_norm_grad_sums(grid, x_flat, grad_out.ravel(), *channels, partials, *sizes, EPS, lowest)
    calls.add_parts(partials, sums, 2 * columns, parts)
    norm.batch_norm_grad_input(grid, x_flat, grad_out.ravel(), *channels, sums, grad_x, *sizes, EPS, lowest, frozen)
    g = np.where(out.reshape(x.shape) <= 0, 0, grad_out) if rectified else grad_out
    expected = norm_reference.batch_norm_grads(x, g, mean, variance, weight, EPS, not frozen)
    np.testing.assert_allclose(grad_x.reshape(x.shape), expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(sums.reshape(2, -1)[::-1], expected[1:], rtol=1e-4, atol=1e-4)


# Loss, dropout, optimizers


@pytest.mark.parametrize("label_smoothing", [0, 0.1])
@pytest.mark.parametrize("classes", [10, 150])
def test_cross_entropy(classes, label_smoothing, floats):
    rows = 4
    x, weight, grad_loss = floats(rows, classes) * 20, np.abs(floats(classes)), floats(rows)
    target = np.array([1, classes - 1, -100, 0])
    losses, counted, maxima, sums = (empty(rows) for _ in range(4))
    grad_x = empty(x.size)
    settings = classes, label_smoothing, -100
    loss.cross_entropy_forward(rows, x.ravel(), target, weight, losses, counted, maxima, sums, *settings)
    loss.cross_entropy_grad_input(rows, x.ravel(), target, weight, maxima, sums, grad_loss, grad_x, *settings)
    expected = loss_reference.cross_entropy_forward(x, target, weight, label_smoothing, -100)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(counted, expected[1], rtol=1e-7)
    gradient = loss_reference.cross_entropy_grad_input(x, target, weight, grad_loss, label_smoothing, -100)
    np.testing.assert_allclose(grad_x.reshape(x.shape), gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("offset", [0, 2**32 - 1])
def test_dropout_has_the_mask_of_the_cpu(offset, floats):
    x, out, p, seed = floats(1027), empty(1027), 0.3, 2**63 + 12345
    x[5] = np.nan
    dropout_forward(2, x, out, x.size, 1 / (1 - p), seed, offset, round(p * 2**32))
    expected = activation_reference.dropout_forward(x, p, seed, offset)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_unscale(floats):
    size, blocks = 2 * optim.PER_BLOCK + 3, 3
    grad, counts = floats(size), empty(blocks + 1)
    grad[[1, size - 1]] = np.inf, np.nan
    expected, not_finite = optim_reference.unscale(grad, 0.25)
    optim.unscale(blocks, grad, counts, 1, size, 0.25)
    np.testing.assert_array_equal(grad, expected.astype(np.float32))
    assert counts[1:].sum() == not_finite == 2


@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_optimizers(weight_decay, floats):
    param, grad, size = floats(300), floats(300), 300
    result = param.copy()
    optim.sgd_step(2, result, grad, size, 0.1, weight_decay, -1)
    np.testing.assert_allclose(result, optim_reference.sgd_step(param, grad, 0.1, weight_decay, True), **CLOSE)
    for nesterov in (False, True):
        result, buffer, before = param.copy(), floats(300), None
        before = buffer.copy()
        optim.sgd_momentum_step(2, result, grad, buffer, size, 0.1, 0.9, 0.7, weight_decay, 1, nesterov)
        settings = 0.1, 0.9, 0.3, weight_decay, nesterov, False, False
        expected = optim_reference.sgd_momentum_step(param, grad, before, *settings)
        np.testing.assert_allclose([result, buffer], expected, **CLOSE)
    for decoupled in (False, True):
        result, m, v, step, lr = param.copy(), floats(300), np.abs(floats(300)), 7, 0.01
        expected = optim_reference.adam_step(
            param, grad, m, v, step, lr, 0.9, 0.999, 1e-8, weight_decay, decoupled, False
        )
        keep, decay = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
        optim.adam_step(
            2, result, grad, m, v, size, keep, decay, 1, 0.9, 1 - 0.9, 0.999, 1 - 0.999, lr / (1 - 0.9**step),
            (1 - 0.999**step) ** -0.5, 1e-8,
        )  # fmt: skip
        np.testing.assert_allclose([result, m, v], expected, **CLOSE)

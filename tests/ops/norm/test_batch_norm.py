"""Batch norm: the reference against PyTorch, the kernels against the reference, the op against PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.norm.batch_norm import batch_norm
from kernels import threads
from kernels.cpu.norm import batch_norm as kernels
from kernels.cpu.reduce import sum_chunks
from kernels.reference import norm as reference

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def leaf(array) -> Any:
    return wrap(array).requires_grad_()


def torch_leaf(array) -> Any:
    return torch.tensor(array, requires_grad=True)


def random(rng, *shape, dtype: Any = np.float64):
    return rng.standard_normal(shape).astype(dtype)


def torch_batch_norm(x, weight, bias, running, grad_out, training, momentum=0.1, eps=1e-5):
    """Output, gradients of x, weight, bias, and the new running statistics, all from PyTorch in x's dtype."""
    x, weight, bias = (torch_leaf(a) for a in (x, weight, bias))
    mean, var = (torch.tensor(a) for a in running)
    out = torch.nn.functional.batch_norm(x, mean, var, weight, bias, training, momentum, eps)
    out.backward(torch.tensor(grad_out))
    return [a.detach().numpy() for a in (out, x.grad, weight.grad, bias.grad, mean, var)]


@pytest.mark.parametrize("training", [True, False])
def test_reference_agrees_with_torch(training):
    rng = np.random.default_rng(1)
    x, grad_out = random(rng, 3, 4, 5, 2) * 3 + 1, random(rng, 3, 4, 5, 2)
    weight, bias, running_mean, running_var = random(rng, 4), random(rng, 4), random(rng, 4), rng.random(4) + 0.5
    expected = torch_batch_norm(x, weight, bias, (running_mean, running_var), grad_out, training)
    mean, variance = reference.batch_norm_statistics(x) if training else (running_mean, running_var)
    out = reference.batch_norm_forward(x, mean, variance, weight, bias, 1e-5)
    gradients = reference.batch_norm_grads(x, grad_out, mean, variance, weight, 1e-5, training)
    for actual, wanted in zip((out, *gradients), expected, strict=False):
        np.testing.assert_allclose(actual, wanted, rtol=1e-12, atol=1e-12)
    if training:
        count = x.size // 4
        new_mean = reference.batch_norm_running(running_mean, mean, 0.1)
        new_var = reference.batch_norm_running(running_var, variance * count / (count - 1), 0.1)
        np.testing.assert_allclose(new_mean, expected[4], rtol=1e-13)
        np.testing.assert_allclose(new_var, expected[5], rtol=1e-13)


@DTYPES
@pytest.mark.parametrize(
    ("rows", "channels", "rows_per_chunk"), [(1, 1, 1), (7, 3, 3), (64, 16, 16), (130, 33, 1), (9000, 3, 2)]
)
def test_kernels_agree_with_the_reference(dtype, rows, channels, rows_per_chunk):
    rng = np.random.default_rng(rows)
    x, grad_out = random(rng, rows, channels, dtype=dtype), random(rng, rows, channels, dtype=dtype)
    center, scale, shift, slope, grad_shift = random(rng, 5, channels, dtype=dtype)
    wide = kernels.wide_columns(channels, x.itemsize)
    rows_per_chunk *= wide // channels
    coefficients = np.tile(np.stack([center, scale, shift, scale, slope, grad_shift]), wide // channels)
    inputs = [x, grad_out, coefficients]
    before = [a.copy() for a in inputs]
    workspace = np.full((2, -(-rows // rows_per_chunk), wide), np.nan)
    first, second = np.full((2, channels), np.nan)
    sums = np.full((2, channels), np.nan)
    out = np.full_like(x, np.nan)
    close: dict[str, Any] = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] * 10}

    kernels.batch_norm_chunk_statistics(x, workspace, rows_per_chunk)
    kernels.batch_norm_statistics(workspace, rows, rows_per_chunk, first, second)
    mean, variance = reference.batch_norm_statistics(x)
    precision = {np.float32: 2e-7, np.float64: 1e-12}[dtype]  # runs of 64 numbers are summed in x's own precision
    np.testing.assert_allclose(first, mean, rtol=precision, atol=precision)
    np.testing.assert_allclose(second, variance, rtol=precision, atol=precision)

    normalised = reference.batch_norm_forward(x, center, np.ones(channels), scale, shift, 0)
    for lowest, expected in ((np.nan, normalised), (0, np.maximum(normalised, 0))):
        out.fill(np.nan)
        kernels.batch_norm_forward(x, coefficients, dtype(lowest), out, rows_per_chunk)
        np.testing.assert_allclose(out, expected, **close)

        gradient = np.where(expected > 0, grad_out, 0) if lowest == 0 else grad_out
        workspace.fill(np.nan)
        kernels.batch_norm_grad_sums(x, grad_out, coefficients, dtype(lowest), workspace, rows_per_chunk)
        sum_chunks(workspace, sums)
        _, sum_grad_x, sum_grad = reference.batch_norm_grads(
            x, gradient, center, np.ones(channels), np.ones(channels), 0, False
        )
        np.testing.assert_allclose(sums, [sum_grad, sum_grad_x], **close)

        for frozen in (False, True):
            out.fill(np.nan)
            kernels.batch_norm_grad_input(x, grad_out, coefficients, dtype(lowest), frozen, out, rows_per_chunk)
            expected = gradient.astype(np.float64) * scale
            if not frozen:
                expected = expected + (x.astype(np.float64) - center) * slope + grad_shift
            np.testing.assert_allclose(out, expected, **close)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def channels_last(array):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def every_second(array):
    """The same values, read with a stride of two along the last axis."""
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


@DTYPES
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ((5, 3), np.ascontiguousarray),
        ((4, 6, 5), np.ascontiguousarray),
        ((2, 5, 7, 3), channels_last),
        ((3, 17, 4, 5), every_second),
        ((1, 4, 2, 3), np.ascontiguousarray),
        ((8, 2, 160, 130), channels_last),  # several chunks of rows
    ],
)
def test_op_agrees_with_torch(dtype, training, shape, order):
    rng = np.random.default_rng(len(shape))
    channels = shape[1]
    x = order(random(rng, *shape, dtype=dtype) * 2 + 1)
    grad_out = order(random(rng, *shape, dtype=dtype))
    weight, bias, running_mean = random(rng, 3, channels, dtype=dtype)
    running_var = (rng.random(channels) + 0.5).astype(dtype)
    x_64, weight_64, bias_64, mean_64, var_64, grad_out_64 = (
        a.astype(np.float64) for a in (x, weight, bias, running_mean, running_var, grad_out)
    )
    expected = torch_batch_norm(x_64, weight_64, bias_64, (mean_64, var_64), grad_out_64, training)

    tensors = [leaf(a) for a in (x, weight, bias)]
    running = wrap(running_mean), wrap(running_var)
    before = x.copy()
    out = batch_norm(tensors[0], *running, *tensors[1:], training=training)
    out.backward(wrap(grad_out))
    actual = [out.array, *(t.grad.array for t in tensors), running_mean, running_var]
    for a, wanted in zip(actual, expected, strict=True):
        assert a.dtype == dtype
        bound = TOLERANCE[dtype] * max(1, abs(wanted).max())
        np.testing.assert_allclose(a, wanted, rtol=0, atol=bound)
    np.testing.assert_array_equal(x, before)
    assert running[0].version.count == running[1].version.count == int(training)
    assert np.moveaxis(out.array, 1, -1).flags.c_contiguous


@DTYPES
def test_a_large_mean_costs_no_digits(dtype):
    rng = np.random.default_rng(5)
    means = np.array([1e4, -1e4, 0]).reshape(1, 3, 1, 1)
    x = (random(rng, 64, 3, 20, 20) + means).astype(dtype)
    x[0, :, 0, 0] = 0  # the first element is far from the mean
    grad_out = random(rng, *x.shape, dtype=dtype)
    variable = leaf(x)
    out = batch_norm(variable, None, None, training=True)
    out.backward(wrap(grad_out))
    ones, zeros = np.ones(3), np.zeros(3)
    # Statistics in twice the digits: the reference's own float64 sums would not do for the float64 case.
    exact = x.astype(np.longdouble)
    mean = exact.mean((0, 2, 3))
    variance = exact.var((0, 2, 3))
    expected = (exact - mean.reshape(1, 3, 1, 1)) / np.sqrt(variance + 1e-5).reshape(1, 3, 1, 1)
    bound = {np.float32: 1e-6, np.float64: 1e-13}[dtype]
    np.testing.assert_allclose(out.array, expected.astype(np.float64), rtol=bound, atol=bound)
    grad_x, _, _ = reference.batch_norm_grads(
        x, grad_out, mean.astype(float), variance.astype(float), ones + zeros, 1e-5, True
    )
    np.testing.assert_allclose(variable.grad.array, grad_x, rtol=100 * bound, atol=100 * bound)


@pytest.mark.parametrize(("with_weight", "with_bias"), [(True, False), (False, True), (False, False)])
def test_weight_and_bias_may_be_missing(with_weight, with_bias):
    rng = np.random.default_rng(6)
    x, grad_out = random(rng, 4, 3, 2, 2), random(rng, 4, 3, 2, 2)
    weight = leaf(random(rng, 3)) if with_weight else None
    bias = leaf(random(rng, 3)) if with_bias else None
    variable = leaf(x)
    out = batch_norm(variable, None, None, weight, bias, True)
    out.backward(wrap(grad_out))
    as_torch: list[Any] = [None if t is None else torch_leaf(t.array) for t in (variable, weight, bias)]
    expected = torch.nn.functional.batch_norm(as_torch[0], None, None, as_torch[1], as_torch[2], True)
    expected.backward(torch.tensor(grad_out))
    np.testing.assert_allclose(out.array, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    for ours, theirs in zip((variable, weight, bias), as_torch, strict=True):
        if ours is not None:
            np.testing.assert_allclose(ours.grad.array, theirs.grad.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 1.0])
def test_momentum_and_eps(momentum):
    rng = np.random.default_rng(7)
    x = random(rng, 6, 2, 3)
    mean, var = random(rng, 2), rng.random(2) + 1
    expected_mean, expected_var = torch.tensor(mean), torch.tensor(var)
    expected = torch.nn.functional.batch_norm(
        torch.tensor(x), expected_mean, expected_var, None, None, True, momentum, 0.3
    )
    out = batch_norm(wrap(x), wrap(mean), wrap(var), training=True, momentum=momentum, eps=0.3)
    np.testing.assert_allclose(out.array, expected.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mean, expected_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(var, expected_var.numpy(), rtol=1e-12)


def test_only_wanted_gradients_are_computed():
    rng = np.random.default_rng(8)
    weight = leaf(random(rng, 3))
    x = wrap(random(rng, 4, 3))
    batch_norm(x, None, None, weight, None, True).backward(wrap(random(rng, 4, 3)))
    assert weight.grad is not None
    assert x.grad is None


def test_evaluation_gradient_survives_a_later_change_of_the_running_statistics():
    rng = np.random.default_rng(9)
    x, mean, var = leaf(random(rng, 4, 3)), wrap(random(rng, 3)), wrap(rng.random(3) + 1)
    grad_out = random(rng, 4, 3)
    expected = grad_out / np.sqrt(var.array + 1e-5)
    out = batch_norm(x, mean, var)
    var.array[...] = 9
    out.backward(wrap(grad_out))
    np.testing.assert_allclose(x.grad.array, expected, rtol=1e-12)


def test_empty_batch():
    x, weight, mean = leaf(np.empty((0, 3, 4, 4))), leaf(np.ones(3)), wrap(np.ones(3))
    out = batch_norm(x, mean, wrap(np.ones(3)), weight, training=True)
    out.backward(wrap(np.empty((0, 3, 4, 4))))
    assert out.array.shape == x.grad.array.shape == (0, 3, 4, 4)
    np.testing.assert_array_equal(weight.grad.array, np.zeros(3))
    np.testing.assert_array_equal(mean.array, np.ones(3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_travel_as_in_torch(value):
    x = np.random.default_rng(10).standard_normal((20, 3, 2, 2))
    x[7, 1, 0, 1] = value
    mean, var = np.zeros(3), np.ones(3)
    expected_mean, expected_var = torch.zeros(3, dtype=torch.double), torch.ones(3, dtype=torch.double)
    expected = torch.nn.functional.batch_norm(torch.tensor(x), expected_mean, expected_var, training=True)
    variable = leaf(x)
    out = batch_norm(variable, wrap(mean), wrap(var), training=True)
    out.backward(wrap(np.ones_like(x)))
    assert np.isnan(variable.grad.array[:, 1]).all()
    np.testing.assert_allclose(out.array, expected.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mean, expected_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(var, expected_var.numpy(), rtol=1e-12)


def test_results_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(11)
    x, grad_out = random(rng, 8, 6, 64, 64, dtype=np.float32), random(rng, 8, 6, 64, 64, dtype=np.float32)

    def run(count):
        threads.set_num_threads(count)
        variable, weight = leaf(x), leaf(np.ones(6, np.float32))
        out = batch_norm(variable, None, None, weight, training=True)
        out.backward(wrap(grad_out))
        return out.array, variable.grad.array, weight.grad.array

    before = threads.get_num_threads()
    try:
        results = [run(count) for count in (1, threads.max_num_threads())]
    finally:
        threads.set_num_threads(before)
    for one, many in zip(*results, strict=True):
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("follows", ["nothing", "relu", "relu, pool", "pool", "a look between"])
def test_second_derivatives_are_torchs(training, follows):
    rng = np.random.default_rng(12)
    numbers = [rng.standard_normal(s) for s in ((3, 2, 6, 5), (2,), (2,), (2,))]
    variance, g = rng.random(2) + 0.5, rng.standard_normal((3, 2, 6, 5))
    results = []
    for library in (convcore, torch):
        x, weight, bias = (library.tensor(a, requires_grad=True) for a in numbers[:3])
        image = (x * x).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # as the fused kernels want it
        functional = library.nn.functional
        mean, var = library.tensor(numbers[3]), library.tensor(variance)
        out = functional.batch_norm(image, mean, var, weight, bias, training)
        kept = out.sum() if follows == "a look between" else 0
        if "relu" in follows or follows == "a look between":
            out = functional.relu(out)
        if "pool" in follows:
            out = functional.max_pool2d(out, 2)
        total = (out * out * library.tensor(g)[:, :, : out.shape[2], : out.shape[3]]).sum() + kept
        first = library.autograd.grad(total, [x, weight, bias], create_graph=True)
        cubes: Any = [(f**3).sum() for f in first]
        (cubes[0] + cubes[1] + cubes[2]).backward()
        results.append([*[f.detach().numpy() for f in first], x.grad.numpy(), weight.grad.numpy(), bias.grad.numpy()])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("shape", "sizes", "training", "message"),
    [
        ((3,), (3, 3, 3, 3), True, r"input must have a batch axis and a channel axis.*\(3,\)"),
        ((2, 3, 4), (5, 3, 3, 3), True, r"running_mean must have one element for each of input's 3 channels"),
        ((2, 3, 4), (3, 2, 3, 3), True, r"running_var must have.*\n.*\(2, 3, 4\).*N, C"),
        ((2, 3, 4), (3, 3, 4, 3), False, r"weight must have one element.*shape \(3,\)\n.*\n.*weight"),
        ((2, 3, 4), (3, 3, 3, 1), False, r"bias must have one element"),
        ((1, 3), (3, 3, 3, 3), True, r"Expected more than 1 value per channel when training, got input size \(1, 3\)"),
        ((1, 3, 1, 1), (3, 3, 3, 3), True, r"Expected more than 1 value per channel"),
    ],
)
def test_wrong_shapes(shape, sizes, training, message):
    with pytest.raises(ShapeError, match=message):
        batch_norm(wrap(np.ones(shape)), *(wrap(np.ones(size)) for size in sizes), training=training)


def test_one_value_per_channel_is_fine_in_evaluation():
    out = batch_norm(wrap(np.full((1, 3), 2.0)), wrap(np.ones(3)), wrap(np.ones(3)), eps=0.0)
    np.testing.assert_array_equal(out.array, np.ones((1, 3)))


def test_evaluation_needs_running_statistics():
    with pytest.raises(ShapeError, match=r"evaluation needs running_mean and running_var.*training=True"):
        batch_norm(wrap(np.ones((2, 3))), None, wrap(np.ones(3)))


def test_wrong_dtypes():
    with pytest.raises(DTypeError, match=r"batch_norm: input must be float32 or float64, got int64"):
        batch_norm(wrap(np.ones((2, 3), np.int64)), None, None, training=True)
    with pytest.raises(DTypeError, match=r"all tensors must have one dtype, got input float64, weight float32"):
        batch_norm(wrap(np.ones((2, 3))), None, None, wrap(np.ones(3, np.float32)), training=True)
    with pytest.raises(DTypeError, match=r"batch_norm: weight must be a tensor, got ndarray"):
        batch_norm(wrap(np.ones((2, 3))), None, None, np.ones(3), training=True)  # pyright: ignore


@pytest.mark.parametrize(("eps", "training"), [(0.0, True), (-1.0, True), (-1e-5, True), (-1e-5, False), (-1, False)])
def test_eps_is_no_less_than_the_square_root_needs(eps, training):
    with pytest.raises(ShapeError, match=rf"batch_norm: eps must be (above 0|at least 0).*, got {eps};"):
        batch_norm(wrap(np.ones((2, 3))), wrap(np.ones(3)), wrap(np.ones(3)), training=training, eps=eps)

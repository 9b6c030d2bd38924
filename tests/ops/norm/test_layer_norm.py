"""Norms of rows: the reference against PyTorch, the kernels against the reference, threads, wrong arguments."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore as cc
import convcore.nn.functional as F
from convcore.errors import DTypeError, ShapeError
from convcore.testing import gradgradcheck
from kernels import threads
from kernels.cpu.norm import layer_norm as kernels
from kernels.cpu.reduce import sum_chunks
from kernels.reference import norm as reference

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
# Tails of every vector's length, a row longer than a run, one element, no rows.
SHAPES = [(3, 1), (5, 7), (70, 16), (67, 33), (2, 1100), (1, 5000), (0, 8)]


def arrays(shape, dtype):
    rng = np.random.default_rng(sum(shape))
    x, grad_out = rng.standard_normal((2, *shape)).astype(dtype)
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype)
    return x * 3 + 5, grad_out, weight, bias


def forward(x, weight, bias, centered, rows_per_chunk):
    out, mean, invstd = np.full_like(x, np.nan), np.full(len(x), np.nan), np.full(len(x), np.nan)
    kernels.layer_norm_forward(x, weight, bias, 1e-3, centered, out, mean, invstd, rows_per_chunk)
    return out, mean, invstd


def backward(x, grad_out, weight, mean, invstd, centered, rows_per_chunk):
    grad_x, sums = np.full_like(x, np.nan), np.full((2, weight.size), np.nan)
    workspace = np.full((2, -(-len(x) // rows_per_chunk), weight.size), np.nan)
    kernels.layer_norm_grads(x, grad_out, weight, mean, invstd, centered, grad_x, workspace, rows_per_chunk)
    sum_chunks(workspace, sums)
    return grad_x, *sums


def test_reference_agrees_with_torch():
    x, grad_out, weight, bias = arrays((6, 9), np.float64)
    variable, w, b = (torch.tensor(a, requires_grad=True) for a in (x, weight, bias))
    for centered in (True, False):
        if centered:
            expected = torch.nn.functional.layer_norm(variable, (9,), w, b, 1e-3)
        else:
            expected = torch.nn.functional.rms_norm(variable, (9,), w, 1e-3) + b
        np.testing.assert_allclose(
            reference.layer_norm_forward(x, weight, bias, 1e-3, centered), expected.detach().numpy(), rtol=1e-12
        )
        gradients = torch.autograd.grad(expected, (variable, w, b), torch.tensor(grad_out))
        for ours, theirs in zip(
            reference.layer_norm_grads(x, grad_out, weight, 1e-3, centered), gradients, strict=True
        ):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_agree_with_the_reference(shape, centered, dtype):
    x, grad_out, weight, bias = arrays(shape, dtype)
    tolerance: dict[str, Any] = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] * 10}
    for w, b in ((weight, bias), (weight[:0], bias[:0])):
        before = [a.copy() for a in (x, grad_out, w, b)]
        out, mean, invstd = forward(x, w, b, centered, 3)
        gradients = backward(x, grad_out, w, mean, invstd, centered, 3)
        whole_w, whole_b = (weight, bias) if w.size else (np.ones_like(weight), np.zeros_like(bias))
        expected = reference.layer_norm_forward(x, whole_w, whole_b, 1e-3, centered)
        np.testing.assert_allclose(out, expected, **tolerance)
        expected = reference.layer_norm_grads(x, grad_out, whole_w, 1e-3, centered)
        for ours, theirs in list(zip(gradients, expected, strict=True))[: 3 if w.size else 1]:
            np.testing.assert_allclose(ours, theirs, **tolerance)
        for array, copy in zip((x, grad_out, w, b), before, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_threads_change_nothing():
    x, grad_out, weight, bias = arrays((67, 33), np.float32)
    results = []
    before = threads.get_num_threads()
    try:
        for count in (1, threads.max_num_threads()):
            threads.set_num_threads(count)
            out, mean, invstd = forward(x, weight, bias, True, 4)
            results.append([out, *backward(x, grad_out, weight, mean, invstd, True, 4)])
    finally:
        threads.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_large_mean_costs_no_digits_and_infinity_spreads_over_its_row_alone():
    x = np.random.default_rng(0).standard_normal((4, 64)) + 1e4
    out = F.layer_norm(cc.tensor(x, dtype=cc.float32), 64).numpy()
    expected = reference.layer_norm_forward(x.astype(np.float32), 1, 0, 1e-5, True)
    np.testing.assert_allclose(out, expected, atol=1e-4)
    x[1, 3], x[2, 0] = np.inf, np.nan
    out = F.layer_norm(cc.tensor(x), 64).numpy()
    assert np.isnan(out[1:3]).all()
    assert np.isfinite(out[[0, 3]]).all()


def test_second_derivatives():
    x, _, weight, bias = (cc.tensor(a, requires_grad=True) for a in arrays((3, 4), np.float64))
    assert gradgradcheck(lambda *t: F.layer_norm(t[0], (4,), *t[1:]), [x, weight, bias])
    assert gradgradcheck(lambda *t: F.rms_norm(t[0], (4,), t[1]), [x, weight])


ROWS, IMAGES, FOUR = cc.ones(2, 4), cc.ones(2, 4, 3), cc.ones(4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.layer_norm(ROWS, 3), ShapeError, r"must end with the axes normalized_shape = \(3,\)"),
        (lambda: F.layer_norm(ROWS, ()), ShapeError, r"normalized_shape = \(\)"),
        (lambda: F.layer_norm(ROWS, (3, 2, 4)), ShapeError, r"normalized_shape = \(3, 2, 4\)"),
        (lambda: F.rms_norm(ROWS, 4, cc.ones(3)), ShapeError, r"rms_norm: weight must have the shape .*\(4,\)"),
        (lambda: F.layer_norm(ROWS, 4, FOUR.double()), DTypeError, "all tensors must have one dtype"),
        (lambda: F.group_norm(IMAGES, 3), ShapeError, "divisible by num_groups = 3"),
        (lambda: F.group_norm(ROWS[0], 2), ShapeError, "divisible by num_groups = 2"),
        (lambda: F.group_norm(ROWS[:1], 4), ShapeError, "Expected more than 1 value per channel"),
        (lambda: F.group_norm(IMAGES, 2, cc.ones(3)), ShapeError, "weight must have one element for each of the 4"),
        (lambda: F.instance_norm(ROWS), ShapeError, "Expected more than 1 spatial element"),
        (lambda: F.instance_norm(FOUR), ShapeError, r"must have the shape \(N, C, ...\)"),
        (lambda: F.instance_norm(IMAGES, weight=cc.ones(3)), ShapeError, "weight must have one element for each of 4"),
        (lambda: F.local_response_norm(ROWS, 2), ShapeError, "must have 3 or more axes"),
        (lambda: F.local_response_norm(IMAGES, 0), ShapeError, "size must be at least 1"),
        (lambda: cc.nn.GroupNorm(3, 4), ShapeError, "num_channels = 4 must be divisible by num_groups = 3"),
        (lambda: cc.nn.InstanceNorm1d(3, affine=True)(IMAGES), ShapeError, "has not num_features = 3 channels"),
        (lambda: cc.nn.InstanceNorm2d(3)(ROWS), ShapeError, "must have 3 axes .* or 4 axes"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_instance_norm_of_other_channels_warns():
    with pytest.warns(UserWarning, match="has not num_features = 3 channels(.|\n)*which does not matter"):
        cc.nn.InstanceNorm1d(3)(IMAGES)

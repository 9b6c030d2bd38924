"""Padding against PyTorch, its gradients, and what it refuses; the kernel of sparse maps against its definition."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.nn import functional as F
from convcore.ops.image.resample import axis_map
from convcore.testing import gradcheck, gradgradcheck
from kernels.cpu.image import resample_axis
from kernels.reference import image as reference
from kernels.threads import max_num_threads

pad: Any = F.pad
CASES = [
    ("constant", (3, 4), (1, 2)),
    ("constant", (3, 4, 5), (-1, 2, 0, -2, 3, 1)),
    ("constant", (2, 3), (-3, 1)),
    ("constant", (2, 3, 4, 5, 2, 1), (1, 0, 2, 1)),
    ("constant", (0, 3), (1, 1, 2, 0)),
    ("constant", (), ()),
    *[
        case
        for mode in ("reflect", "replicate", "circular")
        for case in (
            (mode, (2, 3, 7), (3, 2)),
            (mode, (3, 7), (-1, 4)),
            (mode, (2, 3, 6, 5), (2, 3, 4, 1)),
            (mode, (3, 6, 5), (0, -2, 1, 0)),
            (mode, (1, 2, 4, 3, 5), (4, 3, 1, 2, 0, 3)),
            (mode, (2, 4, 3, 5), (-1, -2, 2, 0, 1, -1)),
            (mode, (0, 2, 4), (1, 2)),
        )
    ],
    ("replicate", (1, 1, 2), (5, 4)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("mode", "shape", "sizes"), CASES)
def test_values_and_gradients_agree_with_torch(mode, shape, sizes, dtype):
    data = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    x, t = convcore.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    options = {"value": 1.5} if mode == "constant" else {}
    out, expected = pad(x, sizes, mode, **options), torch.nn.functional.pad(t, sizes, mode, **options)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out.detach().numpy(), expected.detach().numpy())
    cotangent = np.random.default_rng(1).integers(-4, 5, tuple(expected.shape)).astype(dtype)
    out.backward(convcore.tensor(cotangent))
    expected.backward(torch.tensor(cotangent))
    assert x.grad is not None
    assert t.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), t.grad.numpy())


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_second_derivatives(mode):
    x = convcore.tensor(np.random.default_rng(0).standard_normal((1, 1, 4, 3)), requires_grad=True)

    def function(x):
        return pad(x * x, (2, 1, -1, 3), mode)

    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))


@pytest.mark.parametrize("mode", ["constant", "circular"])
def test_integers_and_memory_order(mode):
    data = np.arange(24).reshape(1, 2, 3, 4)
    expected = torch.nn.functional.pad(torch.tensor(data), (1, 2, 1, 0), mode).numpy()
    for array in (data, np.asfortranarray(data), data[:, :, ::-1].copy()[:, :, ::-1]):
        out = pad(convcore.autograd.wrap(array), (1, 2, 1, 0), mode)
        assert out.dtype == np.int64
        np.testing.assert_array_equal(out.numpy(), expected)
    block = data.astype(np.float32).transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    out = pad(convcore.autograd.wrap(block), (1, 2, 1, 0), mode)
    assert out.array.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("inner", [1, 3, 8, 37])
def test_kernel_agrees_with_its_definition(inner, dtype):
    rng = np.random.default_rng(inner)
    matrix = axis_map(7, rng.integers(0, 7, (45, 3)), rng.standard_normal((45, 3)))
    for sparse in (matrix, matrix.transposed):
        x = rng.standard_normal((3, sparse.size_in, inner)).astype(dtype)
        out, weights = np.full((3, sparse.size_out, inner), np.nan, dtype), sparse.weights.astype(dtype)
        results, before = [], convcore.get_num_threads()
        try:
            for threads in (1, max_num_threads()):
                convcore.set_num_threads(threads)
                resample_axis(x, out, sparse.first, sparse.sources, weights)
                results.append(out.tobytes())
        finally:
            convcore.set_num_threads(before)
        right = reference.resample_axis(x, sparse.first, sparse.sources, weights)
        np.testing.assert_allclose(out, right, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-5)
        assert results[0] == results[1]


X = convcore.ones(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pad(X, (1, 2, 3)), ShapeError, "pad must hold two sizes for each of at most 4 axes, .*, got 3 sizes"),
        (lambda: pad(X, (1,) * 10), ShapeError, "at most 4 axes"),
        (lambda: pad(X, (1.5, 2)), DTypeError, r"pad\[0\] must be an integer, got 1.5"),
        (lambda: pad(X, (-3, -3)), ShapeError, r"\(-3, -3\) cuts off more than the 5 values of axis 3"),
        (lambda: pad(X, (-6, 3)), ShapeError, "cuts off more than the 5 values of axis 3"),
        (lambda: pad(X, (-3, -2, 0, 0), "reflect"), ShapeError, "size 0, it must have at least 1"),
        (lambda: pad(X, (1, 1), "mirror"), UnsupportedError, "mode must be one of 'constant', .*, got 'mirror'"),
        (lambda: pad(X, (1, 1, 1, 1), "reflect", 2.0), UnsupportedError, "mode 'reflect' takes no value, got 2.0"),
        (lambda: pad(X, (1, 1), "reflect"), ShapeError, r"takes one pair of sizes for \(N, C, L\), .* got 1 for shape"),
        (lambda: pad(X, (5, 0, 0, 0), "reflect"), ShapeError, "can add at most 4 values to an axis of size 5, got 5"),
        (lambda: pad(X, (6, 0, 0, 0), "circular"), ShapeError, "can add at most 5 values to an axis of size 5, got 6"),
        (lambda: pad(convcore.ones(2, 0, 4), (1, 1), "reflect"), ShapeError, "empty in its batch axis at most"),
        (lambda: pad([1, 2], (1, 1)), DTypeError, "input must be a tensor, got list"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

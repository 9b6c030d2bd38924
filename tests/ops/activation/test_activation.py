"""Activations: kernels against the reference, ops and layers against torch over the sample inputs of its own tests."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db

import convcore
import convcore.nn.functional as F
from convcore.errors import DTypeError
from convcore.testing import gradgradcheck
from kernels.cpu.activation import functions as kernels
from kernels.cpu.elementwise.functions import CHUNK
from kernels.reference import activation as reference
from kernels.threads import get_num_threads, max_num_threads, set_num_threads

SETTINGS: dict[str, tuple[float, ...]] = {
    "elu": (1.3, 1.1, 0.7),
    "gelu": (),
    "gelu_tanh": (),
    "hardsigmoid": (),
    "hardswish": (),
    "hardtanh": (-1.0, 2.0),
    "leaky_relu": (0.1,),
    "logsigmoid": (),
    "mish": (),
    "silu": (),
    "softplus": (1.5, 10.0),
}
OPS = [
    "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "relu6", "selu",
    "silu", "softplus",
]  # fmt: skip
IN_PLACE = ["celu", "elu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish", "relu6", "selu", "silu"]
INFOS = {info.name.removeprefix("nn.functional."): info for info in op_db if not info.variant_test_name}


def torch_function(op):
    return getattr(torch.nn.functional, op)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SETTINGS)
def test_kernels_against_reference(name, dtype):
    pair, settings = getattr(kernels, name), SETTINGS[name]
    x = np.linspace(-30, 30, 2 * CHUNK + 7).astype(dtype)
    grad_out = np.random.default_rng(0).standard_normal(x.size).astype(dtype)
    inputs = x.copy(), grad_out.copy()
    out, grad_x = np.full_like(x, np.nan), np.full_like(x, np.nan)
    pair.forward(x, out, settings)
    pair.grad_input(grad_out, x, grad_x, settings)
    wide = x.astype(np.float64)
    value = getattr(reference, name)(wide, *settings)
    slope = getattr(reference, f"{name}_derivative")(wide, *settings)
    eps = np.finfo(dtype).eps
    assert np.abs((out - value) / np.maximum(1, np.abs(value))).max() < 3 * eps
    assert np.abs(grad_x - grad_out * slope).max() < 5 * eps * np.abs(grad_out).max()
    np.testing.assert_array_equal(x, inputs[0])
    np.testing.assert_array_equal(grad_out, inputs[1])


@pytest.mark.parametrize("name", SETTINGS)
def test_kernels_have_a_reference_and_every_length_works(name):
    pair, settings = getattr(kernels, name), SETTINGS[name]
    for length in range(20):
        x = np.linspace(-2, 2, length).astype(np.float32)
        out, grad_x = np.full(length + 1, 7, np.float32), np.full(length + 1, 7, np.float32)
        pair.forward(x, out[:length], settings)
        pair.grad_input(np.ones_like(x), x, grad_x[:length], settings)
        wide = x.astype(np.float64)
        np.testing.assert_allclose(out[:length], getattr(reference, name)(wide, *settings), atol=1e-6)
        slope = getattr(reference, f"{name}_derivative")(wide, *settings)
        np.testing.assert_allclose(grad_x[:length], slope, atol=1e-6)
        assert out[length] == grad_x[length] == 7


def test_any_number_of_threads_gives_the_same_bits():
    x = convcore.from_numpy(np.random.default_rng(0).standard_normal(3 * CHUNK + 5, np.float32)).requires_grad_()
    results = []
    before = get_num_threads()
    for threads in (1, max_num_threads()):
        set_num_threads(threads)
        out = F.gelu(x)
        (grad_x,) = convcore.autograd.grad(out, x, convcore.ones_like(out))
        results.append((out.detach().numpy().tobytes(), grad_x.numpy().tobytes()))
    set_num_threads(before)
    assert results[0] == results[1]


def same(ours, theirs, dtype, tolerance=1e-14):
    tolerance = 2e-6 if dtype == torch.float32 else tolerance
    assert ours.dtype == np.dtype(str(dtype).removeprefix("torch."))
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance, strict=True
    )


def gradient_tolerance(op):
    """In float64; torch multiplies the gradient of hardsigmoid by 1/6 in float32."""
    return 4e-8 if op == "hardsigmoid" else 1e-14


def ours(value):
    """An argument of a sample for convcore: tensors with the same strides."""
    if not isinstance(value, torch.Tensor):
        return value
    return convcore.from_numpy(value.detach().numpy()).requires_grad_(value.requires_grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("op", OPS)
def test_samples_of_torch(op, dtype):
    info, count = INFOS[op], 0
    for sample in info.sample_inputs("cpu", dtype, requires_grad=True):
        for stride in (1, 2):
            given = sample.input.detach()
            if stride == 2 and given.ndim:
                given = given.repeat_interleave(2, -1)[..., ::2]
            given = given.requires_grad_()
            kwargs = dict(sample.kwargs)
            out = getattr(F, op)(x := ours(given), *sample.args, **kwargs)
            right = torch_function(op)(given, *sample.args, **kwargs)
            same(out, right, dtype)
            grad_out = torch.randn(right.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
            (grad_x,) = convcore.autograd.grad(out, x, ours(grad_out), retain_graph=True)
            (right_grad_x,) = torch.autograd.grad(right, given, grad_out)
            same(grad_x, right_grad_x, dtype, gradient_tolerance(op))
            (again,) = convcore.autograd.grad(out, x, ours(grad_out), create_graph=True)
            same(again, right_grad_x, dtype, gradient_tolerance(op))
            count += 1
    assert count


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("op", [*OPS, "erf", "relu", "sigmoid", "tanh"])
def test_special_values(op, dtype):
    values = torch.tensor(
        [0.0, -0.0, torch.nan, torch.inf, -torch.inf, 3.0, -3.0, 6.0, 1.0, -1.0, 100.0, -100.0, 1e30, -1e30],
        dtype=dtype,
        requires_grad=True,
    )
    ours_function, theirs = (convcore.erf, torch.erf) if op == "erf" else (getattr(F, op), torch_function(op))
    x = ours(values)
    wide = values.detach().double().requires_grad_()  # with vectors of 64 bytes torch's gelu(inf) of float32 is NaN
    out, right = ours_function(x), theirs(wide)
    same(out, right.to(dtype), dtype)
    (grad_x,) = convcore.autograd.grad(out, x, convcore.ones_like(out))
    (right_grad_x,) = torch.autograd.grad(right, wide, torch.ones_like(right))
    finite = np.isfinite(values.detach().numpy())  # elsewhere torch's own vectors and single values differ
    right_grad_x = right_grad_x[torch.tensor(finite)].to(dtype)
    same(grad_x[convcore.from_numpy(finite)], right_grad_x, dtype, gradient_tolerance(op))


@pytest.mark.parametrize("op", [*OPS, "erf"])
def test_second_derivatives(op):
    # Not at the corners, where one side's difference quotient says nothing.
    x = convcore.tensor([-4.0, -2.5, -0.7, 0.3, 1.2, 2.6, 7.0], dtype=convcore.float64, requires_grad=True)
    function = convcore.erf if op == "erf" else getattr(F, op)
    assert gradgradcheck(lambda x: function(x) ** 2, x)


def test_second_derivative_of_gelu_with_tanh():
    x = convcore.tensor([-4.0, -0.7, 0.3, 2.6], dtype=convcore.float64, requires_grad=True)
    assert gradgradcheck(lambda x: F.gelu(x, approximate="tanh"), x)


@pytest.mark.parametrize("op", IN_PLACE)
def test_in_place(op):
    values = np.random.default_rng(0).standard_normal((3, 5), np.float32) * 3
    leaf: Any = convcore.from_numpy(values).requires_grad_()
    other = torch.tensor(values, requires_grad=True)
    x, y = leaf * 1, other * 1
    assert getattr(F, op)(x, inplace=True) is x
    torch_function(op)(y, inplace=True)
    same(x, y, torch.float32)
    x.sum().backward()
    y.sum().backward()
    assert other.grad is not None
    same(leaf.grad, other.grad, torch.float32)


LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("CELU", {"alpha": 0.5}),
    ("ELU", {"alpha": 0.5, "inplace": True}),
    ("GELU", {"approximate": "tanh"}),
    ("Hardsigmoid", {}),
    ("Hardswish", {}),
    ("Hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("LogSigmoid", {}),
    ("Mish", {}),
    ("ReLU6", {"inplace": True}),
    ("SELU", {}),
    ("SiLU", {}),
    ("Softplus", {"beta": 2.0, "threshold": 1.0}),
]


@pytest.mark.parametrize(("name", "settings"), LAYERS)
def test_layers(name, settings):
    values = np.random.default_rng(0).standard_normal((2, 3, 4, 5), np.float32) * 3
    layer, other = getattr(convcore.nn, name)(**settings), getattr(torch.nn, name)(**settings)
    same(layer(convcore.tensor(values)), other(torch.tensor(values)), torch.float32)
    assert repr(layer) == repr(other)


@pytest.mark.parametrize("op", OPS)
def test_other_dtypes_are_refused(op):
    with pytest.raises(DTypeError, match=f"{op}: input must be float32 or float64, got bool"):
        getattr(F, op)(convcore.tensor([True, False]))


def test_integers_have_limits():
    x = convcore.tensor([-9, -1, 0, 5, 9])
    assert F.relu6(x).tolist() == [0, 0, 0, 5, 6]
    assert F.hardtanh(x, -2, 3, inplace=True) is x
    assert x.tolist() == [-2, -1, 0, 3, 3]


def test_settings_are_checked():
    x = convcore.ones(3)
    with pytest.raises(DTypeError, match="celu: alpha must not be 0"):
        F.celu(x, alpha=0.0)
    with pytest.raises(DTypeError, match="gelu: approximate must be 'none' or 'tanh', got 'erf'"):
        F.gelu(x, approximate="erf")
    with pytest.raises(DTypeError, match="hardtanh: min_val must not exceed max_val, got 2 and 1"):
        F.hardtanh(x, 2, 1)
    with pytest.raises(DTypeError, match="softplus: beta must not be 0"):
        F.softplus(x, beta=0)

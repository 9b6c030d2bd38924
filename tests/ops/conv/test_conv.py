"""conv2d: the reference against PyTorch, every algorithm against the reference, gradients, memory orders, threads."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import convcore
from convcore import memory
from convcore.ops.conv.functions import conv2d
from convcore.ops.conv.geometry import conv_geometry
from convcore.ops.conv.table import PASSES
from convcore.ops.core.filters import Filters
from convcore.testing import gradcheck, gradgradcheck
from convcore.testing.cases import SMALL_CASES, ConvCase
from kernels.threads import max_num_threads

FAST = ("direct", "im2col")
# The largest error, as a fraction of the largest result, for sums of up to 1000 products.
TOLERANCE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-14}
POINTWISE_CASES = (
    *(case for case in SMALL_CASES if case.name in ("pointwise-plain", "pointwise-ragged", "one_pixel")),
    ConvCase("pointwise-many_pixels", 5, 13, 17, 19, 35, (1, 1)),  # the sum over pixels has more than one part
    ConvCase("pointwise-few_pixels", 1, 33, 2, 1, 70, (1, 1)),  # turned round
    ConvCase("pointwise-empty_batch", 0, 3, 4, 4, 5, (1, 1)),
)
by_case = pytest.mark.parametrize("case", SMALL_CASES, ids=str)


def make_case(case: ConvCase, dtype: Any = np.float64, integers=False):
    """x, weight, bias, a random cotangent for the output, and the geometry."""
    rng = np.random.default_rng(sum(map(ord, case.name)))

    def draw(shape):
        return (rng.integers(-3, 4, shape) if integers else rng.standard_normal(shape)).astype(dtype)

    x, weight, bias = draw(case.x_shape), draw(case.weight_shape), draw((case.c_out,))
    geometry = conv_geometry("conv2d", x, weight, **case.settings)
    return x, weight, bias, draw(geometry.out_shape), geometry


def run_passes(algorithm, x, weight, bias, grad_out, geometry, dtype=None):
    """The results of all three passes; with `dtype` the inputs are converted first."""
    if dtype is not None:
        x, weight, bias, grad_out = (a.astype(dtype) for a in (x, weight, bias, grad_out))
    forward, grad_input, grad_weight = (
        getattr(next(a for a in PASSES[name] if a.name == algorithm), name) for name in PASSES
    )
    return (
        forward(x, Filters(weight, bias), geometry),
        grad_input(grad_out, weight, geometry),
        grad_weight(x, grad_out, geometry),
    )


def torch_passes(case, x, weight, bias, grad_out):
    tensors: list[Any] = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths", UserWarning)
        out = torch.nn.functional.conv2d(*tensors, **case.settings)
    out.backward(torch.tensor(grad_out))
    return out.detach().numpy(), tensors[0].grad.numpy(), tensors[1].grad.numpy(), tensors[2].grad.numpy()


def assert_within(actual, expected, tolerance, what):
    assert actual.shape == expected.shape, what
    scale = np.abs(expected).max(initial=0.0)
    error = np.abs(actual - expected).max(initial=0.0)
    assert error <= tolerance * max(scale, 1e-30), f"{what}: error {error:.3g} of {scale:.3g}"


@by_case
def test_reference_agrees_with_torch(case):
    x, weight, bias, grad_out, geometry = make_case(case)
    results = run_passes("reference", x, weight, bias, grad_out, geometry)
    for name, actual, expected in zip(PASSES, results, torch_passes(case, x, weight, bias, grad_out)[:3], strict=True):
        assert_within(actual, expected, 1e-13, name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("algorithm", FAST)
@by_case
def test_fast_algorithms_agree_with_the_reference(case, algorithm, dtype):
    x, weight, bias, grad_out, geometry = make_case(case, dtype)
    originals = [a.copy() for a in (x, weight, bias, grad_out)]
    results = run_passes(algorithm, x, weight, bias, grad_out, geometry)
    expected = run_passes("reference", x, weight, bias, grad_out, geometry, dtype=np.float64)
    for name, actual, right in zip(PASSES, results, expected, strict=True):
        assert actual.dtype == dtype
        assert_within(actual, right, TOLERANCE[np.dtype(dtype)], f"{algorithm} {name}")
    for array, original in zip((x, weight, bias, grad_out), originals, strict=True):
        np.testing.assert_array_equal(array, original)


@pytest.mark.parametrize("algorithm", FAST)
@by_case
def test_sums_of_small_integers_are_exact(case, algorithm):
    x, weight, bias, grad_out, geometry = make_case(case, np.float32, integers=True)
    results = run_passes(algorithm, x, weight, bias, grad_out, geometry)
    expected = run_passes("reference", x, weight, bias, grad_out, geometry)
    for name, actual, right in zip(PASSES, results, expected, strict=True):
        np.testing.assert_array_equal(actual, right, err_msg=f"{algorithm} {name}")


@pytest.mark.parametrize("case", POINTWISE_CASES, ids=str)
def test_pointwise_convolutions_are_exact_and_independent_of_threads(case):
    arrays = make_case(case, np.float32, integers=True)
    expected = run_passes("reference", *arrays)
    x, weight, bias, grad_out, geometry = make_case(case, np.float32)
    before, results = convcore.get_num_threads(), []
    try:
        for threads in (1, max_num_threads()):
            convcore.set_num_threads(threads)
            for name, actual, right in zip(PASSES, run_passes("pointwise", *arrays), expected, strict=True):
                np.testing.assert_array_equal(actual, right, err_msg=name)
            results.append([a.tobytes() for a in run_passes("pointwise", x, weight, bias, grad_out, geometry)])
    finally:
        convcore.set_num_threads(before)
    assert results[0] == results[1]


def test_a_pointwise_convolution_stays_in_channels_last_memory():
    out = conv2d(convcore.ones(2, 3, 4, 5), convcore.ones(7, 3, 1, 1), algorithm="pointwise")
    assert out.array.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("algorithm", FAST)
@by_case
def test_every_output_is_written(case, algorithm, monkeypatch):
    def poisoned(shape, dtype):
        return np.full(shape, np.nan, dtype)

    monkeypatch.setattr(memory, "empty", poisoned)
    x, weight, bias, grad_out, geometry = make_case(case, np.float32)
    for name, result in zip(PASSES, run_passes(algorithm, x, weight, bias, grad_out, geometry), strict=True):
        assert np.isfinite(result).all(), name


@pytest.mark.parametrize("algorithm", FAST)
@by_case
def test_passes_are_adjoint(case, algorithm):
    """<conv(x, w), g> = <x, grad_input(g, w)> = <w, grad_weight(x, g)> for a random g."""
    x, weight, bias, grad_out, geometry = make_case(case)
    out, grad_x, grad_weight = run_passes(algorithm, x, weight, 0 * bias, grad_out, geometry)
    inner = np.sum(out * grad_out)
    scale = max(np.sum(np.abs(out * grad_out)), 1e-30)
    assert abs(inner - np.sum(x * grad_x)) <= 1e-13 * scale
    assert abs(inner - np.sum(weight * grad_weight)) <= 1e-13 * scale


@pytest.mark.parametrize("algorithm", FAST)
@pytest.mark.parametrize("filters", [1, 2, 5, 19])
def test_groups_of_one_channel_under_filters_of_one_pixel(algorithm, filters):
    """The gradient of the input sums over filters that lie side by side in memory, for a single column."""
    arrays = make_case(ConvCase("one_channel", 2, 3, 4, 5, 3 * filters, (1, 1), groups=3), np.float32, integers=True)
    expected = run_passes("reference", *arrays)
    for name, actual, right in zip(PASSES, run_passes(algorithm, *arrays), expected, strict=True):
        np.testing.assert_array_equal(actual, right, err_msg=name)


@pytest.mark.parametrize("algorithm", [*FAST, "reference", "auto"])
def test_autograd_agrees_with_torch(algorithm):
    case = next(c for c in SMALL_CASES if c.name == "square3-stride")
    x, weight, bias, grad_out, _ = make_case(case)
    tensors: list[Any] = [convcore.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    out = conv2d(tensors[0], tensors[1], tensors[2], **case.settings, algorithm=algorithm)
    out.backward(convcore.tensor(grad_out))
    actual = (out.detach().numpy(), *(t.grad.numpy() for t in tensors))
    for a, right in zip(actual, torch_passes(case, x, weight, bias, grad_out), strict=True):
        assert_within(a, right, 1e-13, algorithm)


def test_only_wanted_gradients_are_computed():
    x, weight = convcore.ones(1, 2, 5, 5), convcore.ones(3, 2, 3, 3, requires_grad=True)
    conv2d(x, weight).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_first_and_second_derivatives():
    rng = np.random.default_rng(0)
    x, weight, bias = (
        convcore.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((2, 2, 5, 4), (4, 1, 3, 2), (4,))
    )

    def function(x, weight, bias):
        return conv2d(x, weight, bias, stride=(2, 1), padding=1, groups=2)

    assert gradcheck(function, (x, weight, bias))
    assert gradgradcheck(function, (x, weight, bias))


def _orders(array):
    """The same numbers in memory orders that users hand in."""
    n, c, h, w = array.shape
    larger = np.zeros((n, c, 2 * h, w + 3), array.dtype)
    larger[:, :, ::2, 1 : w + 1] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    return {
        "channels_last": np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "fortran": np.asfortranarray(array),
        "negative_strides": np.ascontiguousarray(array[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1],
        "slice_of_larger": larger[:, :, ::2, 1 : w + 1],
        "read_only": read_only,
    }


@pytest.mark.parametrize("order", ["channels_last", "fortran", "negative_strides", "slice_of_larger", "read_only"])
@pytest.mark.parametrize("algorithm", FAST)
def test_memory_order_of_the_inputs_does_not_matter(algorithm, order):
    case = next(c for c in SMALL_CASES if c.name == "square3-ragged")
    x, weight, bias, grad_out, geometry = make_case(case, np.float32)
    expected = run_passes(algorithm, x, weight, bias, grad_out, geometry)
    actual = run_passes(algorithm, _orders(x)[order], _orders(weight)[order], bias, _orders(grad_out)[order], geometry)
    for name, a, right in zip(PASSES, actual, expected, strict=True):
        np.testing.assert_array_equal(a, right, err_msg=name)


def test_a_chain_of_convolutions_never_converts_its_layout():
    x = convcore.ones(2, 3, 8, 8)
    out = conv2d(x, convcore.ones(5, 3, 3, 3))
    assert out.array.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("algorithm", FAST)
@by_case
def test_one_and_two_threads_give_the_same_bits(case, algorithm):
    arrays = make_case(case, np.float32)
    before = convcore.get_num_threads()
    try:
        convcore.set_num_threads(1)
        one = run_passes(algorithm, *arrays)
        convcore.set_num_threads(max_num_threads())
        two = run_passes(algorithm, *arrays)
    finally:
        convcore.set_num_threads(before)
    for name, a, b in zip(PASSES, one, two, strict=True):
        assert a.tobytes() == b.tobytes(), name


def test_nan_and_infinity_travel_as_in_torch():
    x = np.zeros((1, 2, 5, 5), np.float32)
    x[0, 0, 2, 2], x[0, 1, 0, 0] = np.nan, np.inf
    weight = np.ones((3, 2, 3, 3), np.float32)
    expected = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(weight), padding=1).numpy()
    for algorithm in FAST:
        out = conv2d(convcore.tensor(x), convcore.tensor(weight), padding=1, algorithm=algorithm).numpy()
        np.testing.assert_array_equal(out, expected)


def test_a_single_image_needs_no_batch_axis():
    rng = np.random.default_rng(1)
    x, weight = convcore.tensor(rng.standard_normal((3, 6, 7))), convcore.tensor(rng.standard_normal((4, 3, 3, 3)))
    single = conv2d(x, weight)
    assert single.shape == (4, 4, 5)
    np.testing.assert_array_equal(single.numpy(), conv2d(x.reshape(1, 3, 6, 7), weight).numpy()[0])


@st.composite
def convolutions(draw):
    """Random small convolutions that fit their image."""
    size = st.integers(1, 12)
    groups = draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    reach = [dilation[i] * (kernel[i] - 1) + 1 for i in range(2)]
    h, w = (max(draw(size), reach[i] - 2 * padding[i], 1) for i in range(2))
    return ConvCase(
        "random", draw(st.integers(1, 3)), groups * draw(st.integers(1, 9)), h, w, groups * draw(st.integers(1, 20)),
        kernel, (draw(st.integers(1, 4)), draw(st.integers(1, 4))), padding, dilation, groups,
    )  # fmt: skip


@given(case=convolutions())
def test_random_shapes_agree_with_the_reference(case):
    arrays = make_case(case, np.float32, integers=True)
    expected = run_passes("reference", *arrays)
    for algorithm in FAST:
        for name, actual, right in zip(PASSES, run_passes(algorithm, *arrays), expected, strict=True):
            np.testing.assert_array_equal(actual, right, err_msg=f"{algorithm} {name}")

"""Convolutions of series and volumes, and transposed ones: against PyTorch, exact sums, adjoints, gradients, errors."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import convcore
import convcore.nn.functional as F
from convcore import memory, ones
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.testing import gradcheck, gradgradcheck
from convcore.testing.cases import SPATIAL_CASES, SpatialCase
from kernels.threads import max_num_threads

TOLERANCE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-13}
by_case = pytest.mark.parametrize("case", SPATIAL_CASES, ids=str)
functions: Any = F


def make_case(case: SpatialCase, dtype: Any = np.float64, integers=False):
    """Input, weight, bias, and a function that draws more of their kind."""
    rng = np.random.default_rng(sum(map(ord, str(case))))

    def draw(shape):
        return (rng.integers(-3, 4, shape) if integers else rng.standard_normal(shape)).astype(dtype)

    return draw(case.x_shape), draw(case.weight_shape), draw((case.c_out,)), draw


def run(case: SpatialCase, arrays, cotangent, algorithm="auto"):
    """The output, and the gradients of all three inputs."""
    tensors: list[Any] = [convcore.tensor(a, requires_grad=True) for a in arrays]
    out = getattr(functions, case.op)(*tensors, **case.settings, algorithm=algorithm)
    out.backward(convcore.tensor(cotangent))
    return [out.detach().numpy(), *(t.grad.numpy() for t in tensors)]


def run_torch(case: SpatialCase, arrays, draw):
    """The same of PyTorch in float64, and the cotangent that it drew."""
    tensors: list[Any] = [torch.tensor(a.astype(np.float64), requires_grad=True) for a in arrays]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths", UserWarning)
        out = getattr(torch.nn.functional, case.op)(*tensors, **case.settings)
    cotangent = draw(tuple(out.shape))
    out.backward(torch.tensor(cotangent.astype(np.float64)))
    return [out.detach().numpy(), *(t.grad.numpy() for t in tensors)], cotangent


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("algorithm", ["auto", "direct", "reference"])
@by_case
def test_values_and_gradients_agree_with_torch(case, algorithm, dtype):
    *arrays, draw = make_case(case, dtype)
    originals = [a.copy() for a in arrays]
    expected, cotangent = run_torch(case, arrays, draw)
    for actual, right in zip(run(case, arrays, cotangent, algorithm), expected, strict=True):
        assert actual.dtype == dtype
        assert actual.shape == right.shape
        error = np.abs(actual - right).max(initial=0.0)
        assert error <= TOLERANCE[np.dtype(dtype)] * max(np.abs(right).max(initial=0.0), 1e-30)
    for array, original in zip(arrays, originals, strict=True):
        np.testing.assert_array_equal(array, original)


@by_case
def test_sums_of_small_integers_are_exact_and_every_result_is_written(case, monkeypatch):
    monkeypatch.setattr(memory, "empty", lambda shape, dtype: np.full(shape, np.nan, dtype))
    *arrays, draw = make_case(case, np.float32, integers=True)
    expected, cotangent = run_torch(case, arrays, draw)
    for actual, right in zip(run(case, arrays, cotangent, "direct"), expected, strict=True):
        np.testing.assert_array_equal(actual, right)


@by_case
def test_passes_are_adjoint(case):
    """<conv(x, w), g> = <x, grad_x> = <w, grad_weight> for a random g, and <1, g> summed by channels is grad_bias."""
    x, weight, bias, draw = make_case(case)
    _, cotangent = run_torch(case, (x, weight, bias), draw)
    out, grad_x, grad_weight, grad_bias = run(case, (x, weight, 0 * bias), cotangent, "direct")
    inner, scale = np.sum(out * cotangent), max(np.sum(np.abs(out * cotangent)), 1e-30)
    assert abs(inner - np.sum(x * grad_x)) <= 1e-13 * scale
    assert abs(inner - np.sum(weight * grad_weight)) <= 1e-13 * scale
    np.testing.assert_allclose(grad_bias, cotangent.sum((0, *range(2, cotangent.ndim))), rtol=1e-12, atol=1e-12)


@by_case
def test_one_and_two_threads_give_the_same_bits(case):
    *arrays, draw = make_case(case, np.float32)
    _, cotangent = run_torch(case, arrays, draw)
    before, results = convcore.get_num_threads(), []
    try:
        for threads in (1, max_num_threads()):
            convcore.set_num_threads(threads)
            results.append([a.tobytes() for a in run(case, arrays, cotangent)])
    finally:
        convcore.set_num_threads(before)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("op", "x", "weight", "options"),
    [
        ("conv1d", (2, 2, 7), (4, 1, 3), {"stride": 2, "padding": 1, "groups": 2}),
        ("conv3d", (1, 2, 3, 4, 3), (2, 2, 2, 2, 2), {"stride": (1, 2, 1), "padding": (1, 0, 1)}),
        ("conv_transpose1d", (2, 2, 4), (2, 3, 3), {"stride": 2, "output_padding": 1}),
        ("conv_transpose2d", (1, 2, 3, 2), (2, 2, 2, 3), {"dilation": 2, "padding": 1, "output_padding": 1}),
        ("conv_transpose3d", (1, 2, 2, 2, 2), (2, 1, 2, 2, 2), {"stride": 2, "groups": 2}),
    ],
)
def test_first_and_second_derivatives(op, x, weight, options):
    rng = np.random.default_rng(0)
    filters = weight[0] if "transpose" not in op else weight[1] * options.get("groups", 1)
    tensors = [convcore.tensor(rng.standard_normal(shape), requires_grad=True) for shape in (x, weight, (filters,))]
    assert gradcheck(lambda *t: getattr(functions, op)(*t, **options), tuple(tensors))
    assert gradgradcheck(lambda *t: getattr(functions, op)(*t, **options), tuple(tensors))


@pytest.mark.parametrize("op", ["conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"])
def test_a_single_example_needs_no_batch_axis_and_memory_order_does_not_matter(op):
    rank, rng = int(op[-2]), np.random.default_rng(1)
    x, weight = rng.standard_normal((4, *(7, 6, 5)[:rank])), rng.standard_normal((4, 4, *[3] * rank))
    convolve = getattr(functions, op)
    single = convolve(convcore.tensor(x), convcore.tensor(weight))
    batch = convolve(convcore.tensor(x[None]), convcore.tensor(weight))
    np.testing.assert_array_equal(single.numpy(), batch.numpy()[0])
    block = batch.array.transpose(0, *range(2, rank + 2), 1)
    assert block.flags.c_contiguous
    others = np.asfortranarray(x), x[::-1, ::-1].copy()[::-1, ::-1], np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0)
    for other in others:
        again = convolve(convcore.autograd.wrap(other), convcore.tensor(weight))
        np.testing.assert_array_equal(again.numpy(), single.numpy())


def test_nan_and_infinity_travel_as_in_torch():
    x = np.zeros((1, 2, 4, 5, 5), np.float32)
    x[0, 0, 1, 2, 2], x[0, 1, 0, 0, 0] = np.nan, np.inf
    weight = np.ones((3, 2, 3, 3, 3), np.float32)
    expected = torch.nn.functional.conv3d(torch.tensor(x), torch.tensor(weight), padding=1).numpy()
    np.testing.assert_array_equal(F.conv3d(convcore.tensor(x), convcore.tensor(weight), padding=1).numpy(), expected)


@st.composite
def volumes(draw):
    """Random small convolutions of volumes, plain and transposed, that fit."""

    def several(most, least=1):
        return tuple(draw(st.integers(least, most)) for _ in range(3))

    kernel, stride, dilation, padding = several(3), several(3), several(2), several(2, 0)
    groups = draw(st.integers(1, 2))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = tuple(max(s, r - 2 * p) for s, r, p in zip(several(5), reach, padding, strict=True))
    extra = None
    if draw(st.booleans()):
        extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
        size = tuple(max(s, 2 * p + 1) for s, p in zip(size, padding, strict=True))
    c_in, c_out = groups * draw(st.integers(1, 5)), groups * draw(st.integers(1, 9))
    n = draw(st.integers(1, 2))
    return SpatialCase("random", n, c_in, size, c_out, kernel, stride, padding, dilation, groups, extra)


@given(case=volumes())
def test_random_volumes_agree_with_torch(case):
    *arrays, draw = make_case(case, np.float32, integers=True)
    expected, cotangent = run_torch(case, arrays, draw)
    for actual, right in zip(run(case, arrays, cotangent), expected, strict=True):
        np.testing.assert_array_equal(actual, right)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: F.conv1d(ones(3, 3, 3, 3), ones(1, 3, 3)), ShapeError,
            r"conv1d: input must have 3 axes \(N, C, L\) or 2 \(C, L\), it has 4",
        ),
        (
            lambda: F.conv3d(ones(1, 3, 5, 5, 5), ones(3, 3, 3, 3)), ShapeError,
            r"conv3d: weight must have 5 axes \(C_out, C_in/groups, K_d, K_h, K_w\), it has 4",
        ),
        (
            lambda: F.conv3d(ones(1, 3, 5, 5, 5), ones(3, 2, 3, 3, 3)), ShapeError,
            r"input has 3 channels but weight expects 2 .*\n  input   .*N, C_in, D, H, W\n  weight .*K_d, K_h, K_w",
        ),
        (
            lambda: F.conv3d(ones(1, 3, 2, 5, 5), ones(3, 3, 3, 3, 3)), ShapeError,
            r"padded input's depth 2 \(2 \+ 0 \+ 0\) is smaller than the kernel's 3",
        ),
        (
            lambda: F.conv3d(ones(1, 3, 5, 5, 5), ones(3, 3, 3, 3, 3), stride=(1, 2)), ShapeError,
            r"stride must be one integer or three \(depth, height, width\), got \(1, 2\)",
        ),
        (
            lambda: F.conv1d(ones(1, 3, 5), ones(3, 3, 3), stride=(1, 2)), ShapeError,
            r"conv1d: stride must be one integer, got \(1, 2\)",
        ),
        (
            lambda: F.conv3d(ones(1, 3, 5, 5, 5), ones(3, 3, 3, 3, 3), algorithm="winograd"), UnsupportedError,
            "conv3d: there is no algorithm 'winograd'; it must be 'auto' or one of 'direct', 'reference'",
        ),
        (
            lambda: F.conv_transpose2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3)), ShapeError,
            r"input has 3 channels but weight expects 4 \(weight.shape\[0\]\)\n.*\n  weight .*  C_in, C_out/groups",
        ),
        (
            lambda: F.conv_transpose1d(ones(1, 3, 5), ones(3, 3, 3), groups=2), ShapeError,
            "groups must divide C_in, but 3 % 2 = 1",
        ),
        (
            lambda: F.conv_transpose1d(ones(1, 3, 5), ones(3, 3, 3), stride=2, output_padding=2), ShapeError,
            "output_padding must be smaller than stride or dilation, got 2 for the length with stride 2 and dilation 1",
        ),
        (
            lambda: F.conv_transpose1d(ones(1, 3, 1), ones(3, 3, 2), padding=1), ShapeError,
            r"the output's length must be at least 1, got 0 = \(1 - 1\) \* 1 - 2 \* 1 \+ 2 \+ 0",
        ),
        (
            lambda: F.conv_transpose3d(ones(1, 3, 5, 5, 5), ones(3, 2, 3, 3, 3), ones(3)), ShapeError,
            r"conv_transpose3d: bias must hold one value for each of the 2 output channels\n.*\n  bias    \(3,\)",
        ),
        (lambda: F.conv3d(ones(1, 3, 5, 5, 5), ones(3, 3, 3, 3, 3).double()), DTypeError, "conv3d: all tensors must"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

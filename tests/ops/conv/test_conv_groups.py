"""The algorithms "depthwise" and "grouped": every pass against the reference, threads, refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import convcore
from convcore import memory
from convcore.errors import UnsupportedError
from convcore.ops.conv.explain import explain_conv2d
from convcore.ops.conv.functions import conv2d
from convcore.ops.conv.geometry import conv_geometry
from convcore.ops.conv.table import PASSES
from convcore.ops.core.filters import Filters
from convcore.testing.cases import SMALL_CASES, ConvCase
from kernels.cpu.vector.target import lanes
from kernels.threads import max_num_threads


def depthwise(name, n, channels, h, w, kernel_size, **settings):
    return ConvCase(name, n, channels, h, w, channels, kernel_size, groups=channels, **settings)


def grouped(name, n, groups, channels, filters, h, w, kernel_size, **settings):
    """A convolution of so many channels and filters per group."""
    return ConvCase(name, n, groups * channels, h, w, groups * filters, kernel_size, groups=groups, **settings)


DEPTHWISE = (
    *(case for case in SMALL_CASES if case.groups == case.c_in == case.c_out),
    depthwise("square3-wide", 2, 96, 9, 23, (3, 3), padding=(1, 1)),
    depthwise("square3-stride", 2, 32, 15, 14, (3, 3), stride=(2, 2), padding=(1, 1)),
    depthwise("square3-17_channels", 1, 17, 8, 9, (3, 3), padding=(1, 1)),
    depthwise("square3-100_channels", 3, 100, 14, 14, (3, 3), padding=(1, 1)),
    depthwise("square3-valid", 1, 20, 7, 8, (3, 3), padding="valid"),
    depthwise("square3-one_channel", 2, 1, 10, 11, (3, 3), padding=(1, 1)),
    depthwise("square5-stride", 1, 7, 13, 16, (5, 5), stride=(2, 2), padding=(2, 2)),
    depthwise("square5-same", 1, 40, 9, 9, (5, 5), padding="same"),
    depthwise("square7-plain", 1, 48, 12, 10, (7, 7), padding=(3, 3)),
    depthwise("square7-stride", 2, 33, 15, 15, (7, 7), stride=(2, 2), padding=(3, 3)),
    depthwise("wide_filter", 1, 18, 4, 30, (2, 15), padding=(0, 7)),
    depthwise("dilated", 2, 24, 13, 12, (3, 3), padding=(2, 2), dilation=(2, 2)),
    depthwise("dilated-stride", 1, 9, 14, 13, (3, 4), stride=(3, 2), padding=(2, 5), dilation=(2, 3)),
    depthwise("dilation_divides_stride", 1, 5, 13, 17, (4, 5), stride=(4, 6), padding=(3, 3), dilation=(2, 4)),
    depthwise("smaller_than_filter", 2, 19, 2, 1, (5, 7), padding=(2, 3)),
    depthwise("over_padded", 2, 17, 3, 2, (3, 3), padding=(5, 6)),
    depthwise("over_padded-stride", 1, 4, 3, 4, (2, 2), stride=(3, 2), padding=(4, 3)),
    depthwise("only_padding_is_read", 1, 6, 1, 1, (1, 1), stride=(5, 5), padding=(2, 2)),
    depthwise("stride_beyond_filter", 1, 3, 17, 16, (2, 2), stride=(5, 4)),
    depthwise("one_by_one", 1, 21, 6, 5, (1, 1)),
    depthwise("empty_batch", 0, 18, 8, 8, (3, 3), padding=(1, 1)),
)
GROUPED = (
    *(case for case in SMALL_CASES if case.groups > 1 and case.dilation[1] == 1),
    grouped("four_each", 2, 8, 4, 4, 9, 13, (3, 3), padding=(1, 1)),
    grouped("two_each", 1, 20, 2, 2, 8, 9, (3, 3), padding=(1, 1)),
    grouped("eight_each-stride", 2, 4, 8, 8, 11, 12, (3, 3), stride=(2, 2), padding=(1, 1)),
    grouped("sixteen_each", 1, 2, 16, 16, 6, 7, (3, 3), padding=(1, 1)),
    grouped("three_each", 2, 7, 3, 3, 7, 8, (3, 3), padding=(1, 1)),
    grouped("two_to_five", 1, 9, 2, 5, 8, 7, (3, 5), padding=(1, 2)),
    grouped("seven_to_one", 2, 5, 7, 1, 9, 8, (2, 3), padding=(1, 0)),
    grouped("multiplier", 2, 19, 1, 2, 8, 9, (3, 3), padding=(1, 1)),
    grouped("multiplier-stride", 1, 6, 1, 3, 13, 12, (5, 5), stride=(2, 3), padding=(2, 2)),
    grouped("one_by_one", 2, 6, 4, 4, 5, 6, (1, 1)),
    grouped("dilated_rows", 1, 4, 4, 4, 12, 8, (3, 3), stride=(2, 1), padding=(2, 1), dilation=(2, 1)),
    grouped("many_rows", 1, 4, 4, 4, 50, 6, (3, 3), padding=(1, 1)),
    grouped("over_padded", 1, 3, 4, 4, 2, 3, (3, 3), padding=(4, 5)),
    grouped("only_padding_is_read", 1, 3, 2, 2, 1, 1, (1, 1), stride=(5, 5), padding=(2, 2)),
    grouped("stride_beyond_filter", 1, 3, 2, 4, 17, 16, (2, 2), stride=(5, 4)),
    grouped("empty_batch", 0, 3, 4, 4, 8, 8, (3, 3), padding=(1, 1)),
    grouped("two_each-16_groups", 2, 16, 2, 2, 9, 14, (3, 3), padding=(1, 1)),
    grouped("four_each-stride", 1, 8, 4, 4, 15, 29, (3, 3), stride=(2, 2), padding=(1, 1)),
    grouped("four_each-24_groups", 1, 24, 4, 4, 7, 7, (3, 3), padding=(1, 1)),
    grouped("four_each-square5", 1, 4, 4, 4, 12, 13, (5, 5), padding=(2, 2)),
    grouped("eight_each", 1, 12, 8, 8, 9, 15, (3, 3), padding=(1, 1)),
    grouped("eight_each-square5", 2, 4, 8, 8, 14, 13, (5, 5), stride=(2, 2), padding=(2, 2)),
    grouped("sixteen_each-stride", 1, 3, 16, 16, 13, 14, (3, 3), stride=(2, 2), padding=(1, 1)),
    grouped("thirty_two_each", 1, 2, 32, 32, 6, 15, (3, 3), padding=(1, 1)),
    grouped("one_group", 2, 1, 16, 16, 9, 14, (3, 3), padding=(1, 1)),
    grouped("one_group-stride", 1, 1, 16, 16, 13, 12, (5, 5), stride=(2, 2), padding=(2, 2)),
    grouped("one_group-one_by_one", 1, 1, 16, 16, 5, 15, (1, 1)),
    grouped("four_each-dilated", 1, 8, 4, 4, 14, 13, (3, 3), padding=(2, 3), dilation=(2, 3)),
)
ALL = (*(("depthwise", case) for case in DEPTHWISE), *(("grouped", case) for case in GROUPED))
by_case = pytest.mark.parametrize(("algorithm", "case"), ALL, ids=str)


def arrays_of(case: ConvCase, dtype: Any, integers: bool):
    """x, weight, bias, a random cotangent for the output, and the geometry."""
    rng = np.random.default_rng(sum(map(ord, case.name)))

    def draw(shape):
        return (rng.integers(-3, 4, shape) if integers else rng.standard_normal(shape)).astype(dtype)

    x, weight, bias = draw(case.x_shape), draw(case.weight_shape), draw((case.c_out,))
    geometry = conv_geometry("conv2d", x, weight, **case.settings)
    return x, weight, bias, draw(geometry.out_shape), geometry


def run_passes(algorithm, x, weight, bias, grad_out, geometry):
    forward, grad_input, grad_weight = (
        getattr(next(a for a in PASSES[name] if a.name == algorithm), name) for name in PASSES
    )
    return (
        forward(x, Filters(weight, bias), geometry),
        grad_input(grad_out, weight, geometry),
        grad_weight(x, grad_out, geometry),
    )


@pytest.fixture
def poisoned_memory(monkeypatch):
    """What is not written stays NaN."""

    def empty(shape, dtype):
        return np.full(shape, np.nan, dtype)

    monkeypatch.setattr(memory, "empty", empty)


@by_case
def test_sums_of_small_integers_are_exact(algorithm, case, poisoned_memory):
    arrays = arrays_of(case, np.float32, integers=True)
    originals = [a.copy() for a in arrays[:4]]
    results = run_passes(algorithm, *arrays)
    for name, actual, right in zip(PASSES, results, run_passes("reference", *arrays), strict=True):
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, right, err_msg=name)
    for array, original in zip(arrays, originals, strict=False):
        np.testing.assert_array_equal(array, original)


@by_case
def test_float64_agrees_with_the_reference(algorithm, case, poisoned_memory):
    arrays = arrays_of(case, np.float64, integers=False)
    results = run_passes(algorithm, *arrays)
    for name, actual, right in zip(PASSES, results, run_passes("reference", *arrays), strict=True):
        error = np.abs(actual - right).max(initial=0.0)
        assert error <= 1e-13 * max(np.abs(right).max(initial=0.0), 1e-30), name


@by_case
def test_one_and_two_threads_give_the_same_bits(algorithm, case):
    arrays = arrays_of(case, np.float32, integers=False)
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


@st.composite
def depthwise_convolutions(draw):
    """Random small depthwise convolutions that fit their image."""
    size, kernel_size = st.integers(1, 12), (draw(st.integers(1, 8)), draw(st.integers(1, 8)))
    dilation, padding = (draw(st.integers(1, 4)), draw(st.integers(1, 4))), (draw(size) - 1, draw(size) - 1)
    reach = [dilation[i] * (kernel_size[i] - 1) + 1 for i in range(2)]
    h, w = (max(draw(size), reach[i] - 2 * padding[i], 1) for i in range(2))
    stride = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    return depthwise(
        "random", draw(st.integers(1, 3)), draw(st.integers(1, 100)), h, w, kernel_size, stride=stride,
        padding=padding, dilation=dilation,
    )  # fmt: skip


@st.composite
def grouped_convolutions(draw):
    """Random small grouped convolutions that fit their image."""
    size, few = st.integers(1, 12), st.integers(1, 9)
    kernel_size, padding = (draw(st.integers(1, 4)), draw(st.integers(1, 4))), (draw(few) - 1, draw(few) - 1)
    h, w = (max(draw(size), kernel_size[i] - 2 * padding[i], 1) for i in range(2))
    each = draw(st.tuples(few, few) | st.sampled_from([(size, size) for size in (2, 4, 8, 16)]))
    return grouped(
        "random", draw(st.integers(1, 3)), draw(st.integers(2, 9)), each[0], each[1], h, w, kernel_size,
        stride=(draw(st.integers(1, 4)), draw(st.integers(1, 4))), padding=padding,
    )  # fmt: skip


def assert_agrees_with_the_reference(algorithm: str, case: ConvCase):
    arrays = arrays_of(case, np.float32, integers=True)
    results = run_passes(algorithm, *arrays)
    for name, actual, right in zip(PASSES, results, run_passes("reference", *arrays), strict=True):
        np.testing.assert_array_equal(actual, right, err_msg=name)


@given(case=depthwise_convolutions())
def test_random_depthwise_shapes_agree_with_the_reference(case):
    assert_agrees_with_the_reference("depthwise", case)


@given(case=grouped_convolutions())
def test_random_grouped_shapes_agree_with_the_reference(case):
    assert_agrees_with_the_reference("grouped", case)


@pytest.mark.parametrize("name", ["square3-17_channels", "square5-stride", "four_each-stride"])
def test_values_and_gradients_agree_with_torch(name):
    case = next(case for _, case in ALL if case.name == name)
    x, weight, bias, grad_out, _ = arrays_of(case, np.float64, integers=False)
    own: list[Any] = [convcore.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    other: list[Any] = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    out = conv2d(own[0], own[1], own[2], **case.settings)
    expected = torch.nn.functional.conv2d(*other, **case.settings)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=0, atol=1e-12)
    out.backward(convcore.tensor(grad_out))
    expected.backward(torch.tensor(grad_out))
    for a, b in zip(own, other, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=0, atol=1e-12)


def test_nan_and_infinity_stay_in_their_channel_as_in_torch():
    x = np.zeros((1, 20, 5, 5), np.float32)
    x[0, 3, 2, 2], x[0, 18, 0, 0] = np.nan, np.inf
    weight = np.ones((20, 1, 3, 3), np.float32)
    expected = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(weight), padding=1, groups=20).numpy()
    out = conv2d(convcore.tensor(x), convcore.tensor(weight), padding=1, groups=20, algorithm="depthwise").numpy()
    np.testing.assert_array_equal(out, expected)


def test_auto_takes_it_for_a_filter_per_channel():
    explanation = explain_conv2d(convcore.ones(1, 6, 5, 5), convcore.ones(6, 1, 3, 3), groups=6)
    assert [explanation.chosen(name) for name in PASSES] == ["depthwise"] * 3


@pytest.mark.parametrize(
    ("weight_shape", "groups", "sizes", "instead"),
    [
        ((6, 6, 3, 3), 1, "groups=1, c_in=6, c_out=6", "direct"),
        ((6, 2, 3, 3), 3, "groups=3, c_in=6, c_out=6", "grouped"),
        ((12, 1, 3, 3), 6, "groups=6, c_in=6, c_out=12", "grouped"),
    ],
)
def test_it_refuses_what_is_not_a_filter_per_channel(weight_shape, groups, sizes, instead):
    x, weight = convcore.ones(1, 6, 5, 5), convcore.ones(*weight_shape)
    reason = r"needs one filter for each channel \(groups == c_in == c_out\), got " + sizes
    with pytest.raises(UnsupportedError, match="'depthwise' cannot compute this: it " + reason):
        conv2d(x, weight, groups=groups, algorithm="depthwise")
    assert explain_conv2d(x, weight, groups=groups).chosen("forward") == instead


def test_nan_stays_in_its_group_as_in_torch():
    x = np.zeros((1, 16, 5, 5), np.float32)
    x[0, 6, 2, 2] = np.nan
    weight = np.ones((16, 4, 3, 3), np.float32)
    expected = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(weight), padding=1, groups=4).numpy()
    out = conv2d(convcore.tensor(x), convcore.tensor(weight), padding=1, groups=4, algorithm="grouped").numpy()
    np.testing.assert_array_equal(out, expected)


def test_grouped_refuses_filter_rows_with_gaps():
    x, weight = convcore.ones(1, 6, 5, 5), convcore.ones(6, 2, 3, 3)
    reason = "the taps of a filter row must be neighbours, the dilation is 2"
    with pytest.raises(UnsupportedError, match="'grouped' cannot compute this: " + reason):
        conv2d(x, weight, groups=3, dilation=(1, 2), algorithm="grouped")
    assert explain_conv2d(x, weight, groups=3, dilation=(1, 2)).chosen("forward") == "direct"


@pytest.mark.parametrize(
    ("weight_shape", "groups", "reason"),
    [
        ((6, 6, 3, 3), 1, "slower: there is one group"),
        ((96, 2, 3, 3), 3, "slower: groups of 32 filters fill vectors by themselves"),
    ],
)
def test_auto_does_not_take_grouped_where_vectors_fill_by_themselves(weight_shape, groups, reason):
    explanation = explain_conv2d(convcore.ones(1, 6, 5, 5), convcore.ones(*weight_shape), groups=groups)
    assert explanation.chosen("forward") == "direct"
    assert dict(explanation["forward"])["grouped"].startswith(reason)


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_auto_takes_it_for_one_group_of_as_many_channels_as_an_avx512_vector_has_lanes(kernel_size):
    explanation = explain_conv2d(convcore.ones(1, 16, 20, 20), convcore.ones(16, 16, kernel_size, kernel_size))
    forward, grad_input, grad_weight = (explanation.chosen(name) for name in PASSES)
    expected = lanes(4) == 16 and kernel_size <= 5
    assert (forward == "grouped", grad_input == "grouped") == (expected, expected)
    assert grad_weight != "grouped"


def test_each_pass_asks_for_the_size_of_its_own_result():
    """Two channels to 32 filters in a group: filters fill vectors, channels do not."""
    explanation = explain_conv2d(convcore.ones(1, 6, 5, 5), convcore.ones(96, 2, 3, 3), groups=3)
    assert [explanation.chosen(name) for name in PASSES] == ["direct", "grouped", "direct"]

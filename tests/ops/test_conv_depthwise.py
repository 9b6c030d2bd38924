"""The algorithm "depthwise": its micro-kernel tile by tile, every pass against the reference, threads, refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import convcore
from convcore import memory
from convcore.errors import UnsupportedError
from convcore.ops.conv import conv2d
from convcore.ops.conv_explain import explain_conv2d
from convcore.ops.conv_passes import PASSES
from convcore.ops.geometry import conv_geometry
from convcore.testing.cases import SMALL_CASES, ConvCase
from kernels.cpu.depthwise_tile import depthwise_tiles
from kernels.cpu.target import lanes
from kernels.jit import kernel, prange


def depthwise(name, n, channels, h, w, kernel_size, **settings):
    return ConvCase(name, n, channels, h, w, channels, kernel_size, groups=channels, **settings)


CASES = (
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
by_case = pytest.mark.parametrize("case", CASES, ids=str)


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
        next(record for record in PASSES[name] if record.name == algorithm).run for name in PASSES
    )
    return (
        forward(x, weight, bias, geometry),
        grad_input(grad_out, weight, geometry),
        grad_weight(x, grad_out, geometry),
    )


@pytest.fixture
def poisoned_memory(monkeypatch):
    """What is not written stays NaN."""

    def empty(shape, dtype):
        return np.full(shape, np.nan, dtype)

    monkeypatch.setattr(memory, "empty", empty)


@kernel
def tiles(
    lines, rows, channels, a, a_line, a_row, n_i, a_i, n_j, a_j, b, b_i, b_j, c, c_line, c_row, start, accumulate
):  # fmt: skip
    """The micro-kernel, as a kernel calls it."""
    for _ in prange(1):
        depthwise_tiles(
            lines, rows, channels, a, 1, a_line, a_row, n_i, a_i, n_j, a_j, b, 2, b_i, b_j,
            c, 5, c_line, c_row, start, 3, accumulate,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("accumulate", [False, True], ids=["starts", "accumulates"])
@pytest.mark.parametrize("n_j", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("apart", [0, 1, 2], ids=["any_steps", "neighbours", "two_apart"])
def test_every_form_of_the_tile_is_exact_and_writes_nothing_beside(apart, n_j, accumulate, dtype):
    """All strides differ, but for rows that are `apart` taps apart; integers make the sums exact."""
    rng = np.random.default_rng(n_j)
    vl = lanes(np.dtype(dtype).itemsize)
    a, b, start = (rng.integers(-3, 4, 40000).astype(dtype) for _ in range(3))
    for channels in (1, vl - 1, vl, 2 * vl, 3 * vl + 1, 4 * vl - 1):
        for lines, rows in ((1, 1), (2, 3), (5, 4), (3, 7), *((1, rows) for rows in range(5, 27))):
            a_line, a_i, a_j, b_i, b_j = 401, 211, 83, 140, 69
            a_row = apart * a_j if apart else 37
            c_row, c_line = channels + 2, (channels + 2) * rows + 3
            c = rng.integers(-3, 4, 5 + lines * c_line).astype(dtype)
            right = c.copy()
            for line in range(lines):
                for m in range(rows):
                    at, total = 5 + line * c_line + m * c_row, np.zeros(channels, dtype)
                    for i in range(2):
                        for j in range(n_j):
                            source = a[1 + line * a_line + m * a_row + i * a_i + j * a_j :][:channels]
                            total += source * b[2 + i * b_i + j * b_j :][:channels]
                    right[at : at + channels] = total + (c[at : at + channels] if accumulate else start[3:][:channels])
            tiles(
                lines, rows, channels, a, a_line, a_row, 2, a_i, n_j, a_j, b, b_i, b_j,
                c, c_line, c_row, start, accumulate,
            )  # fmt: skip
            np.testing.assert_array_equal(c, right, err_msg=f"{channels} channels, {lines} x {rows}")


@by_case
def test_sums_of_small_integers_are_exact(case, poisoned_memory):
    arrays = arrays_of(case, np.float32, integers=True)
    originals = [a.copy() for a in arrays[:4]]
    results = run_passes("depthwise", *arrays)
    for name, actual, right in zip(PASSES, results, run_passes("reference", *arrays), strict=True):
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, right, err_msg=name)
    for array, original in zip(arrays, originals, strict=False):
        np.testing.assert_array_equal(array, original)


@by_case
def test_float64_agrees_with_the_reference(case, poisoned_memory):
    arrays = arrays_of(case, np.float64, integers=False)
    results = run_passes("depthwise", *arrays)
    for name, actual, right in zip(PASSES, results, run_passes("reference", *arrays), strict=True):
        error = np.abs(actual - right).max(initial=0.0)
        assert error <= 1e-13 * max(np.abs(right).max(initial=0.0), 1e-30), name


@by_case
def test_one_and_two_threads_give_the_same_bits(case):
    arrays = arrays_of(case, np.float32, integers=False)
    before = convcore.get_num_threads()
    try:
        convcore.set_num_threads(1)
        one = run_passes("depthwise", *arrays)
        convcore.set_num_threads(2)
        two = run_passes("depthwise", *arrays)
    finally:
        convcore.set_num_threads(before)
    for name, a, b in zip(PASSES, one, two, strict=True):
        assert a.tobytes() == b.tobytes(), name


@st.composite
def convolutions(draw):
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


@settings(max_examples=100, deadline=None, derandomize=True)
@given(case=convolutions())
def test_random_shapes_agree_with_the_reference(case):
    arrays = arrays_of(case, np.float32, integers=True)
    results = run_passes("depthwise", *arrays)
    for name, actual, right in zip(PASSES, results, run_passes("reference", *arrays), strict=True):
        np.testing.assert_array_equal(actual, right, err_msg=name)


@pytest.mark.parametrize("name", ["square3-17_channels", "square5-stride"])
def test_values_and_gradients_agree_with_torch(name):
    case = next(case for case in CASES if case.name == name)
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

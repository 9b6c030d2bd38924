"""Winograd's F(4x4, 3x3): its error, every remainder of its tiles, and what it refuses."""

import re

import numpy as np
import pytest

import convcore
from convcore import memory, ones
from convcore.errors import UnsupportedError
from convcore.ops import conv_winograd
from convcore.ops.conv import conv2d
from convcore.ops.conv_explain import explain_conv2d
from convcore.ops.geometry import conv_geometry
from kernels.cpu.conv_winograd import transform_filters_f4x4_k3x3
from kernels.cpu.target import tile_columns
from kernels.reference import conv as reference

# n, c_in, h, w, c_out, padding: every remainder of height and width modulo 4, ragged channels, pads from 0 to 4.
SHAPES = [
    (1, 3, 6, 6, 4, 1), (2, 20, 13, 10, 37, 1), (1, 16, 7, 8, 16, 0), (3, 17, 5, 9, 5, 2), (1, 8, 4, 3, 33, 1),
    (1, 1, 3, 3, 1, 0), (1, 2, 1, 1, 2, 1), (2, 33, 11, 12, 64, 1), (1, 5, 6, 7, 9, 4), (1, 64, 8, 14, 96, (2, 1)),
    (1, 40, 9, 5, 24, "same"), (0, 4, 8, 8, 4, 1),
]  # fmt: skip
# Which operand is transformed beforehand: the filters, or the tiles, here in slabs of a few.
FEW_FILTERS = {"FEW_TILES": -1, "TILES_PER_TASK": 5}
MANY_FILTERS = {"FILTERS_BYTES": 0, "SLAB_BYTES": 36 * 64 * 4 * 9, "SLAB_TILES_PER_TASK": 4}
# Rounding error as a fraction of the largest output.
FLOAT32_ERROR = 5e-5


def make(shape, dtype: type = np.float32):
    n, c_in, h, w, c_out, padding = shape
    rng = np.random.default_rng(h * w + c_out)
    x, weight = rng.standard_normal((n, c_in, h, w)), rng.standard_normal((c_out, c_in, 3, 3))
    geometry = conv_geometry("conv2d", x, weight, 1, padding, 1, 1)
    arrays = x, weight, rng.standard_normal(c_out), rng.standard_normal(geometry.out_shape)
    return [a.astype(dtype) for a in arrays], geometry


def expected(arrays, geometry):
    x, weight, bias, grad_out = arrays
    padding = [(axis.pad_before, axis.pad_after) for axis in geometry.axes]
    settings = (1, 1), padding, (1, 1), 1
    return (
        reference.conv_forward(x, weight, bias, *settings),
        reference.conv_grad_input(grad_out, weight, geometry.x_shape, *settings),
        reference.conv_grad_weight(x, grad_out, geometry.weight_shape, *settings),
    )


def run(arrays, geometry):
    x, weight, bias, grad_out = arrays
    return (
        conv_winograd.forward(x, weight, bias, geometry),
        conv_winograd.grad_input(grad_out, weight, geometry),
        conv_winograd.grad_weight(x, grad_out, geometry),
    )


@pytest.fixture(params=[FEW_FILTERS, MANY_FILTERS], ids=["few_filters", "many_filters"])
def order(request, monkeypatch):
    """Make even small convolutions take each of the two ways through tiles and filters."""
    for name, value in request.param.items():
        monkeypatch.setattr(conv_winograd, name, value)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, FLOAT32_ERROR), (np.float64, 1e-13)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_passes_agree_with_the_reference(shape, dtype, tolerance, order):
    arrays, geometry = make(shape, dtype)
    originals = [a.copy() for a in arrays]
    for actual, right in zip(run(arrays, geometry), expected(arrays, geometry), strict=True):
        assert actual.shape == right.shape
        assert np.abs(actual - right).max(initial=0) <= tolerance * np.abs(right).max(initial=0)
    for array, original in zip(arrays, originals, strict=True):
        np.testing.assert_array_equal(array, original)


def test_the_error_of_a_long_sum_stays_in_its_bounds(order):
    """512 channels of normal data: F(4x4) within 5e-5 of the maximum, direct within 5e-6."""
    arrays, geometry = make((1, 512, 14, 14, 64, 1))
    right = expected(arrays, geometry)[0]
    scale = np.abs(right).max()
    x, weight, bias = (convcore.tensor(a) for a in arrays[:3])
    direct = conv2d(x, weight, bias, padding=1, algorithm="direct").numpy()
    winograd = conv_winograd.forward(arrays[0], arrays[1], arrays[2], geometry)
    assert np.abs(direct - right).max() <= 5e-6 * scale
    assert np.abs(direct - right).max() < np.abs(winograd - right).max() <= FLOAT32_ERROR * scale


def test_the_error_of_the_gradient_of_the_filters_stays_in_its_bounds():
    """12544 pixels of normal data, and of positive data, whose sums are large: within 5e-5 of the maximum."""
    arrays, geometry = make((4, 33, 56, 56, 40, 1))
    for x, grad_out in ((arrays[0], arrays[3]), (np.abs(arrays[0]), np.abs(arrays[3]))):
        right = expected([x, arrays[1], arrays[2], grad_out], geometry)[2]
        actual = conv_winograd.grad_weight(x, grad_out, geometry)
        assert np.abs(actual - right).max() <= FLOAT32_ERROR * np.abs(right).max()


def test_parts_of_the_tiles_are_added_up(monkeypatch):
    """The sums of one part over all blocks, of a part for each block, and of one block are the same gradient."""
    arrays, geometry = make((2, 20, 13, 10, 37, 1), np.float64)
    x, _, _, grad_out = arrays
    right = expected(arrays, geometry)[2]
    for settings in ({"TILES_PER_BLOCK": 5, "MIN_TASKS": 1}, {"TILES_PER_BLOCK": 5, "MIN_TASKS": 99}, {"MIN_TASKS": 1}):
        for channels, filters in ((64, 128), (8, 16)):
            with monkeypatch.context() as patch:
                settings |= {"CHANNELS_PER_TASK": channels, "FILTERS_PER_TASK": filters}
                for name, value in settings.items():
                    patch.setattr(conv_winograd, name, value)
                actual = conv_winograd.grad_weight(x, grad_out, geometry)
            np.testing.assert_allclose(actual, right, rtol=1e-11, atol=1e-11)


def test_relu_is_applied_to_the_output_and_lets_nan_pass(order):
    (x, weight, bias, _), geometry = make((1, 40, 9, 5, 24, 1))
    x[0, 3, 8, 4] = np.nan
    plain = conv_winograd.forward(x, weight, bias, geometry)
    out = np.full_like(plain, -1)
    out = np.ascontiguousarray(out.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    conv_winograd._run(x, weight, bias, out, 1, 1, transposed=False, relu=True)
    assert np.isnan(plain).any()
    assert (plain < 0).any()
    np.testing.assert_array_equal(out, np.maximum(plain, 0))


def test_the_transform_of_the_filters_is_g_times_filter_times_g():
    matrix = np.array(
        [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
         [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
    )  # fmt: skip
    columns = tile_columns(8)
    weight = np.random.default_rng(0).standard_normal((columns + 3, 5, 3, 3))
    for flipped in (False, True):
        panels = np.full((2, 36, 5 + 1, columns), np.nan)
        transform_filters_f4x4_k3x3(weight.reshape(-1), 45, 9, flipped, columns + 3, panels)
        filters = weight[:, :, ::-1, ::-1] if flipped else weight
        right = np.einsum("ir,klrs,qs->iqlk", matrix, filters, matrix).reshape(36, 5, columns + 3)
        np.testing.assert_allclose(panels[0, :, :5], right[:, :, :columns], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(panels[1, :, :5, :3], right[:, :, columns:], rtol=1e-12, atol=1e-14)
        assert not panels[1, :, :5, 3:].any()


def test_every_output_is_written(monkeypatch, order):
    def poisoned(shape, dtype):
        return np.full(shape, np.nan, dtype)

    monkeypatch.setattr(memory, "empty", poisoned)
    for shape in SHAPES:
        for result in run(*make(shape)):
            assert np.isfinite(result).all(), shape


def test_one_and_two_threads_give_the_same_bits(order):
    arrays, geometry = make((2, 20, 33, 30, 37, 1))
    before, results = convcore.get_num_threads(), []
    try:
        for threads in (1, 2):
            convcore.set_num_threads(threads)
            results.append([result.tobytes() for result in run(arrays, geometry)])
    finally:
        convcore.set_num_threads(before)
    assert results[0] == results[1]


def test_auto_takes_it_where_it_pays():
    x, weight = ones(1, 32, 28, 28), ones(32, 32, 3, 3)
    explanation = explain_conv2d(x, weight, padding=1)
    assert [explanation.chosen(p) for p in explanation] == ["winograd"] * 3
    np.testing.assert_allclose(conv2d(x, weight, padding=1).numpy()[0, :, 9, 9], 288, rtol=FLOAT32_ERROR)
    with convcore.use_algorithm("direct"):
        assert explain_conv2d(x, weight, padding=1).chosen("forward") == "direct"


@pytest.mark.parametrize(
    ("shape", "settings", "reason"),
    [
        (((1, 32, 28, 28), (32, 32, 5, 5)), {}, "it is for 3x3 filters, not 5x5"),
        (((1, 32, 28, 28), (32, 32, 3, 3)), {"stride": 2}, "it needs stride 1 and dilation 1"),
        (((1, 32, 28, 28), (32, 32, 3, 3)), {"dilation": 2}, "it needs stride 1 and dilation 1"),
        (((1, 64, 28, 28), (32, 32, 3, 3)), {"groups": 2}, "it does not do groups, here 2"),
    ],
)
def test_refusals(shape, settings, reason):
    x, weight = ones(*shape[0]), ones(*shape[1])
    with pytest.raises(UnsupportedError, match=f"'winograd' cannot compute this: {reason}"):
        conv2d(x, weight, algorithm="winograd", **settings)
    assert f"refused: {reason}" in str(explain_conv2d(x, weight, **settings))


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        (((1, 15, 28, 28), (64, 15, 3, 3)), convcore.float32, "slower: it pays from 16 channels on, here 15 and 64"),
        (((1, 32, 6, 6), (32, 32, 3, 3)), convcore.float32, "slower: it pays from 4 tiles of 4x4 outputs on, here 1"),
        (((1, 32, 28, 28), (32, 32, 3, 3)), convcore.float64, "less accurate: .* float64 asks for accuracy"),
    ],
)
def test_auto_does_not_take_it_but_it_may_be_asked_for(shape, dtype, reason):
    x, weight = ones(*shape[0], dtype=dtype), ones(*shape[1], dtype=dtype)
    explanation = explain_conv2d(x, weight)
    assert explanation.chosen("forward") == "direct"
    assert re.match(reason, dict(explanation["forward"])["winograd"])
    out = conv2d(x, weight, algorithm="winograd").numpy()
    np.testing.assert_allclose(out, 9 * shape[0][1], rtol=FLOAT32_ERROR)

"""Winograd's F(4x4, 3x3) and F(2x2, 3x3): their matrices, error, every remainder of their tiles, what they refuse."""

import re

import numpy as np
import pytest

import convcore
from convcore import memory, ones
from convcore.errors import UnsupportedError
from convcore.ops.conv import winograd as conv_winograd
from convcore.ops.conv.explain import explain_conv2d
from convcore.ops.conv.functions import conv2d
from convcore.ops.conv.geometry import conv_geometry
from convcore.ops.conv.winograd import F2, F4
from convcore.ops.core.epilogue import Epilogue
from convcore.ops.core.filters import Filters
from kernels.cpu.conv.winograd import transform_filters_winograd
from kernels.cpu.conv.winograd_matrices import winograd_matrices
from kernels.cpu.vector.target import tile_columns
from kernels.reference import conv as reference
from kernels.threads import max_num_threads

# n, c_in, h, w, c_out, padding: every remainder of height and width modulo 4, ragged channels, pads from 0 to 4.
SHAPES = [
    (1, 3, 6, 6, 4, 1), (2, 20, 13, 10, 37, 1), (1, 16, 7, 8, 16, 0), (3, 17, 5, 9, 5, 2), (1, 8, 4, 3, 33, 1),
    (1, 1, 3, 3, 1, 0), (1, 2, 1, 1, 2, 1), (2, 33, 11, 12, 64, 1), (1, 5, 6, 7, 9, 4), (1, 64, 8, 14, 96, (2, 1)),
    (1, 40, 9, 5, 24, "same"), (0, 4, 8, 8, 4, 1),
]  # fmt: skip
# Which operand is transformed beforehand: the filters, or the tiles, here in slabs of a few.
FEW_FILTERS = {"FEW_TILES": -1, "TILES_PER_CHUNK": 5}
MANY_FILTERS = {"FILTERS_BYTES": 0, "SLAB_BYTES": 36 * 64 * 4 * 9, "SLAB_TILES_PER_CHUNK": 4}
# Rounding error as a fraction of the largest output.
ERROR = {F4: 5e-5, F2: 5e-6}
DIRECT_ERROR = 5e-6
both = pytest.mark.parametrize("winograd", [F4, F2], ids=["4x4", "2x2"])


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


def run(winograd, arrays, geometry):
    x, weight, bias, grad_out = arrays
    return (
        winograd.forward(x, Filters(weight, bias), geometry),
        winograd.grad_input(grad_out, weight, geometry),
        winograd.grad_weight(x, grad_out, geometry),
    )


@pytest.fixture(params=[FEW_FILTERS, MANY_FILTERS], ids=["few_filters", "many_filters"])
def order(request, monkeypatch):
    """Make even small convolutions take each of the two ways through tiles and filters."""
    for name, value in request.param.items():
        monkeypatch.setattr(conv_winograd, name, value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@both
def test_all_passes_agree_with_the_reference(winograd, shape, dtype, order):
    arrays, geometry = make(shape, dtype)
    tolerance = ERROR[winograd] if dtype == np.float32 else 1e-13
    originals = [a.copy() for a in arrays]
    for actual, right in zip(run(winograd, arrays, geometry), expected(arrays, geometry), strict=True):
        assert actual.shape == right.shape
        assert np.abs(actual - right).max(initial=0) <= tolerance * np.abs(right).max(initial=0)
    for array, original in zip(arrays, originals, strict=True):
        np.testing.assert_array_equal(array, original)


def test_the_error_of_a_long_sum_stays_in_its_bounds(order):
    """512 channels of normal data: F(4x4) within 5e-5 of the maximum, F(2x2) and direct within 5e-6."""
    arrays, geometry = make((1, 512, 14, 14, 64, 1))
    right = expected(arrays, geometry)[0]
    x, weight, bias = (convcore.tensor(a) for a in arrays[:3])
    results = [m.forward(arrays[0], Filters(*arrays[1:3]), geometry) for m in (F4, F2)]
    results.append(conv2d(x, weight, bias, padding=1, algorithm="direct").numpy())
    large, small, direct = (np.abs(result - right).max() / np.abs(right).max() for result in results)
    assert max(small, direct) < large <= ERROR[F4]
    assert small <= ERROR[F2]
    assert direct <= DIRECT_ERROR


@both
def test_the_error_of_the_gradient_of_the_filters_stays_in_its_bounds(winograd):
    """12544 pixels of normal data, and of positive data, whose sums are large."""
    arrays, geometry = make((4, 33, 56, 56, 40, 1))
    for x, grad_out in ((arrays[0], arrays[3]), (np.abs(arrays[0]), np.abs(arrays[3]))):
        right = expected([x, arrays[1], arrays[2], grad_out], geometry)[2]
        actual = winograd.grad_weight(x, grad_out, geometry)
        assert np.abs(actual - right).max() <= ERROR[winograd] * np.abs(right).max()


def test_f2_is_exact_for_small_integers(order):
    """Its factors are 1 and 1/2, so nothing is rounded."""
    arrays, geometry = make((2, 20, 13, 10, 37, 1))
    arrays = [np.round(3 * a) for a in arrays]
    for actual, right in zip(run(F2, arrays, geometry), expected(arrays, geometry), strict=True):
        np.testing.assert_array_equal(actual, right)


@pytest.mark.parametrize("m", [2, 4])
def test_the_matrices_compute_a_convolution(m):
    matrices = winograd_matrices(m)
    rng = np.random.default_rng(m)
    d, g = rng.standard_normal(m + 2), rng.standard_normal(3)
    to_values, to_filter, back = (np.array(a, float) for a in (matrices.input, matrices.filter, matrices.output))
    right = [d[o : o + 3] @ g for o in range(m)]
    np.testing.assert_allclose(back @ ((to_filter @ g) * (to_values @ d)), right, rtol=1e-13, atol=1e-13)


def test_the_matrices_of_f4_are_those_of_lavin_and_gray():
    matrices = winograd_matrices(4)
    np.testing.assert_array_equal(
        np.array(matrices.input, float),
        [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
         [0, 4, 0, -5, 0, 1]],
    )  # fmt: skip
    np.testing.assert_array_equal(
        24 * np.array(matrices.filter, float),
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
    )
    np.testing.assert_array_equal(
        np.array(matrices.output, float),
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    )


@both
def test_parts_of_the_tiles_are_added_up(winograd, monkeypatch):
    """The sums of one part over all blocks, of a part for each block, and of one block are the same gradient."""
    arrays, geometry = make((2, 20, 13, 10, 37, 1), np.float64)
    x, _, _, grad_out = arrays
    right = expected(arrays, geometry)[2]
    for settings in (
        {"TILES_PER_BLOCK": 5, "MIN_CHUNKS": 1},
        {"TILES_PER_BLOCK": 5, "MIN_CHUNKS": 99},
        {"MIN_CHUNKS": 1},
    ):
        for channels, filters in ((64, 128), (8, 16)):
            with monkeypatch.context() as patch:
                settings |= {"CHANNELS_PER_CHUNK": channels, "FILTERS_PER_CHUNK": filters}
                for name, value in settings.items():
                    patch.setattr(conv_winograd, name, value)
                actual = winograd.grad_weight(x, grad_out, geometry)
            np.testing.assert_allclose(actual, right, rtol=1e-11, atol=1e-11)


@both
def test_relu_is_applied_to_the_output_and_lets_nan_pass(winograd, order):
    (x, weight, bias, _), geometry = make((1, 40, 9, 5, 24, 1))
    x[0, 3, 8, 4] = np.nan
    plain = winograd.forward(x, Filters(weight, bias), geometry)
    out = winograd.forward(x, Filters(weight, bias), geometry, Epilogue(activation="relu"))
    assert np.isnan(plain).any()
    assert (plain < 0).any()
    np.testing.assert_array_equal(out, np.maximum(plain, 0))


@both
def test_an_infinite_bias_makes_its_channel_infinite(winograd, order):
    (x, weight, bias, _), geometry = make((1, 8, 9, 7, 24, 1))
    right = winograd.forward(x, Filters(weight, bias), geometry)
    bias[3], right[:, 3] = np.inf, np.inf
    bias[7], right[:, 7] = -np.inf, -np.inf
    np.testing.assert_array_equal(winograd.forward(x, Filters(weight, bias), geometry), right)


@pytest.mark.parametrize("m", [2, 4])
def test_the_transform_of_the_filters_is_g_times_filter_times_g(m):
    matrix, points = np.array(winograd_matrices(m).filter, float), (m + 2) ** 2
    columns = tile_columns(8)
    weight = np.random.default_rng(0).standard_normal((columns + 3, 5, 3, 3))
    for flipped in (False, True):
        panels = np.full((2, points, 5 + 1, columns), np.nan)
        transform_filters_winograd(weight.reshape(-1), 45, 9, flipped, columns + 3, panels, m)
        filters = weight[:, :, ::-1, ::-1] if flipped else weight
        right = np.einsum("ir,klrs,qs->iqlk", matrix, filters, matrix).reshape(points, 5, columns + 3)
        np.testing.assert_allclose(panels[0, :, :5], right[:, :, :columns], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(panels[1, :, :5, :3], right[:, :, columns:], rtol=1e-12, atol=1e-14)
        assert not panels[1, :, :5, 3:].any()


@both
def test_every_output_is_written(winograd, monkeypatch, order):
    def poisoned(shape, dtype):
        return np.full(shape, np.nan, dtype)

    monkeypatch.setattr(memory, "empty", poisoned)
    for shape in SHAPES:
        for result in run(winograd, *make(shape)):
            assert np.isfinite(result).all(), shape


@both
def test_one_and_two_threads_give_the_same_bits(winograd, order):
    arrays, geometry = make((2, 20, 33, 30, 37, 1))
    before, results = convcore.get_num_threads(), []
    try:
        for threads in (1, max_num_threads()):
            convcore.set_num_threads(threads)
            results.append([result.tobytes() for result in run(winograd, arrays, geometry)])
    finally:
        convcore.set_num_threads(before)
    assert results[0] == results[1]


def test_auto_takes_it_where_it_pays():
    x, weight = ones(1, 32, 28, 28), ones(32, 32, 3, 3)
    explanation = explain_conv2d(x, weight, padding=1)
    assert [explanation.chosen(p) for p in explanation] == ["winograd"] * 3
    np.testing.assert_allclose(conv2d(x, weight, padding=1).numpy()[0, :, 9, 9], 288, rtol=ERROR[F4])
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


def test_auto_does_not_take_it_for_float64_but_it_may_be_asked_for():
    x, weight = ones(1, 32, 28, 28).double(), ones(32, 32, 3, 3).double()
    explanation = explain_conv2d(x, weight)
    assert explanation.chosen("forward") == "direct"
    for name in ("winograd", "winograd2x2"):
        assert re.match("less accurate: .* float64 asks for accuracy", dict(explanation["forward"])[name])
        np.testing.assert_allclose(conv2d(x, weight, algorithm=name).numpy(), 288, rtol=1e-13)


@pytest.mark.parametrize(
    ("c_in", "c_out", "chosen"),
    [
        (16, 17, ["winograd", "winograd", "winograd"]),
        (8, 64, ["winograd", "winograd", "winograd"]),
        (7, 64, ["direct", "winograd", "winograd"]),
        (12, 12, ["direct", "direct", "winograd"]),
        (4, 7, ["direct", "first_layer", "direct"]),
        (3, 64, ["direct", "first_layer", "direct"]),
        (64, 1, ["winograd", "direct", "winograd"]),
    ],
)
def test_each_pass_has_its_own_threshold_of_channels(c_in, c_out, chosen):
    explanation = explain_conv2d(ones(2, c_in, 28, 28), ones(c_out, c_in, 3, 3), padding=1)
    assert [explanation.chosen(p) for p in explanation] == chosen


def test_small_tiles_need_more_channels():
    for channels, chosen in ((31, ["direct", "direct", "winograd2x2"]), (32, ["winograd2x2"] * 3)):
        explanation = explain_conv2d(ones(1, channels, 6, 6), ones(channels, channels, 3, 3), padding=1)
        assert [explanation.chosen(p) for p in explanation] == chosen


def test_too_few_channels_are_explained():
    explanation = explain_conv2d(ones(2, 3, 28, 28), ones(64, 3, 3, 3), padding=1)
    reason = "slower: it pays from 8 to 1 channels on, the larger number at least 16; here 3 to 64"
    assert dict(explanation["forward"])["winograd"].startswith(reason)


@pytest.mark.parametrize(
    ("shape", "chosen", "other", "reason"),
    [
        ((8, 64, 1, 1), "direct", "winograd2x2", "8 tiles of 16 points for 8 outputs save less than 20%"),
        ((8, 64, 2, 2), "winograd2x2", "winograd", "8 tiles of 36 points for 32 outputs save less than 20%"),
        ((8, 64, 1, 48), "direct", "winograd", "96 tiles of 36 points for 384 outputs save less than 20%"),
        ((1, 256, 8, 8), "winograd2x2", "winograd", "with 4 tiles of 4x4 outputs, 2x2 needs fewer multiplications"),
        ((1, 256, 12, 12), "winograd", "winograd2x2", "with 36 tiles of 2x2 outputs, 4x4 needs fewer multiplications"),
        ((8, 64, 3, 3), "winograd", "winograd2x2", "with 32 tiles of 2x2 outputs, 4x4 needs fewer multiplications"),
        ((0, 64, 3, 3), "winograd2x2", "winograd", "with 0 tiles of 4x4 outputs, 2x2 needs fewer multiplications"),
    ],
)
def test_the_number_of_tiles_decides(shape, chosen, other, reason):
    explanation = explain_conv2d(ones(*shape), ones(shape[1], shape[1], 3, 3), padding=1)
    assert explanation.chosen("forward") == chosen
    assert dict(explanation["forward"])[other].startswith("slower: " + reason)

"""What pooling refuses, and the sizes of what it accepts."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pool_cases import CASES, name

from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.pool.functions import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d
from convcore.ops.pool.geometry import max_pool_geometry
from kernels.reference import pool as reference

IMAGES = np.zeros((2, 3, 8, 6), np.float32)
X = wrap(IMAGES)
BOTH = pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d])
ADAPTIVE = pytest.mark.parametrize("pool", [adaptive_max_pool2d, adaptive_avg_pool2d])


@pytest.mark.parametrize("case", CASES, ids=name)
def test_windows_are_the_references(case):
    x = np.empty((1, 1, *case.size))
    geometry = max_pool_geometry("max_pool2d", x, **case.settings(), dilation=case.dilation)
    for axis, taps in zip((geometry.height, geometry.width), case.taps(), strict=True):
        windows = zip(axis.start, axis.stop, strict=True)
        assert [list(range(start, stop, axis.dilation)) for start, stop in windows] == taps
        for i in range(axis.size):
            holding = [o for o in range(axis.size_out) if i in taps[o]]
            assert set(holding) <= set(range(axis.over_start[i], axis.over_stop[i]))


@given(
    size=st.integers(1, 12), kernel=st.integers(1, 6), stride=st.integers(1, 7), padding=st.integers(0, 4),
    dilation=st.integers(1, 3), ceil_mode=st.booleans(),
)  # fmt: skip
def test_same_number_of_windows_as_torch_or_an_error_as_in_torch(size, kernel, stride, padding, dilation, ceil_mode):
    settings = (kernel, stride, padding, dilation, ceil_mode)
    x = torch.zeros(1, 1, size, 12)
    try:
        expected = F.max_pool2d(x, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1), ceil_mode).shape[2]
    except RuntimeError:
        with pytest.raises(ShapeError, match="max_pool2d: "):
            max_pool_geometry("max_pool2d", x, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1), ceil_mode)
    else:
        geometry = max_pool_geometry("max_pool2d", x, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1), ceil_mode)
        assert geometry.height.size_out == expected == len(reference.window_taps(size, *settings))


def test_parsed_once_per_distinct_call():

    def geometry(kernel_size):
        return max_pool_geometry("max_pool2d", IMAGES, kernel_size, None, 0, 1, False)

    assert geometry(2) is geometry(2)
    assert geometry([2, 3]) is geometry((2, 3))
    with pytest.raises(ValueError, match="read-only"):
        max_pool_geometry("max_pool2d", IMAGES, 2, None, 0, 1, False).height.start[0] = 1


@BOTH
def test_errors_name_the_rule_the_values_and_the_shape(pool):
    op = pool.__name__
    with pytest.raises(ShapeError, match=rf"{op}: input must have 4 axes \(N, C, H, W\) or 3 \(C, H, W\), it has 2"):
        pool(wrap(np.zeros((4, 4))), 2)
    for shape in [(2, 0, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0), (0, 4, 4)]:
        with pytest.raises(
            ShapeError, match=rf"{op}: input must not be empty, only its batch axis may be\n  input  \({shape[0]},"
        ):
            pool(wrap(np.zeros(shape)), 2)
    with pytest.raises(ShapeError, match=rf"{op}: kernel_size must be at least 1, got 0\n  input  .*N, C, H, W"):
        pool(X, 0)
    with pytest.raises(ShapeError, match=rf"{op}: kernel_size must be one integer or two .* got \(1, 2, 3\)"):
        pool(X, (1, 2, 3))
    with pytest.raises(ShapeError, match=rf"{op}: stride must be at least 1, got 0"):
        pool(X, 2, stride=0)
    with pytest.raises(ShapeError, match=rf"{op}: padding\[1\] must be at least 0, got -1"):
        pool(X, 2, padding=(0, -1))
    with pytest.raises(
        ShapeError,
        match=rf"{op}: padding must be at most half of kernel_size, .* padding \(1, 2\) for kernel_size \(3, 3\)",
    ):
        pool(X, 3, padding=(1, 2))
    with pytest.raises(
        ShapeError, match=rf"{op}: the padded input's width 8 \(6 \+ 1 \+ 1\) is smaller than the window's 9"
    ):
        pool(X, (2, 9), padding=1)
    with pytest.raises(DTypeError, match=rf"{op}: kernel_size must be an integer, got 2.0 \(float\)"):
        pool(X, 2.0)
    with pytest.raises(DTypeError, match=rf"{op}: sizes must be integers or sequences of integers, got \(\{{2\}},"):
        pool(X, {2})


def test_errors_of_single_arguments():
    with pytest.raises(ShapeError, match=r"max_pool2d: dilation must be at least 1, got 0"):
        max_pool2d(X, 2, dilation=0)
    with pytest.raises(
        ShapeError, match=r"height 8 \(8 \+ 0 \+ 0\) is smaller than the window's 9 \(3 with dilation 4\)"
    ):
        max_pool2d(X, 3, dilation=4)
    with pytest.raises(ShapeError, match=r"avg_pool2d: divisor_override must not be zero; None divides"):
        avg_pool2d(X, 2, divisor_override=0)


@ADAPTIVE
def test_errors_of_adaptive_pooling(pool):
    op = pool.__name__
    with pytest.raises(ShapeError, match=rf"{op}: input must have 4 axes .* it has 5"):
        pool(wrap(np.zeros((1, 1, 1, 4, 4))), 2)
    with pytest.raises(ShapeError, match=rf"{op}: input must not be empty, only its batch axis may be"):
        pool(wrap(np.zeros((2, 3, 0, 4))), 2)
    with pytest.raises(ShapeError, match=rf"{op}: output_size\[1\] must be at least 0, got -1"):
        pool(X, (2, -1))
    with pytest.raises(ShapeError, match=rf"{op}: output_size must be one size or two .* got \(1, 2, 3\)"):
        pool(X, (1, 2, 3))
    with pytest.raises(DTypeError, match=rf"{op}: output_size\[0\] must be an integer, got 1.5"):
        pool(X, (1.5, None))


def test_adaptive_max_pool2d_refuses_images_without_channels_as_torch_does():
    with pytest.raises(ShapeError, match="adaptive_max_pool2d: input must not be empty"):
        adaptive_max_pool2d(wrap(np.zeros((2, 0, 4, 4))), 2)
    assert adaptive_avg_pool2d(wrap(np.zeros((2, 0, 4, 4))), 2).array.shape == (2, 0, 2, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: max_pool2d(x, 2),
        lambda x: avg_pool2d(x, 2),
        lambda x: adaptive_max_pool2d(x, 2),
        lambda x: adaptive_avg_pool2d(x, 2),
    ],
    ids=["max_pool2d", "avg_pool2d", "adaptive_max_pool2d", "adaptive_avg_pool2d"],
)
def test_wrong_types_are_refused(call):
    with pytest.raises(DTypeError, match=r"_pool2d: input must be a tensor, got ndarray; convcore\.tensor"):
        call(np.zeros((1, 1, 4, 4)))
    with pytest.raises(DTypeError, match=r"_pool2d: input must be float32 or float64, got int64; \.float\(\) converts"):
        call(wrap(np.zeros((1, 1, 4, 4), np.int64)))

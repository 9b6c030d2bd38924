"""What conv2d refuses, and how it says so; which algorithm it chooses, and how it explains that."""

import copy
from typing import Any

import numpy as np
import pytest

import convcore
from convcore import ones
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.nn import functional as F
from convcore.ops.conv import algorithm as algorithms
from convcore.ops.conv import functions as conv_ops
from convcore.ops.conv import im2col, table
from convcore.ops.conv.explain import explain_conv2d
from convcore.ops.conv.geometry import conv_geometry

conv2d: Any = conv_ops.conv2d  # it is given wrong arguments on purpose


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: conv2d(ones(3, 3), ones(1, 3, 3, 3)), ShapeError, r"input must have 4 axes .* or 3 .*, it has 2"),
        (lambda: conv2d(ones(1, 3, 5, 5), ones(3, 3, 3)), ShapeError, r"weight must have 4 axes .* it has 3"),
        (
            lambda: conv2d(ones(8, 3, 24, 24), ones(64, 64, 7, 7)), ShapeError,
            r"input has 3 channels but weight expects 64 \(weight.shape\[1\] \* groups = 64 \* 1\)\n"
            r"  input   \(8, 3, 24, 24\)  float32  N, C_in, H, W\n"
            r"  weight  \(64, 64, 7, 7\)  float32  C_out, C_in/groups, K_h, K_w",
        ),
        (
            lambda: conv2d(ones(8, 24, 20, 3), ones(4, 3, 7, 7)), ShapeError,
            r"input looks like N, H, W, C: input.permute\(0, 3, 1, 2\)",
        ),
        (
            lambda: conv2d(ones(1, 4, 5, 5), ones(3, 2, 3, 3), groups=2), ShapeError,
            "groups must divide C_out.* 3 % 2 = 1",
        ),
        (lambda: conv2d(ones(1, 5, 5, 5), ones(4, 2, 3, 3), groups=2), ShapeError, "also divide C_in.* 5 % 2 = 1"),
        (lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), stride=0), ShapeError, "stride must be at least 1, got 0"),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), stride=(1, -2)), ShapeError,
            r"stride\[1\] must be at least 1, got -2",
        ),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), stride=1.0), DTypeError,
            "stride must be an integer, got 1.0",
        ),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), stride=None), DTypeError,
            "stride must be an integer, got None",
        ),
        (lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), stride={1}), DTypeError, "must be integers"),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), dilation=(1, 2, 3)), ShapeError,
            r"dilation must be one integer or two \(height, width\), got \(1, 2, 3\)",
        ),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), padding=-1), ShapeError,
            "padding must be at least 0, got -1",
        ),
        (lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), padding="full"), ShapeError, "'same', 'valid'.*got 'full'"),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), padding="same", stride=2), ShapeError,
            r"padding='same' needs stride 1, got stride \(2, 2\)",
        ),
        (lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), groups=0), ShapeError, "groups must be at least 1, got 0"),
        (
            lambda: conv2d(ones(1, 3, 5, 4), ones(4, 3, 3, 7), padding=1), ShapeError,
            r"padded input's width 6 \(4 \+ 1 \+ 1\) is smaller than the kernel's 7",
        ),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), dilation=3), ShapeError,
            r"height 5 \(5 \+ 0 \+ 0\) is smaller than the kernel's 7 \(3 with dilation 3\)",
        ),
        (lambda: conv2d(ones(1, 3, 5, 5), ones(0, 3, 3, 3)), ShapeError, "weight must not be empty"),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), ones(3)), ShapeError,
            r"one value for each of the 4 output channels\n  weight .*\n  bias    \(3,\)",
        ),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3, dtype=convcore.float64)), DTypeError,
            r"one dtype, got input float32, weight float64; .to\(dtype\) converts",
        ),
        (
            lambda: conv2d(ones(1, 3, 5, 5).long(), ones(4, 3, 3, 3).long()), DTypeError,
            r"must be float32 or float64, got int64; .float\(\) converts",
        ),
        (
            lambda: conv2d(np.ones((1, 3, 5, 5), np.float32), ones(4, 3, 3, 3)), DTypeError,
            r"input must be a tensor, got ndarray; convcore.tensor",
        ),
        (
            lambda: conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), algorithm="fft"), UnsupportedError,
            "there is no algorithm 'fft'; "
            "it must be 'auto' or one of 'pointwise', 'depthwise', 'grouped', 'winograd2x2', 'winograd', "
            "'direct', 'im2col', 'reference'",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_wrong_setting_is_refused_also_after_a_right_one_was_cached():
    conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), stride=1)
    with pytest.raises(DTypeError, match=r"stride must be an integer, got 1\.0"):
        conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), stride=1.0)
    with pytest.raises(DTypeError, match="stride must be an integer, got True"):
        conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), stride=True)


@pytest.mark.parametrize(("kernel", "padding", "stride", "expected"), [(3, 1, 1, 224), (3, 0, 2, 111), (7, 3, 2, 112)])
def test_output_size(kernel, padding, stride, expected):
    x, weight = np.empty((1, 1, 224, 224)), np.empty((1, 1, kernel, kernel))
    assert conv_geometry("conv2d", x, weight, stride, padding, 1, 1).out_shape == (1, 1, expected, expected)


def test_the_checkerboard():
    """The worked example: where pattern and patch agree the sum is 5, elsewhere 0."""
    x = convcore.tensor([[float((h + w) % 2 == 0) for w in range(5)] for h in range(5)]).reshape(1, 1, 5, 5)
    weight = convcore.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]]).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(conv2d(x, weight).numpy()[0, 0], [[5, 0, 5], [0, 5, 0], [5, 0, 5]])


@pytest.fixture
def calls(monkeypatch):
    """The names of the algorithms that run."""
    names = []

    def choose(geometry, pass_name, request, dtype):
        algorithm = copy.copy(table.choose(geometry, pass_name, request, dtype))
        run = getattr(algorithm, pass_name)

        def watched(*arguments):
            names.append(algorithm.name)
            return run(*arguments)

        setattr(algorithm, pass_name, watched)
        return algorithm

    monkeypatch.setattr(conv_ops, "choose", choose)
    return names


def test_the_algorithm_asked_for_runs_in_all_three_passes(calls):
    x, weight = ones(1, 2, 5, 5, requires_grad=True), ones(3, 2, 3, 3, requires_grad=True)
    for algorithm in ("im2col", "reference", "direct"):
        F.conv2d(x, weight, algorithm=algorithm).sum().backward()
        assert calls == [algorithm] * 3
        calls.clear()


def test_a_whole_model_can_be_switched(calls):
    model = convcore.nn.Sequential(convcore.nn.Conv2d(1, 2, 3), convcore.nn.Conv2d(2, 2, 3))
    with convcore.use_algorithm("im2col"):
        out = model(ones(1, 1, 8, 8))
        F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), algorithm="reference")
    assert calls == ["im2col", "im2col", "reference"]
    calls.clear()
    out.sum().backward()  # outside the block: gradients use what their forward used
    assert set(calls) == {"im2col"}
    calls.clear()
    model(ones(1, 1, 8, 8))
    assert calls == ["direct", "direct"]


def test_use_algorithm_is_undone_by_an_error():
    with pytest.raises(RuntimeError, match="on purpose"), convcore.use_algorithm("im2col"):
        raise RuntimeError("on purpose")
    assert algorithms.requested("auto") == "auto"


def test_explanation_names_every_algorithm_with_a_verdict():
    explanation = explain_conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), padding=1)
    assert list(explanation) == ["forward", "grad_input", "grad_weight"]
    for pass_name, verdicts in explanation.items():
        first = ["first_layer"] if pass_name == "grad_input" else []
        names = [
            "pointwise",
            "depthwise",
            "grouped",
            "winograd2x2",
            "winograd",
            *first,
            "direct",
            "im2col",
            "reference",
        ]
        assert [name for name, _ in verdicts] == names, pass_name
    assert explanation.chosen("forward") == "direct"
    text = str(explanation)
    assert "(1, 2, 5, 5) * (3, 2, 3, 3) -> (1, 3, 5, 5), 1,350 multiply-adds" in text
    assert "im2col      accepts, but 'direct' comes first" in text
    asked = explain_conv2d(ones(2, 5, 5), ones(3, 2, 3, 3), algorithm="im2col")
    assert asked.chosen("grad_weight") == "im2col"
    assert "direct      not asked for: algorithm='im2col'" in str(asked)


def test_an_algorithm_that_refuses_says_why(monkeypatch):
    monkeypatch.setattr(im2col, "MAX_PATCHES_ROW_BYTES", 100)
    x, weight = (
        ones(1, 2, 17, 5),
        ones(3, 2, 3, 3),
    )  # sizes for which no choice was kept before
    with pytest.raises(
        UnsupportedError, match=r"'im2col' cannot compute this: the patches of one output row.*3 \* 18 \* 4"
    ):
        conv2d(x, weight, algorithm="im2col")
    assert "im2col      refused: the patches of one output row" in str(explain_conv2d(x, weight))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": (1, 3)}, "its filters must be 1 x 1, they are 1 x 3"),
        ({"padding": 1}, "it takes no padding"),
        ({"groups": 2}, "it computes one group, there are 2"),
    ],
)
def test_pointwise_refuses_what_is_not_one_product(settings, message):
    kernel = settings.pop("kernel", (1, 1))
    x, weight = ones(1, 4, 5, 6), ones(6, 4 // settings.get("groups", 1), *kernel)
    with pytest.raises(UnsupportedError, match=f"algorithm 'pointwise' cannot compute this: {message}"):
        conv2d(x, weight, **settings, algorithm="pointwise")


def test_auto_takes_pointwise_where_it_can():
    assert explain_conv2d(ones(1, 4, 5, 6), ones(3, 4, 1, 1)).chosen("grad_weight") == "pointwise"

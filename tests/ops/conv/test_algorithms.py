"""Selection: what refuses, what is advised against, and that every algorithm that does not refuse computes rightly."""

from typing import Any

import numpy as np
import pytest

import convcore
from convcore import ones
from convcore.errors import UnsupportedError
from convcore.ops.conv.algorithm import ConvAlgorithm, explain, select, use_algorithm
from convcore.ops.conv.explain import explain_conv2d
from convcore.ops.conv.functions import conv2d
from convcore.ops.conv.geometry import conv_geometry
from convcore.ops.conv.table import ALGORITHMS, PASSES
from convcore.ops.core.epilogue import Epilogue
from convcore.ops.core.filters import Filters
from convcore.testing.cases import SMALL_CASES, ConvCase

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
# The largest error, as a fraction of the largest result; Winograd's transforms cost digits.
TOLERANCE = {FLOAT32: 5e-6, FLOAT64: 1e-13}
WINOGRAD_TOLERANCE = {FLOAT32: 5e-5, FLOAT64: 1e-13}


class Objecting(ConvAlgorithm):
    """An algorithm with given objections, which computes nothing."""

    summary = ""

    def __init__(self, name, refusal=None, advice=None):
        self.name, self.refusal, self.advice = name, refusal, advice

    def refuses(self, geometry, dtype):
        return self.refusal

    def advises_against(self, pass_name, geometry, dtype):
        return self.advice


TOO_MUCH, TOO_SLOW = "it is too much", "slower: others are faster"
FOUR = (
    Objecting("refusing", TOO_MUCH, TOO_SLOW),
    Objecting("slow", None, TOO_SLOW),
    Objecting("good"),
    Objecting("last"),
)
GEOMETRY = conv_geometry("conv2d", np.empty((1, 1, 3, 3)), np.empty((1, 1, 3, 3)), 1, 1, 1, 1)


def selected(request):
    return select("op", "forward", FOUR, request, GEOMETRY, FLOAT32).name


def verdicts(request):
    return dict(explain("forward", FOUR, request, GEOMETRY, FLOAT32))


def test_auto_passes_over_what_refuses_and_what_is_advised_against():
    assert selected("auto") == "good"
    assert verdicts("auto") == {
        "refusing": "refused: it is too much ()",
        "slow": "slower: others are faster ()",
        "good": "chosen ()",
        "last": "accepts, but 'good' comes first ()",
    }


def test_what_is_advised_against_may_be_asked_for():
    assert selected("slow") == "slow"
    assert verdicts("slow") == {
        "refusing": "refused: it is too much ()",
        "slow": "chosen ()",
        "good": "not asked for: algorithm='slow' ()",
        "last": "not asked for: algorithm='slow' ()",
    }
    assert verdicts("last")["slow"] == "slower: others are faster ()"


def test_what_refuses_may_not_be_asked_for():
    with pytest.raises(UnsupportedError, match="op: algorithm 'refusing' cannot compute this: it is too much"):
        selected("refusing")


def test_of_several_the_first_that_can_compute_is_taken():
    assert selected(("refusing", "slow", "good")) == "slow"
    assert selected(("refusing", "auto")) == "good"
    assert verdicts(("refusing", "slow"))["slow"] == "chosen ()"
    with pytest.raises(UnsupportedError, match="op: there is no algorithm 'best'"):
        selected(("refusing", "best"))


def test_a_whole_model_may_ask_for_what_only_some_layers_can():
    model = convcore.nn.Sequential(convcore.nn.Conv2d(2, 3, 3, padding=1), convcore.nn.Conv2d(3, 2, 1))
    x = convcore.randn(1, 2, 6, 6)
    with use_algorithm("winograd2x2"), pytest.raises(UnsupportedError, match="it is for 3x3 filters, not 1x1"):
        model(x)
    with use_algorithm("winograd2x2", "auto"):
        out = model(x)
        first = explain_conv2d(x, model[0].weight, padding=1)
    out.sum().backward()
    assert [first.chosen(name) for name in PASSES] == ["winograd2x2"] * 3
    with use_algorithm("direct"):
        np.testing.assert_allclose(out.detach().numpy(), model(x).detach().numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pass_name", PASSES)
def test_the_last_algorithm_has_no_objections(pass_name):
    last = PASSES[pass_name][-1]
    for case in SMALL_CASES:
        geometry = conv_geometry("conv2d", np.empty(case.x_shape), np.empty(case.weight_shape), **case.settings)
        assert last.refuses(geometry, FLOAT64) is None
        assert last.advises_against(pass_name, geometry, FLOAT64) is None


MORE_CASES = (
    ConvCase("many_channels-first_layer", 1, 13, 9, 8, 5, (3, 3), stride=(2, 1), padding=(1, 1)),
    ConvCase("one_group-grouped", 2, 21, 7, 8, 40, (3, 3), padding=(1, 1)),
    ConvCase("wide_groups-grouped", 1, 66, 5, 6, 66, (3, 3), padding=(1, 0), groups=2),
)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("case", [*SMALL_CASES, *MORE_CASES], ids=str)
def test_whatever_does_not_refuse_is_right(case: ConvCase, dtype: Any):
    """By name every algorithm may be asked for, so it must be right also where it is slow."""
    rng = np.random.default_rng(sum(map(ord, case.name)))
    x, weight = rng.standard_normal(case.x_shape).astype(dtype), rng.standard_normal(case.weight_shape).astype(dtype)
    geometry = conv_geometry("conv2d", x, weight, **case.settings)
    bias = rng.standard_normal(case.c_out).astype(dtype)
    grad_out = rng.standard_normal(geometry.out_shape).astype(dtype)
    filters = Filters(weight, bias)
    operands = {"forward": (x, filters), "grad_input": (grad_out, weight), "grad_weight": (x, grad_out)}
    wide = [array.astype(np.float64) for array in (x, weight, bias, grad_out)]
    exact = {
        "forward": (wide[0], Filters(*wide[1:3])), "grad_input": (wide[3], wide[1]), "grad_weight": (wide[0], wide[3])
    }  # fmt: skip
    for pass_name, algorithms in PASSES.items():
        expected = getattr(algorithms[-1], pass_name)(*exact[pass_name], geometry)
        for algorithm in algorithms[:-1]:
            if algorithm.refuses(geometry, dtype) is None:
                actual = getattr(algorithm, pass_name)(*operands[pass_name], geometry)
                tolerance = (WINOGRAD_TOLERANCE if "winograd" in algorithm.name else TOLERANCE)[dtype]
                error = np.abs(actual - expected).max(initial=0)
                assert error <= tolerance * np.abs(expected).max(initial=0), (pass_name, algorithm.name)


@pytest.mark.parametrize("algorithm", [a for a in ALGORITHMS if "forward" in a.passes], ids=lambda a: a.name)
@pytest.mark.parametrize("case", SMALL_CASES, ids=str)
def test_every_algorithm_applies_an_epilogue(case: ConvCase, algorithm: ConvAlgorithm):
    """Small integers, so that the order of the additions does not matter; Winograd rounds nevertheless."""
    rng = np.random.default_rng(0)
    x, weight = (rng.integers(-3, 4, shape).astype(np.float32) for shape in (case.x_shape, case.weight_shape))
    geometry = conv_geometry("conv2d", x, weight, **case.settings)
    if algorithm.refuses(geometry, FLOAT32) is not None:
        return
    residual = rng.integers(-9, 10, geometry.out_shape).astype(np.float32)
    plain = algorithm.forward(x, Filters(weight), geometry)
    added = algorithm.forward(x, Filters(weight), geometry, Epilogue(residual))
    both = algorithm.forward(x, Filters(weight), geometry, Epilogue(residual, "relu"))
    np.testing.assert_allclose(added, plain + residual, rtol=0, atol=1e-3 if "winograd" in algorithm.name else 0)
    np.testing.assert_array_equal(both, np.maximum(added, 0))


def test_convolutions_may_be_asked_for_what_is_slower():
    x, weight = ones(1, 6, 5, 5), ones(6, 6, 3, 3)
    with use_algorithm("winograd"):
        out = conv2d(x, weight, padding=1)
        explanation = explain_conv2d(x, weight, padding=1)
    np.testing.assert_allclose(out.numpy()[0, :, 2, 2], 54, rtol=1e-5)
    assert [explanation.chosen(name) for name in PASSES] == ["winograd"] * 3
    assert explain_conv2d(x, weight, padding=1).chosen("forward") == "direct"


def test_first_layers_may_have_more_channels_only_by_name():
    explanation = explain_conv2d(ones(1, 5, 9, 9), ones(6, 5, 3, 3), padding=1, stride=2)
    assert explanation.chosen("grad_input") == "direct"
    reason = "slower: it is for images of up to 4 channels, here 5"
    assert dict(explanation["grad_input"])["first_layer"].startswith(reason)
    assert explain_conv2d(ones(1, 4, 9, 9), ones(6, 4, 3, 3), padding=1, stride=2).chosen("grad_input") == "first_layer"

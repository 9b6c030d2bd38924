"""ONNX's backend tests: what its specification says an operator computes, convcore computes."""

import functools

import nodes
import numpy as np
import pytest
from operators import OPERATORS
from values import NoCounterpartError

# Operators that convcore does not have, by the reason.
OUTSIDE = {
    "recurrent networks and control flow": "GRU If LSTM LinearAttention Loop RNN Scan",
    "sequences, options, strings and maps": (
        "LabelEncoder OptionalGetElement OptionalHasElement RegexFullMatch SequenceEmpty SequenceInsert "
        "SequenceLength SequenceMap SplitToSequence "
        "StringConcat StringNormalizer StringSplit TfIdfVectorizer"
    ),
    "quantized numbers": (
        "BitCast ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul "
        "QuantizeLinear"
    ),
    "signals and linear algebra": "BlackmanWindow DFT Det HammingWindow HannWindow MelWeightMatrix STFT",
    "detection": "DeformConv ImageDecoder NonMaxSuppression RoiAlign",
    "language models": "CausalConvWithState FlexAttention RotaryEmbedding SwiGLU TensorScatter",
    "trees and features": "ArrayFeatureExtractor Binarizer TreeEnsemble",
    "steps of training, which `optim` takes by torch's rules": "Adagrad Adam Momentum",
    "random numbers, and what torch lacks": "Bernoulli CenterCropPad RandomUniformLike ReverseSequence Unique",
}
# What the operators that it has may refuse, as the message begins.
REFUSED = {
    "element type": "float16 and smaller, unsigned integers of more than a byte, strings, sequences",
    "scores capped": "attention with more than a mask",
    "output": "attention that also returns its scores",
    "a rule of resizing": "ONNX has some forty",
    "corners aligned": "ONNX keeps the fractional size, torch rounds it",
    "average pooling with a dilation": "torch has none",
    "Lp pooling with a dilation": "torch has none",
    "pooling of integers": "convcore pools floating-point numbers",
    "unpooling into a larger image": "ONNX's indices count through the smaller one",
    "fold of other than images": "torch folds images",
    "scattering with": "not built",
    "the extreme of nothing": "an error, as in torch",
    "ONNX's random numbers": "other numbers from the same seed",
}
SUPPORTED = {name: case for name, case in nodes.CASES.items() if nodes.operators_of(case) <= set(OPERATORS)}


@functools.cache  # all cases of an operator are asked for again
def refusal(name: str) -> str | None:
    """Why the case cannot be run; None if it can, and agrees."""
    try:
        nodes.check(SUPPORTED[name])
    except NoCounterpartError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore::UserWarning")  # a mean of a broadcast loss and the like, where torch warns too
@pytest.mark.parametrize("name", SUPPORTED)
def test_node(name):
    reason = refusal(name)
    assert reason is None or reason.startswith(tuple(REFUSED))


@pytest.mark.parametrize("operator", OPERATORS)
def test_some_case_of_every_operator_can_be_run(operator):
    cases = [name for name, case in SUPPORTED.items() if nodes.operators_of(case) == {operator}]
    assert any(refusal(name) is None for name in cases)


def test_every_other_operator_is_listed_with_its_reason():
    listed = set(" ".join(OUTSIDE.values()).split())
    needed = set().union(*[nodes.operators_of(case) for case in nodes.CASES.values()]) - set(OPERATORS)
    assert listed == needed


def test_a_wrong_result_is_noticed(monkeypatch):
    monkeypatch.setitem(OPERATORS, "Relu", lambda x: x)
    with pytest.raises(AssertionError):
        nodes.check(nodes.CASES["test_relu"])
    monkeypatch.setitem(OPERATORS, "Relu", lambda x: x.clamp(min=0).double())
    with pytest.raises(AssertionError):
        nodes.check(nodes.CASES["test_relu"])
    assert np.any(nodes.CASES["test_relu"].data_sets[0][0][0] < 0)  # pyright: ignore[reportOptionalSubscript]

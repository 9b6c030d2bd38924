"""Runs ONNX's own test models on convcore, node by node."""

import warnings
from typing import Any

import numpy as np
import onnx
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_node_model_tests
from operators import OPERATORS
from values import NoCounterpartError, converted

from convcore import Tensor, no_grad

with warnings.catch_warnings():  # of overflows in casts that are to overflow
    warnings.simplefilter("ignore")
    CASES: dict[str, TestCase] = {case.name: case for case in load_node_model_tests()}


def operators_of(case: TestCase) -> set[str]:
    assert case.model is not None
    return {node.op_type for node in case.model.graph.node}


def run(model: onnx.ModelProto, inputs: list[Any]) -> list[Tensor]:
    """The graph's outputs for these arrays."""
    graph = model.graph
    values: dict[str, Tensor | None] = {"": None}
    given = iter(inputs)
    for value in graph.input:  # optional inputs that a case leaves out have an empty name
        values[value.name] = converted(next(given))
    for tensor in graph.initializer:
        values[tensor.name] = converted(onnx.numpy_helper.to_array(tensor))
    for node in graph.node:
        attributes = {a.name: plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        if node.op_type == "Split" and len(node.input) < 2:
            attributes.setdefault("num_outputs", len(node.output))
        operands = [values[name] for name in node.input]
        result = OPERATORS[node.op_type](*operands, **attributes)
        results = result if isinstance(result, (tuple, list)) else (result,)
        if len(node.output) > len(results):
            raise NoCounterpartError(f"output {len(results)} of {node.op_type}")
        values.update(zip(node.output, results, strict=False))
    return [result for value in graph.output if (result := values[value.name]) is not None]


def plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def check(case: TestCase) -> None:
    """Raise AssertionError if convcore's results are not those of the case, NoCounterpartError if it cannot run it."""
    assert case.model is not None
    assert case.data_sets is not None
    for inputs, outputs in case.data_sets:
        expected = [converted(array) for array in outputs]
        with no_grad():
            results = run(case.model, list(inputs))
        for actual, right in zip(results, expected, strict=True):
            assert actual.shape == right.shape
            assert actual.dtype == right.dtype
            np.testing.assert_allclose(actual.numpy(), right.numpy(), rtol=case.rtol, atol=max(case.atol, 1e-6))

"""The networks are torchvision's: keys, shapes, numbers of parameters, outputs, gradients, running statistics."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import convcore
from convcore import models, nn

sys.path.insert(0, str(Path(__file__).parent))
from model_recipe import CASES, CLASSES, STRUCTURES, evaluate, structure, train

FOLDER = Path(__file__).parent
STRUCTURE = json.loads((FOLDER / "references.json").read_text())["models"]


def reference(case):
    with np.load(FOLDER / "references.npz") as stored:
        prefix = f"{case.model}/"
        return {key.removeprefix(prefix): stored[key] for key in stored.files if key.startswith(prefix)}


def largest_error(actual, expected):
    """Relative to the largest number."""
    assert actual.shape == expected.shape
    if actual.size == 0:  # the buffers of a network without batch norm
        return 0.0
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def assert_same(actual, expected, tolerance):
    assert actual.keys() == expected.keys()
    for key, right in expected.items():
        error = largest_error(actual[key], right)
        assert error <= tolerance, f"{key}: relative error {error:.3g}"


@pytest.mark.parametrize("name", STRUCTURES)
def test_keys_shapes_and_parameters(name):
    with nn.init.skipped():
        assert structure(models.get_model(name)) == STRUCTURE[name]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.model)
def test_outputs_gradients_and_statistics(case):
    with nn.init.skipped():
        model = getattr(models, case.model)(num_classes=CLASSES, **case.settings)
    expected = reference(case)
    outputs = expected.pop("eval")
    assert largest_error(evaluate(convcore, model, case, "float32"), outputs) <= 1e-4
    actual = train(convcore, model, case, case.dtype)
    if case.dtype == "float64":
        assert_same(actual, expected, 1e-7)
    else:  # a gradient's single numbers may be sums of larger ones that cancel
        assert largest_error(actual["loss"], expected["loss"]) <= 1e-4
        assert largest_error(actual["norms"], expected["norms"]) <= 1e-3

"""Ten optimiser steps of both networks, against PyTorch live and against what it computed when it was stored."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import convcore

sys.path.insert(0, str(Path(__file__).parent))
from recipe import NETWORKS, OPTIMISERS, condensed, train

REFERENCES = Path(__file__).with_name("references.npz")
every_run = pytest.mark.parametrize(
    ("name", "optimiser"), [(name, optimiser) for name in NETWORKS for optimiser in OPTIMISERS]
)


def relative_error(actual, expected):
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-30))


# A batch norm subtracts whatever the bias before it adds: the gradient of such a bias is zero but for rounding.
ZERO_GRADIENTS = {
    f"grad.{key}" for key in ("features.0.bias", "features.4.bias", "conv1.bias", "conv2.bias", "conv3.bias")
}


def assert_same_run(actual, expected, losses, values):
    """Equal within the relative errors `losses` for the losses and `values` for everything else."""
    assert actual.keys() == expected.keys()
    for key, right in expected.items():
        if key in ZERO_GRADIENTS:
            assert np.abs(actual[key] - right).max() <= values, key
        else:
            error = relative_error(actual[key], right)
            assert error <= (losses if key == "losses" else values), f"{key}: relative error {error:.3g}"


def convcore_run(name, optimiser, dtype):
    """The run on convcore's own models, not on the layers that the recipe lines up for torch."""
    model = convcore.models.get_model(name)
    next(m for m in model.modules() if isinstance(m, convcore.nn.Dropout)).p = 0.0
    return train(convcore, name, optimiser, dtype, model)


@every_run
def test_float64_equals_torch(name, optimiser):
    actual, expected = convcore_run(name, optimiser, "float64"), train(torch, name, optimiser, "float64")
    assert_same_run(actual, expected, losses=1e-9, values=1e-7)


@every_run
def test_float32_equals_torch(name, optimiser):
    actual, expected = convcore_run(name, optimiser, "float32"), train(torch, name, optimiser, "float32")
    assert relative_error(actual["losses"], expected["losses"]) <= 1e-4
    assert relative_error(actual["outputs"], expected["outputs"]) <= 1e-5


@every_run
def test_float64_equals_the_stored_reference(name, optimiser):
    with np.load(REFERENCES) as stored:
        prefix = f"{name}/{optimiser}/"
        expected = {key.removeprefix(prefix): stored[key] for key in stored.files if key.startswith(prefix)}
    actual = condensed(convcore_run(name, optimiser, "float64"))
    assert_same_run(actual, expected, losses=1e-9, values=1e-7)


def test_the_same_code_runs_with_both_libraries():
    """The recipe's own networks, built from convcore's layers, are convcore's models."""
    actual, expected = train(convcore, "cnn", "sgd", "float64"), convcore_run("cnn", "sgd", "float64")
    for key in expected:
        np.testing.assert_array_equal(actual[key], expected[key], err_msg=key)


@pytest.mark.parametrize(
    "key", ["losses", "grad.features.4.weight", "state.features.1.running_var", "state.classifier.4.bias"]
)
def test_the_comparison_notices_a_wrong_run(key):
    with np.load(REFERENCES) as stored:
        right = {k.removeprefix("cnn/sgd/"): stored[k] for k in stored.files if k.startswith("cnn/sgd/")}
    assert_same_run(right, right, losses=1e-9, values=1e-7)
    with pytest.raises(AssertionError, match=re.escape(key)):
        assert_same_run({**right, key: right[key] * (1 + 1e-6)}, right, losses=1e-9, values=1e-7)

"""What overflows in Winograd's transforms but not in the direct algorithm is right where "auto" has chosen Winograd."""

import warnings
from typing import Any

import numpy as np
import pytest

import convcore
from convcore import nn
from convcore.nn import functional as F

# (batch, channels, size, filters): few filters and many, whole vectors and odd channels, whole tiles and ragged ones.
SHAPES = [(2, 32, 20, 64), (1, 64, 7, 256), (3, 17, 13, 33), (1, 16, 6, 16)]
MAGNITUDES = [(3e36, 1e-4), (1e-4, 3e36), (1e20, 1e16), (3e37, 1e-30)]


def drawn(*shape, scale=1.0, seed=0):
    return convcore.tensor((np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32))


def bits(tensor):
    return tensor.detach().array.tobytes()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("magnitudes", MAGNITUDES)
def test_all_passes_are_finite_where_those_of_the_direct_algorithm_are(shape, magnitudes):
    n, c, size, filters = shape
    results = {}
    for name in ("auto", "direct"):
        x = drawn(n, c, size, size, scale=magnitudes[0]).requires_grad_()
        weight = drawn(filters, c, 3, 3, scale=magnitudes[1], seed=1).requires_grad_()
        out = F.conv2d(x, weight, padding=1, algorithm=name)
        out.backward(drawn(*out.shape, seed=2))
        results[name] = [out, x.grad, weight.grad]
    for auto, direct in zip(*results.values(), strict=True):
        finite = np.isfinite(direct.array)
        expected = direct.array[finite].astype(np.float64)
        assert np.isfinite(auto.array[finite]).all()
        assert np.abs(auto.array[finite] - expected).max(initial=0) <= 5e-5 * np.abs(expected).max(initial=0)


def test_winograd_overflows_here():
    """Else the test above shows nothing."""
    x, weight = drawn(2, 32, 20, 20, scale=3e36), drawn(64, 32, 3, 3, scale=1e-4)
    assert "  winograd    chosen" in str(convcore.explain_conv2d(x, weight, padding=1))
    assert np.isnan(F.conv2d(x, weight, padding=1, algorithm="winograd").array).any()
    assert np.isfinite(F.conv2d(x, weight, padding=1).array).all()


def test_a_nan_stays_where_its_filter_reaches():
    x, weight = drawn(1, 32, 16, 16), drawn(64, 32, 3, 3)
    x[0, 3, 8, 8] = float("nan")
    reached = np.isnan(F.conv2d(x, weight, padding=1).array)[0]
    assert reached[:, 7:10, 7:10].all()
    assert reached.sum() == 64 * 9


@pytest.mark.parametrize("in_place", [False, True])
def test_with_batch_norm_sum_and_relu_in_one_kernel(in_place):
    convcore.manual_seed(0)
    layers: Any = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)).eval()
    x = drawn(1, 32, 16, 16, scale=5e36)
    with convcore.no_grad():
        layers[0].weight.mul_(1e-3)

        def block():
            total = layers(x).add_(x) if in_place else layers(x) + x
            return total.relu()

        result = block()
        with convcore.use_algorithm("direct"):
            expected = block()
    assert np.isfinite(expected.array).all()
    assert bits(result) == bits(expected)


def test_in_a_compiled_model():
    """A list of calls looks whether a kernel has met an infinity; then the model is called, and the list holds on."""
    model: Any = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 32, 3, padding=1)).eval()
    compiled = convcore.compile(model)
    with convcore.no_grad():
        model[0].weight.mul_(1e-4)
        usual, large = drawn(1, 32, 16, 16), drawn(1, 32, 16, 16, scale=3e36)
        for x in (usual, usual, usual, large, usual, large, large, usual):
            assert bits(compiled(x)) == bits(model(x))
        assert np.isfinite(model(large).array).all()
        assert compiled.steps(usual)


def test_in_a_model_that_is_compiled_with_such_numbers():
    model: Any = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1)).eval()
    compiled = convcore.compile(model)
    with convcore.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model[0].weight.mul_(1e-4)
        for x in (drawn(1, 32, 16, 16, scale=3e36), drawn(1, 32, 16, 16), drawn(1, 32, 16, 16, scale=3e36)):
            for _ in range(3):
                assert bits(compiled(x)) == bits(model(x))

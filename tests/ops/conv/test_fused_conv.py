"""Convolutions that wait for the batch norm and the ReLU after them: the same numbers, whenever somebody looks."""

import contextlib
from typing import Any

import numpy as np
import pytest

import convcore
import convcore.nn.functional as F
from convcore import nn
from convcore.autograd import no_fusion
from convcore.errors import UnsupportedError
from convcore.ops.core import weight_cache

CASES = {
    "direct": ((2, 5, 40, 40), (24, 5, 3, 3), {"stride": 2, "padding": 1}),
    "pointwise": ((2, 20, 24, 24), (40, 20, 1, 1), {}),
    "depthwise": ((2, 24, 24, 24), (24, 1, 3, 3), {"groups": 24, "padding": 1}),
    "winograd": ((2, 32, 28, 28), (40, 32, 3, 3), {"padding": 1}),
    "im2col": ((2, 4, 40, 40), (16, 4, 3, 3), {}),
    "reference": ((2, 4, 40, 40), (16, 4, 3, 3), {}),
}


def operands(x_shape, weight_shape, dtype=np.float32):
    convcore.manual_seed(3)
    return [convcore.randn(*shape).to(dtype) for shape in (x_shape, weight_shape, weight_shape[:1])]


def statistics(channels, dtype=np.float32):
    """Running mean, running variance, weight, bias."""
    tensors = [convcore.randn(channels).to(dtype) for _ in range(4)]
    return [tensors[0], tensors[1] * tensors[1] + 0.1, *tensors[2:]]


def block(x, weight, bias, algorithm, norm, settings):
    return F.relu(F.batch_norm(F.conv2d(x, weight, bias, algorithm=algorithm, **settings), *norm))


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("algorithm", CASES)
def test_conv_batch_norm_relu_is_the_same_as_one_by_one(algorithm, dtype):
    if algorithm == "winograd" and dtype == np.float64:
        algorithm = "auto"
    x_shape, weight_shape, settings = CASES["winograd" if algorithm == "auto" else algorithm]
    x, weight, bias = operands(x_shape, weight_shape, dtype)
    norm = statistics(weight_shape[0], dtype)
    with no_fusion():
        right = block(x, weight, bias, algorithm, norm, settings).numpy()
    for given in (bias, None):
        with no_fusion():
            right = block(x, weight, given, algorithm, norm, settings).numpy()
        result = block(x, weight, given, algorithm, norm, settings)
        assert result.deferred is not None
        tolerance = 1e-12 if dtype == np.float64 else 1e-5
        np.testing.assert_allclose(result.numpy(), right, rtol=0, atol=tolerance * np.abs(right).max())
        assert result.shape == right.shape
        assert (right == 0).any()


@pytest.mark.parametrize("algorithm", CASES)
def test_relu_alone_changes_no_bit(algorithm):
    x_shape, weight_shape, settings = CASES[algorithm]
    x, weight, bias = operands(x_shape, weight_shape)
    x[0, 0, 5, 5] = float("nan")
    plain = F.conv2d(x, weight, bias, algorithm=algorithm, **settings).numpy()
    fused = F.relu(F.conv2d(x, weight, bias, algorithm=algorithm, **settings))
    assert fused.deferred is not None
    assert np.isnan(plain).any()
    np.testing.assert_array_equal(fused.numpy(), np.where(plain <= 0, 0, plain))


def test_what_stands_between_can_be_seen():
    x, weight, bias = operands(*CASES["direct"][:2])
    norm = statistics(24)
    with no_fusion():
        conv = F.conv2d(x, weight, bias).numpy()
    waiting = F.conv2d(x, weight, bias)
    out = F.relu(F.batch_norm(waiting, *norm))
    np.testing.assert_array_equal(waiting.numpy(), conv)
    np.testing.assert_allclose(out.numpy(), F.relu(F.batch_norm(convcore.tensor(conv), *norm)).numpy(), atol=1e-4)


def test_relu_in_place_stays_fused():
    x, weight, bias = operands(*CASES["direct"][:2])
    out = F.conv2d(x, weight, bias)
    same = F.relu(out, inplace=True)
    assert same is out
    assert out.deferred is not None
    with no_fusion():
        right = F.relu(F.conv2d(x, weight, bias)).numpy()
    np.testing.assert_array_equal(out.numpy(), right)


def test_pooling_and_training_mode_take_the_convolution_as_it_is():
    x, weight, bias = operands(*CASES["direct"][:2])
    with no_fusion():
        conv = F.conv2d(x, weight, bias)
        pooled, trained = F.max_pool2d(conv, 2).numpy(), F.batch_norm(conv, None, None, training=True).numpy()
    np.testing.assert_array_equal(F.max_pool2d(F.conv2d(x, weight, bias), 2).numpy(), pooled)
    np.testing.assert_array_equal(F.batch_norm(F.conv2d(x, weight, bias), None, None, training=True).numpy(), trained)


@pytest.mark.parametrize("changed", ["x", "weight", "bias"])
def test_a_change_after_the_call_is_not_seen(changed):
    x, weight, bias = operands(*CASES["direct"][:2])
    with no_fusion():
        right = F.conv2d(x, weight, bias).numpy()
    out = F.conv2d(x, weight, bias)
    {"x": x, "weight": weight, "bias": bias}[changed].zero_()
    np.testing.assert_array_equal(out.numpy(), right)


@pytest.mark.parametrize("exposed", ["x", "weight", "bias"])
def test_memory_that_numpy_can_write_to_is_not_waited_on(exposed):
    x, weight, bias = operands(*CASES["direct"][:2])
    with no_fusion():
        right = F.conv2d(x, weight, bias).numpy()
    array = {"x": x, "weight": weight, "bias": bias}[exposed].numpy()
    out = F.conv2d(x, weight, bias)
    array[...] = 7
    np.testing.assert_array_equal(out.numpy(), right)


def test_a_small_exposed_image_is_copied_and_waits():
    _, weight, bias = operands((1, 1, 8, 8), (64, 1, 3, 3))
    memory = np.random.default_rng(0).standard_normal((4, 1, 28, 28)).astype(np.float32)
    x = convcore.from_numpy(memory)
    with no_fusion():
        right = F.conv2d(x, weight, bias).numpy()
    out = F.conv2d(x, weight, bias)
    assert out.deferred is not None
    memory[...] = 0
    np.testing.assert_array_equal(out.numpy(), right)


def test_recorded_convolutions_do_not_wait():
    x, weight, bias = operands(*CASES["direct"][:2])
    weight.requires_grad_()
    out = F.conv2d(x, weight, bias)
    assert out.deferred is None
    assert out.grad_fn is not None
    with convcore.no_grad():
        assert F.conv2d(x, weight, bias).deferred is not None


def test_errors_come_with_the_call():
    x, weight, bias = operands(*CASES["direct"][:2])
    with pytest.raises(UnsupportedError, match="algorithm 'pointwise' cannot compute this"):
        F.conv2d(x, weight, bias, algorithm="pointwise")


def model() -> Any:
    convcore.manual_seed(1)
    layers = nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 40, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(640, 64),
    )  # fmt: skip
    x = convcore.randn(32, 3, 32, 32)
    layers(x)
    return layers.eval(), x


def outputs(layers, x):
    with convcore.no_grad():
        return layers(x).numpy().copy()


def test_rearranged_weights_are_kept_until_the_weights_change():
    layers, x = model()
    weight_cache.clear()
    first = outputs(layers, x)
    kept = weight_cache.stats()
    assert kept["entries"] >= 3  # scaled filters, filters in panels, a right operand in panels
    np.testing.assert_array_equal(outputs(layers, x), first)
    assert weight_cache.stats() == kept
    for change in (
        lambda: layers[0].weight.detach().mul_(2),
        lambda: layers[1].running_var.mul_(3),
        lambda: layers[3].weight.detach().add_(0.5),
        lambda: layers[7].weight.detach().neg_(),
        lambda: layers.load_state_dict({k: v.clone() * 1.5 for k, v in layers.state_dict().items()}),
        lambda: layers[7].weight.detach().numpy().fill(0.25),
    ):
        change()
        with no_fusion():
            right = outputs(layers, x)
        assert not np.allclose(right, first, atol=1e-3)
        np.testing.assert_allclose(outputs(layers, x), right, rtol=0, atol=2e-5 * np.abs(right).max())
        first = right


def test_training_keeps_nothing():
    layers, x = model()
    weight_cache.clear()
    layers.train()
    layers(x).sum().backward()
    assert weight_cache.stats()["entries"] == 0


ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "silu": F.silu,
    "sigmoid": F.sigmoid,
    "elu": lambda x: F.elu(x, 0.5),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "silu_in_place": lambda x: F.silu(x, inplace=True),
    "relu6_in_place": lambda x: F.relu6(x, inplace=True),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("algorithm", ["direct", "depthwise"])
def test_any_activation_waits_with_the_convolution(name, algorithm):
    x_shape, weight_shape, settings = CASES[algorithm]
    x, weight, _ = operands(x_shape, weight_shape)
    norm = statistics(weight_shape[0])

    def block():
        return ACTIVATIONS[name](F.batch_norm(F.conv2d(x, weight, algorithm=algorithm, **settings), *norm))

    with no_fusion():
        right = block().numpy()
    out = block()
    assert out.deferred is not None
    np.testing.assert_allclose(out.numpy(), right, rtol=0, atol=1e-5 * np.abs(right).max())


def test_a_second_activation_takes_the_first_as_it_is():
    x, weight, _ = operands(*CASES["direct"][:2])
    with no_fusion():
        right = F.silu(F.relu(F.conv2d(x, weight))).numpy()
    np.testing.assert_array_equal(F.silu(F.relu(F.conv2d(x, weight))).numpy(), right)
    first = F.relu(F.conv2d(x, weight))
    assert F.silu(first, inplace=True) is first
    np.testing.assert_array_equal(first.numpy(), right)


def test_a_trained_batch_norm_after_a_frozen_convolution_gets_its_gradients():
    """As in transfer learning where only some layers are frozen, with statistics that stay."""
    conv, norm = nn.Conv2d(5, 24, 3, padding=1).requires_grad_(False), nn.BatchNorm2d(24).eval()
    x = convcore.randn(2, 5, 20, 20)
    gradients = []
    for context in (contextlib.nullcontext(), no_fusion()):
        with context:
            norm.zero_grad()
            F.relu(norm(conv(x))).sum().backward()
            gradients.append([np.array(parameter.grad) for parameter in norm.parameters()])
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-4)
    assert np.abs(gradients[0]).min() > 0


def test_series_keep_one_arrangement_of_their_filters():
    """The weight is seen as one of images through another view at each call."""
    layer, x = nn.Conv1d(8, 16, 3), convcore.randn(2, 8, 50)
    weight_cache.clear()
    with convcore.no_grad():
        first = layer(x).numpy()
        kept = weight_cache.stats()
        assert kept["entries"] == 1
        np.testing.assert_array_equal(layer(x).numpy(), first)
        assert weight_cache.stats() == kept


def test_the_same_filters_in_other_groups_are_arranged_anew():
    weight = convcore.randn(32, 4, 3, 3)
    for groups in (1, 2, 4, 2, 1):
        x = convcore.randn(1, 4 * groups, 20, 20)
        with no_fusion():
            right = F.conv2d(x, weight.clone(), groups=groups, algorithm="direct").numpy()
        np.testing.assert_array_equal(F.conv2d(x, weight, groups=groups, algorithm="direct").numpy(), right)

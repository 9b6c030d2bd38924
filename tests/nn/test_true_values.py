"""Where convcore and PyTorch differ, the true value decides: from the definition, or from float64.

Either PyTorch is wrong and convcore right, or both are as far from the true value as rounding is bound to be.
"""

from typing import Any

import numpy as np
import pytest
import torch

import convcore

LIBRARIES: tuple[Any, Any] = convcore, torch


def numbers(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def test_the_slope_of_hardsigmoid_is_one_sixth_in_float64():
    """PyTorch multiplies by a sixth that was rounded to float32."""
    slopes = []
    for library in LIBRARIES:
        x = library.linspace(-2.5, 2.5, 11, dtype=library.float64).requires_grad_()
        library.nn.functional.hardsigmoid(x).sum().backward()
        slopes.append(x.grad.numpy())
    np.testing.assert_array_equal(slopes[0], np.full(11, 1 / 6))
    assert np.abs(slopes[1] - 1 / 6).min() > 1e-9


@pytest.mark.parametrize(
    ("layer", "shape"), [("BatchNorm1d", (6, 3)), ("BatchNorm2d", (2, 3, 4, 4)), ("BatchNorm3d", (2, 3, 2, 2, 2))]
)
def test_what_was_evaluated_keeps_its_gradient_when_the_layer_is_trained_later(layer, shape):
    """In evaluation y = weight * (x - mean) / sqrt(var + eps) + bias with the statistics of that moment.

    Training moves them before the backward pass of the evaluation, and PyTorch, which reads them then, takes the moved
    ones.
    """
    rng = np.random.default_rng(0)
    x, later, grad_out = (rng.standard_normal(shape) for _ in range(3))
    mean, var, weight = rng.standard_normal(3), rng.random(3) + 0.5, rng.standard_normal(3)
    along = (-1, *[1] * (len(shape) - 2))
    xhat = (x - mean.reshape(along)) / np.sqrt(var + 1e-5).reshape(along)
    true_x = grad_out * (weight / np.sqrt(var + 1e-5)).reshape(along)
    true_weight = (grad_out * xhat).sum(axis=(0, *range(2, len(shape))))
    errors = []
    for library in LIBRARIES:
        norm = getattr(library.nn, layer)(3, dtype=library.float64)
        state = {"running_mean": mean, "running_var": var, "weight": weight}
        norm.load_state_dict({k: library.tensor(v.copy()) for k, v in state.items()}, strict=False)
        image = library.tensor(x, requires_grad=True)
        y = norm.eval()(image)
        norm.train()(library.tensor(later * 5 + 3))
        y.backward(library.tensor(grad_out))
        errors.append([np.abs(image.grad.numpy() - true_x).max(), np.abs(norm.weight.grad.numpy() - true_weight).max()])
    assert max(errors[0]) < 1e-12
    assert min(errors[1]) > 1e-2


def attention_gradient(library: Any, dtype: str, state: dict[str, np.ndarray], x: np.ndarray, grad_out: np.ndarray):
    """The gradient of three words of three numbers, in self-attention."""
    layer = library.nn.MultiheadAttention(3, 3, dtype=getattr(library, dtype))
    layer.load_state_dict({name: library.tensor(value.astype(dtype)) for name, value in state.items()})
    words = library.tensor(x.astype(dtype), requires_grad=True)
    layer(words, words, words)[0].backward(library.tensor(grad_out.astype(dtype)))
    return numbers(words.grad)


def test_float32_rounds_the_gradients_of_attention_as_much_as_pytorch():
    """Large scores make softmax nearly 0 and 1, and its gradient the difference of nearly equal numbers.

    Then what is left has lost digits, and two libraries that add in another order differ by more than they do
    elsewhere: here by up to 3e-5 of the largest gradient. Both are equally far from float64.
    """
    errors = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shapes = {"in_proj_weight": (9, 3), "in_proj_bias": (9,), "out_proj.weight": (3, 3), "out_proj.bias": (3,)}
        state = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        x, grad_out = (rng.standard_normal((3, 3)).astype(np.float32) * size for size in (10, 1))
        true = attention_gradient(torch, "float64", state, x, grad_out)
        scale = np.abs(true).max()
        exact = attention_gradient(convcore, "float64", state, x, grad_out)
        assert np.abs(exact - true).max() < 1e-10 * scale
        found = [attention_gradient(library, "float32", state, x, grad_out) for library in LIBRARIES]
        errors.append([np.abs(f - true).max() / scale for f in found])
    ours, theirs = np.array(errors).T
    assert ours.mean() < 1.5 * theirs.mean()
    assert np.median(ours) < 1.5 * np.median(theirs)
    assert min(ours.max(), theirs.max()) > 1e-5, "no case shows what this is about"


def train(library: Any, dtype: str, steps: int = 30, lr: float = 1e-3) -> dict[str, np.ndarray]:
    """The state of a network whose convolution has a bias before its batch norm, after some steps of Adam."""
    rng, nn = np.random.default_rng(0), library.nn
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    state = {name: rng.standard_normal(tuple(p.shape)) * 0.3 for name, p in net.named_parameters()}
    net.load_state_dict({name: library.tensor(value.astype(np.float32)) for name, value in state.items()}, strict=False)
    net.to(getattr(library, dtype))
    x = library.tensor(rng.standard_normal((8, 2, 8, 8)).astype(dtype))
    label = library.tensor(rng.integers(0, 3, 8))
    optimizer, before = library.optim.Adam(net.parameters(), lr=lr), numbers(net[0].bias).copy()
    for _ in range(steps):
        optimizer.zero_grad()
        library.nn.functional.cross_entropy(net(x), label).backward()
        optimizer.step()
    gradients = {"bias": numbers(net[0].bias.grad), "weight": numbers(net[0].weight.grad)}
    return {"moved": numbers(net[0].bias) - before, "scores": numbers(net(x)), **gradients}


def test_a_bias_before_a_batch_norm_is_moved_by_rounding_alone():
    """The norm takes the mean away again, so the bias has a gradient of zero, and of it only the rounding is left.

    Adam divides a gradient by how large it usually is: steps of full length in directions that rounding draws. In
    float64 the rounding is far below Adam's eps, and the bias stays. What the network computes does not depend on it.
    """
    single, double = ([train(library, dtype) for library in LIBRARIES] for dtype in ("float32", "float64"))
    for exact, rounded in zip(double, single, strict=True):
        assert np.abs(exact["moved"]).max() < 1e-9
        assert 1e-3 < np.abs(rounded["moved"]).max() <= 30 * 1e-3
        assert np.abs(rounded["bias"]).max() < 1e-6 * np.abs(rounded["weight"]).max()
    assert np.abs(single[0]["moved"] - single[1]["moved"]).max() > 1e-3
    np.testing.assert_allclose(single[0]["scores"], single[1]["scores"], atol=1e-5)
    np.testing.assert_allclose(single[0]["scores"], double[1]["scores"], atol=1e-5)

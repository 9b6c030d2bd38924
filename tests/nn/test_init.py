"""Initial weights: the distributions are torch's, the numbers come from convcore's own generator."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

import convcore as cc
from convcore import nn
from convcore.errors import ShapeError, UnsupportedError
from convcore.nn import init
from convcore.random import default_generator

SHAPE = (60, 50, 3, 3)

DRAWS = [
    ("uniform_", {}),
    ("uniform_", {"a": -3.0, "b": -1.0}),
    ("normal_", {}),
    ("normal_", {"mean": 2.0, "std": 0.5}),
    ("trunc_normal_", {}),
    ("trunc_normal_", {"mean": 0.5, "std": 2.0, "a": -1.0, "b": 0.7}),
    ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"a": 0.3, "mode": "fan_out"}),
    ("kaiming_normal_", {"nonlinearity": "relu"}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "tanh"}),
    ("xavier_uniform_", {}),
    ("xavier_normal_", {"gain": 2.0}),
]


def chance(ours, theirs):
    """How likely two samples of one distribution differ as much as these (Kolmogorov-Smirnov)."""
    result: Any = ks_2samp(ours, theirs)
    return result.pvalue


def same_distribution(ours, theirs):
    """Fails by chance for one seed in ten thousand; the seeds are fixed."""
    assert chance(np.ravel(ours), np.ravel(theirs)) > 1e-4
    assert abs(ours.mean() - theirs.mean()) < 0.02 * theirs.std()
    assert abs(ours.std() / theirs.std() - 1) < 0.02


@pytest.mark.parametrize(("name", "settings"), DRAWS)
def test_draws_are_distributed_as_torchs(name, settings):
    cc.manual_seed(1)
    torch.manual_seed(1)
    weight = nn.Parameter(cc.zeros(*SHAPE))
    assert getattr(init, name)(weight, **settings) is weight
    expected = getattr(torch.nn.init, name)(torch.empty(SHAPE), **settings).numpy()
    same_distribution(weight.array, expected)
    assert weight.requires_grad
    assert weight.is_leaf
    assert weight.dtype == np.float32


@pytest.mark.parametrize(
    "build",
    [
        lambda lib: lib.Conv2d(64, 96, 3),
        lambda lib: lib.Conv2d(64, 96, (3, 5), groups=4),
        lambda lib: lib.Linear(300, 400),
    ],
)
def test_default_weights_are_distributed_as_torchs(build):
    cc.manual_seed(2)
    torch.manual_seed(2)
    ours, theirs = build(nn), build(torch.nn)
    same_distribution(ours.weight.array, theirs.weight.detach().numpy())
    fan_in = np.prod(ours.weight.shape[1:])
    assert abs(ours.weight.array).max() <= 1 / np.sqrt(fan_in)
    biases = np.concatenate([build(nn).bias.array for _ in range(20)])
    expected = np.concatenate([build(torch.nn).bias.detach().numpy() for _ in range(20)])
    assert chance(biases, expected) > 1e-4
    assert abs(biases).max() <= 1 / np.sqrt(fan_in)


def test_bounds():
    weight = cc.zeros(200, 100)
    init.trunc_normal_(weight, 0.0, 1.0, -0.5, 0.25)
    assert weight.array.min() >= -0.5
    assert weight.array.max() <= 0.25
    init.uniform_(weight, 2.0, 3.0)
    assert weight.array.min() >= 2
    assert weight.array.max() <= 3


def test_constants():
    weight = nn.Parameter(cc.ones(2, 2))
    assert init.zeros_(weight).tolist() == [[0, 0], [0, 0]]
    assert init.ones_(weight).tolist() == [[1, 1], [1, 1]]
    assert init.constant_(weight, 0.5).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_the_seed_decides():
    def draw(generator=None):
        return init.normal_(cc.zeros(5), generator=generator).tolist()

    cc.manual_seed(3)
    first, second = draw(), draw()
    cc.manual_seed(3)
    assert draw() == first != second
    assert draw(cc.Generator(3)) == first
    cc.manual_seed(4)
    assert draw() != first


def test_float32_and_float64_get_the_same_numbers():
    cc.manual_seed(3)
    single = nn.Linear(4, 3)
    cc.manual_seed(3)
    double = nn.Linear(4, 3, dtype=cc.float64)
    assert np.array_equal(single.weight.array, double.weight.array.astype(np.float32))


def test_a_change_is_noticed_by_backward():
    weight = nn.Parameter(cc.ones(2))
    out = (weight * weight).sum()
    init.zeros_(weight)
    with pytest.raises(RuntimeError, match="changed in place"):
        out.backward()


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 3, 2)])
def test_fans(shape):
    expected = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    assert init._calculate_fan_in_and_fan_out(cc.zeros(*shape)) == expected


@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"])
def test_gains(name):
    assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain(name, 0.3) == pytest.approx(torch.nn.init.calculate_gain(name, 0.3))


def test_empty_weights_stay_empty():
    for name in ("kaiming_uniform_", "kaiming_normal_"):
        assert getattr(init, name)(cc.zeros(0, 3)).shape == (0, 3)


def test_wrong_arguments():
    with pytest.raises(ShapeError, match=r"need a weight of at least 2 axes .* got shape \(3,\)"):
        init.kaiming_uniform_(cc.zeros(3))
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', got 'fan'"):
        init.kaiming_normal_(cc.zeros(3, 3), mode="fan")
    with pytest.raises(UnsupportedError, match=r"nonlinearity must be one of .*relu.*, got 'gelu'"):
        init.calculate_gain("gelu")
    with pytest.raises(ValueError, match="param must be a number, the negative slope, got 'x'"):
        init.calculate_gain("leaky_relu", "x")  # pyright: ignore[reportArgumentType]


def test_skipped_layers_are_not_initialised():
    cc.manual_seed(0)
    with init.skipped(), init.skipped(False):
        layer = nn.Linear(3, 2)
        init.ones_(layer.weight.detach())
    first = default_generator.numpy.random()
    cc.manual_seed(0)
    assert default_generator.numpy.random() == first, "skipped layers drew numbers"
    init.zeros_(layer.weight)
    assert not layer.weight.detach().numpy().any()


def test_large_tensors_get_the_numbers_of_one_draw():
    generator = cc.Generator(5)
    expected = np.random.default_rng(5).normal(1.0, 2.0, 3 * init._CHUNK + 7).astype(np.float32)
    drawn = init.normal_(cc.zeros(3 * init._CHUNK + 7), 1.0, 2.0, generator).numpy()
    np.testing.assert_array_equal(drawn, expected)
    transposed = cc.zeros(50, 70).t()
    init.normal_(transposed, 1.0, 2.0, cc.Generator(5))
    np.testing.assert_array_equal(transposed.numpy(), expected[:3500].reshape(70, 50))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", [(4, 2, 3), (6, 4, 3, 5), (2, 4, 1, 2, 3)])
def test_dirac_and_eye_are_torchs(shape, groups):
    ours, theirs = cc.ones(*shape), torch.ones(*shape)
    assert init.dirac_(ours, groups) is ours
    torch.nn.init.dirac_(theirs, groups)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    np.testing.assert_array_equal(init.eye_(cc.ones(*shape[:2])).numpy(), np.eye(*shape[:2]))


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (4, 3, 2, 2)])
def test_orthogonal_matrices(shape):
    cc.manual_seed(0)
    weight = init.orthogonal_(cc.empty(*shape, dtype=cc.float64), gain=2.0).numpy().reshape(shape[0], -1)
    rows, columns = weight.shape
    square = weight @ weight.T if rows <= columns else weight.T @ weight
    np.testing.assert_allclose(square, 4 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_matrices_are_distributed_as_torchs():
    cc.manual_seed(0)
    torch.manual_seed(0)
    ours = np.stack([init.orthogonal_(cc.empty(2, 2)).numpy() for _ in range(2000)])
    theirs = np.stack([torch.nn.init.orthogonal_(torch.empty(2, 2)).numpy() for _ in range(2000)])
    for i in range(2):
        assert chance(ours[:, i, 0], theirs[:, i, 0]) > 1e-4


def test_sparse_columns():
    cc.manual_seed(0)
    weight = init.sparse_(cc.empty(50, 40), 0.11, std=3.0).numpy()
    assert ((weight == 0).sum(axis=0) == 6).all()
    assert abs(weight[weight != 0].std() - 3) < 0.2
    assert len({tuple(np.flatnonzero(column == 0)) for column in weight.T}) > 30


def test_weights_of_wrong_shapes():
    with pytest.raises(ShapeError, match=r"eye_: needs a matrix, got shape \(3,\)"):
        init.eye_(cc.ones(3))
    with pytest.raises(ShapeError, match=r"sparse_: needs a matrix, got shape \(1, 2, 3\)"):
        init.sparse_(cc.ones(1, 2, 3), 0.1)
    with pytest.raises(ShapeError, match="orthogonal_: needs a tensor of at least 2 axes"):
        init.orthogonal_(cc.ones(3))
    with pytest.raises(ShapeError, match="whose first is divisible by groups = 2, got shape"):
        init.dirac_(cc.ones(3, 2, 3), 2)

"""The algorithms of a matrix product: each computes what it does not refuse, the first without objection is chosen."""

import numpy as np
import pytest

from convcore.ops.core.epilogue import Epilogue
from convcore.ops.linear.geometry import geometry_of
from convcore.ops.linear.table import ALGORITHMS, choose

NAMES = [algorithm.name for algorithm in ALGORITHMS]


def integers(shape, order="rows", seed=0):
    values = np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)
    if order == "columns":
        return np.ascontiguousarray(values.swapaxes(-1, -2)).swapaxes(-1, -2)
    if order == "gaps":
        wide = np.full((*shape[:-1], 2 * shape[-1]), np.nan, np.float32)
        wide[..., ::2] = values
        return wide[..., ::2]
    return values


def test_the_order_of_the_table():
    assert NAMES == ["skinny", "transposed", "packed", "in place"]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=NAMES)
@pytest.mark.parametrize("order_b", ["rows", "columns", "gaps"])
@pytest.mark.parametrize("order_a", ["rows", "columns", "gaps"])
@pytest.mark.parametrize(
    ("shape_a", "shape_b"),
    [
        ((7, 600), (600, 50)), ((50, 600), (600, 7)), ((50, 7), (7, 600)), ((40, 33), (33, 45)),
        ((2100, 3), (3, 16)), ((150, 1300), (1300, 40)), ((3, 20, 30), (3, 30, 25)), ((2, 1, 20, 30), (4, 30, 25)),
    ],
)  # fmt: skip
def test_each_algorithm_computes_what_it_does_not_refuse(algorithm, shape_a, shape_b, order_a, order_b):
    a, b, bias = integers(shape_a, order_a), integers(shape_b, order_b, 1), integers(shape_b[-1:], seed=2)
    geometry = geometry_of(a, b)
    if algorithm.refuses(geometry):
        assert choose(geometry) is not algorithm
        return
    right = np.matmul(np.ascontiguousarray(a).astype(np.float64), b) + bias
    residual = integers(right.shape, seed=3)
    prepared = algorithm.prepare(b, bias)
    np.testing.assert_array_equal(algorithm.multiply(a, prepared, geometry), right)
    out = algorithm.multiply(a, prepared, geometry, Epilogue(residual, "relu"))
    np.testing.assert_array_equal(out, np.maximum(right + residual, 0))
    out = algorithm.multiply(a, prepared, geometry, Epilogue(activation="relu"))
    np.testing.assert_array_equal(out, np.maximum(right, 0))


@pytest.mark.parametrize(
    ("shape_a", "order_a", "shape_b", "order_b", "name"),
    [
        ((1, 3136), "rows", (3136, 512), "columns", "skinny"),  # a linear layer on one image
        ((1, 512), "rows", (512, 3136), "rows", "skinny"),  # its gradient of the input
        ((512, 1), "columns", (1, 3136), "rows", "skinny"),  # and of the weight
        ((4097, 3), "rows", (3, 8), "columns", "packed"),  # too many results of few columns
        ((3, 1000), "rows", (1000, 100), "rows", "in place"),  # few columns of long sums
        ((20, 3000), "rows", (3000, 500), "columns", "transposed"),
        ((20, 3000), "rows", (3000, 500), "rows", "in place"),
        ((1000, 64), "rows", (64, 64), "rows", "packed"),
        ((1000, 64), "rows", (64, 64), "columns", "packed"),
        ((96, 64), "rows", (64, 64), "rows", "in place"),
        ((12, 64, 32), "rows", (12, 32, 64), "columns", "packed"),  # scores of attention
    ],
)
def test_which_algorithm_is_chosen(shape_a, order_a, shape_b, order_b, name):
    assert choose(geometry_of(integers(shape_a, order_a), integers(shape_b, order_b))).name == name


def test_every_geometry_has_an_algorithm():
    rng = np.random.default_rng(4)
    orders = ["rows", "columns", "gaps"]
    seen = set()
    for _ in range(1000):
        m, k, n = 2 ** rng.integers(0, 9, 3) + rng.integers(0, 2, 3)
        a, b = integers((m, k), rng.choice(orders)), integers((k, n), rng.choice(orders))
        seen.add(choose(geometry_of(a, b)).name)
    assert seen == set(NAMES)

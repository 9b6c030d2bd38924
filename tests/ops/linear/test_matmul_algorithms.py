"""The algorithms of a matrix product: each computes what it does not refuse, the first without objection is chosen."""

import re
from typing import Any

import numpy as np
import pytest

import convcore
from convcore.errors import DTypeError, ShapeError
from convcore.nn import functional as F
from convcore.ops.core.epilogue import Epilogue
from convcore.ops.linear.geometry import geometry_of
from convcore.ops.linear.table import ALGORITHMS, choose

explain_matmul: Any = F.explain_matmul  # it is given wrong arguments on purpose

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


def test_explain_matmul_gives_a_verdict_for_each_pass():
    explanation = convcore.explain_matmul(convcore.ones(20, 3000), convcore.ones(500, 3000).T)
    assert {name: [algorithm for algorithm, _ in verdicts] for name, verdicts in explanation.items()} == {
        "forward": NAMES, "grad_input": NAMES, "grad_other": NAMES,
    }  # fmt: skip
    assert explanation.chosen("forward") == "transposed"
    assert explanation.chosen("grad_input") == "in place"
    text = str(explanation)
    assert text.startswith("matmul (20, 3000) @ (3000, 500) -> (20, 500), 30,000,000 multiply-adds\nforward:\n")
    assert "  skinny      refused: M, K or N must be at most 16, they are 20, 3000 and 500 (" in text
    assert "  transposed  chosen (the product of the transposed operands, then transposed)" in text
    assert "  packed      accepts, but 'transposed' comes first (" in text
    assert "  in place    refused: the second operand must be C-contiguous (" in text


def same_choice(input, other):
    """Whether the explanation names what computes `input @ other` and both gradients, for tensors of two axes."""
    explanation = F.explain_matmul(input, other)
    grad_out = np.ones((len(input), other.shape[1]), input.array.dtype)
    products = {
        "forward": (input.array, other.array), "grad_input": (grad_out, other.array.T),
        "grad_other": (input.array.T, grad_out),
    }  # fmt: skip
    return all(explanation.chosen(name) == choose(geometry_of(a, b)).name for name, (a, b) in products.items())


def test_explain_matmul_names_what_computes_the_gradients():
    assert same_choice(convcore.ones(1, 3136), convcore.ones(512, 3136).T)
    assert same_choice(convcore.ones(300, 64, dtype=convcore.float64), convcore.ones(64, 100, dtype=convcore.float64))
    assert same_choice(convcore.ones(64, 300).T, convcore.ones(64, 100))


@pytest.mark.parametrize(
    ("shape_a", "shape_b", "title"),
    [
        ((4,), (4,), "matmul (1, 4) @ (4, 1) -> (1, 1), 4 multiply-adds"),
        ((4,), (4, 5), "matmul (1, 4) @ (4, 5) -> (1, 5), 20 multiply-adds"),
        ((2, 1, 3, 4), (5, 4, 6), "matmul (2, 1, 3, 4) @ (5, 4, 6) -> (2, 5, 3, 6), 720 multiply-adds"),
    ],
)
def test_explain_matmul_follows_the_rules_of_matmul(shape_a, shape_b, title):
    assert convcore.explain_matmul(convcore.ones(shape_a), convcore.ones(shape_b)).title == title


@pytest.mark.parametrize(
    ("size", "order_b", "message"),
    [
        ((2049, 20, 16), "rows", "skinny      slower: it pays up to 32768 results of few columns, here are 32784"),
        ((3, 1000, 100), "rows", "skinny      slower: 100 columns are too few chunks for sums of 1000 terms"),
        ((3, 40, 50), "gaps", "skinny      slower: the large operand would be copied first"),
        ((64, 300, 100), "rows", "transposed  slower: the second operand is C-contiguous"),
        (
            (64, 300, 100),
            "columns",
            "transposed  slower: it costs as much as packing 38,400 values; packing the second",
        ),
        ((64, 300, 100), "rows", "packed      slower: it pays from 97 rows on, here are 64"),
    ],
)
def test_explain_matmul_gives_reasons(size, order_b, message):
    m, k, n = size
    a, b = convcore.ones(m, k), convcore.from_numpy(integers((k, n), order_b))
    assert f"  {message}" in str(convcore.explain_matmul(a, b)).split("grad_input")[0]


def test_explain_matmul_counts_tiles():
    verdicts = dict(convcore.explain_matmul(convcore.ones(3000, 96), convcore.ones(96, 24))["grad_other"])
    reason = r"(chosen|slower: the transposed result takes \d+ tiles of the micro-kernel, the result itself \d+) \("
    assert re.match(reason, verdicts["transposed"])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.explain_matmul(convcore.ones(2, 3), convcore.ones(4, 5)), ShapeError, "explain_matmul: a has 3 col"),
        (
            lambda: F.explain_matmul(convcore.ones(2, 3, 4), convcore.ones(5, 4, 1)),
            ShapeError, "explain_matmul: the leading axes do not broadcast",
        ),
        (lambda: F.explain_matmul(convcore.ones(2, 2), convcore.tensor(2.0)), ShapeError, "at least 1 axis"),
        (
            lambda: F.explain_matmul(convcore.ones(2, 0), convcore.ones(0, 3)),
            ShapeError, "explain_matmul: there is nothing to multiply where a size is 0",
        ),
        (lambda: explain_matmul(convcore.ones(2, 2), 3), DTypeError, "explain_matmul: other must be a tensor"),
        (
            lambda: F.explain_matmul(convcore.ones(2, 2).long(), convcore.ones(2, 2).long()),
            DTypeError, "explain_matmul: input, other must be float32 or float64, got int64",
        ),
        (
            lambda: F.explain_matmul(convcore.ones(2, 2), convcore.ones(2, 2).double()),
            DTypeError, "explain_matmul: all tensors must have one dtype",
        ),
    ],
)  # fmt: skip
def test_explain_matmul_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()

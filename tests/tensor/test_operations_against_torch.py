"""Every operation against torch: value, dtype, gradients and second derivatives, for several orders in memory.

One function of a tensor serves both libraries, because the methods have the same names.
"""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.autograd import grad
from convcore.testing import assert_close

# name: (function of the library and of tensors, shapes of the tensors)
CASES = {
    "add": (lambda m, a, b: a + b, [(2, 3, 4), (2, 3, 4)]),
    "add broadcast": (lambda m, a, b: a + b, [(2, 1, 4), (3, 1)]),
    "add number": (lambda m, a: 2 + a + 1.5, [(2, 3)]),
    "add alpha": (lambda m, a, b: a.add(b, alpha=-0.3), [(2, 3), (3,)]),
    "sub": (lambda m, a, b: a - b, [(2, 3, 4), (3, 4)]),
    "sub reversed": (lambda m, a: 1.5 - a, [(2, 3)]),
    "sub alpha": (lambda m, a, b: a.sub(b, alpha=2.5), [(2, 3), (2, 3)]),
    "mul": (lambda m, a, b: a * b, [(2, 3, 4), (2, 3, 4)]),
    "mul broadcast": (lambda m, a, b: a * b, [(3, 1), (1, 4)]),
    "mul with itself": (lambda m, a: a * a, [(3, 4)]),
    "mul number": (lambda m, a: 3 * a, [(2, 3)]),
    "mul scalar tensor": (lambda m, a, b: a * b, [(), (2, 3)]),
    "div": (lambda m, a, b: a / (b * b + 0.5), [(2, 3), (3,)]),
    "div reversed": (lambda m, a: 2 / (a * a + 0.5), [(2, 3)]),
    "neg": (lambda m, a: -a, [(2, 3)]),
    "pow number": (lambda m, a: a**3, [(2, 3)]),
    "pow 2": (lambda m, a: a**2.0, [(2, 3)]),
    "pow 0": (lambda m, a: a**0, [(2, 3)]),
    "pow tensor": (lambda m, a, b: (a * a + 0.1) ** b, [(2, 3), (3,)]),
    "pow base number": (lambda m, a: 2.0**a, [(2, 3)]),
    "square": (lambda m, a: a.square(), [(2, 3)]),
    "reciprocal": (lambda m, a: (a * a + 0.3).reciprocal(), [(2, 3)]),
    "exp": (lambda m, a: m.exp(a), [(2, 3)]),
    "log": (lambda m, a: m.log(a * a + 0.1), [(2, 3)]),
    "sqrt": (lambda m, a: m.sqrt(a * a + 0.1), [(2, 3)]),
    "rsqrt": (lambda m, a: m.rsqrt(a * a + 0.1), [(2, 3)]),
    "abs": (lambda m, a: abs(a), [(2, 3)]),
    "tanh": (lambda m, a: m.tanh(a), [(2, 3)]),
    "sigmoid": (lambda m, a: m.sigmoid(a), [(2, 3)]),
    "relu": (lambda m, a: m.relu(a), [(2, 3, 4, 5)]),
    "relu twice": (lambda m, a: m.relu(a) ** 3, [(2, 3, 4, 5)]),
    "clamp": (lambda m, a: a.clamp(-0.5, 0.7), [(4, 5)]),
    "clamp below": (lambda m, a: m.clamp(a, min=0.1) ** 2, [(4, 5)]),
    "clamp above": (lambda m, a: a.clamp(max=0.1) ** 2, [(4, 5)]),
    "maximum": (lambda m, a, b: m.maximum(a, b) ** 2, [(2, 3), (3,)]),
    "minimum": (lambda m, a, b: m.minimum(a, b) ** 2, [(2, 3), (2, 1)]),
    "where": (lambda m, a, b: m.where(a > 0, a * b, b), [(2, 3), (3,)]),
    "where number": (lambda m, a: m.where(a > 0, a, 0.0) ** 2, [(2, 3)]),
    "masked_fill": (lambda m, a: a.masked_fill(a > 0.3, 2.0) ** 2, [(2, 3)]),
    "sum": (lambda m, a: a.sum() ** 2, [(2, 3, 4)]),
    "sum dim": (lambda m, a: a.sum(1) ** 2, [(2, 3, 4)]),
    "sum dims keepdim": (lambda m, a: a.sum((0, -1), keepdim=True) ** 2, [(2, 3, 4)]),
    "sum of nothing": (lambda m, a: a.sum(0), [(0, 3)]),
    "mean": (lambda m, a: a.mean() ** 2, [(2, 3, 4)]),
    "mean dim": (lambda m, a: m.mean(a, (1, 2)) ** 2, [(2, 3, 4)]),
    "var": (lambda m, a: a.var(), [(2, 3, 4)]),
    "var biased": (lambda m, a: a.var((0, 2), unbiased=False, keepdim=True), [(2, 3, 4)]),
    "std": (lambda m, a: a.std(1), [(2, 3, 4)]),
    "amax": (lambda m, a: a.amax((0, 2)) ** 2, [(2, 3, 4)]),
    "amin": (lambda m, a: a.amin(1, keepdim=True) ** 2, [(2, 3, 4)]),
    "max": (lambda m, a: a.max() ** 2, [(2, 3)]),
    "min dim values": (lambda m, a: a.min(1).values ** 2, [(2, 3)]),
    "max dim values": (lambda m, a: a.max(dim=0, keepdim=True)[0] ** 2, [(2, 3)]),
    "reshape": (lambda m, a: a.reshape(4, -1) ** 2, [(2, 3, 4)]),
    "view": (lambda m, a: a.contiguous().view((3, 8)) ** 2, [(2, 3, 4)]),
    "flatten": (lambda m, a: a.flatten(1) ** 2, [(2, 3, 4, 5)]),
    "flatten middle": (lambda m, a: m.flatten(a, 1, 2) ** 2, [(2, 3, 4, 5)]),
    "flatten scalar": (lambda m, a: a.flatten() ** 2, [()]),
    "permute": (lambda m, a: a.permute(2, 0, 1) ** 2, [(2, 3, 4)]),
    "transpose": (lambda m, a: a.transpose(-1, 0) ** 2, [(2, 3, 4)]),
    "T": (lambda m, a: a.T**2, [(2, 3)]),
    "t": (lambda m, a: a.t() ** 2, [(2, 3)]),
    "squeeze": (lambda m, a: a.squeeze() ** 2, [(1, 3, 1)]),
    "squeeze dim": (lambda m, a: a.squeeze(0).squeeze(0) ** 2, [(1, 3, 1)]),
    "unsqueeze": (lambda m, a: a.unsqueeze(-1) ** 2, [(2, 3)]),
    "expand": (lambda m, a: a.expand(4, 2, -1) ** 2, [(2, 1)]),
    "expand_as": (lambda m, a, b: a.expand_as(b) * b, [(3, 1), (2, 3, 4)]),
    "cat": (lambda m, a, b: m.cat([a, b, a], dim=1) ** 2, [(2, 3), (2, 1)]),
    "cat last": (lambda m, a, b: m.cat((a, b), -1) ** 2, [(2, 3, 4), (2, 3, 5)]),
    "stack": (lambda m, a, b: m.stack([a, b], dim=1) ** 2, [(2, 3), (2, 3)]),
    "stack last": (lambda m, a, b: m.stack((a, b), -1) ** 2, [(2, 3), (2, 3)]),
    "split": (lambda m, a: a.split(2, 1)[1] * 2 + a.split([1, 4], dim=1)[0], [(2, 5)]),
    "chunk": (lambda m, a: m.cat([c * i for i, c in enumerate(a.chunk(3, 0))]), [(7, 2)]),
    "index integer": (lambda m, a: a[1] ** 2, [(3, 4)]),
    "index negative": (lambda m, a: a[-1, -2] ** 2, [(3, 4)]),
    "index slices": (lambda m, a: a[:, 1::2] ** 2, [(3, 4)]),
    "index None, Ellipsis": (lambda m, a: a[..., None, 1] ** 2, [(3, 4)]),
    "index mask": (lambda m, a: a[a > 0] ** 2, [(3, 4)]),
    "index list": (lambda m, a: a[[0, 2, 0]] ** 2, [(3, 4)]),
    "index tensors": (lambda m, a: a[m.tensor([0, 2, 0]), m.tensor([1, 1, 1])] ** 2, [(3, 4)]),
    "index mixed": (lambda m, a: a[:, m.tensor([[0, 1], [1, 1]])] ** 2, [(3, 4)]),
    "index scalar tensor": (lambda m, a: a[m.tensor(1)] ** 2, [(3, 4)]),
    "gather": (lambda m, a: m.gather(a, 1, m.tensor([[0, 0], [3, 1]])) ** 2, [(3, 4)]),
    "iteration": (lambda m, a: sum(row * i for i, row in enumerate(a)), [(3, 4)]),
    "clone": (lambda m, a: a.clone() * a, [(3, 4)]),
    "contiguous": (lambda m, a: a.T.contiguous() ** 2, [(3, 4)]),
    "double": (lambda m, a: a.double() ** 2, [(3, 4)]),
    "float": (lambda m, a: a.float() ** 2, [(3, 4)]),
}


def orders(shape):
    """The same logical shape with different strides: row-major, reversed axes, every second element, backwards."""
    yield lambda a: a
    if len(shape) > 1:
        yield lambda a: np.ascontiguousarray(a.T).T
        yield lambda a: np.repeat(a, 2, axis=-1)[..., ::2]
        yield lambda a: np.ascontiguousarray(a[::-1])[::-1]


def both(case, seed=0, dtype: Any = np.float64, order=lambda a: a) -> tuple[Any, list[Any], list[Any]]:
    """The inputs of a case for convcore and for torch, with the same numbers."""
    rng = np.random.default_rng(seed)
    function, shapes = CASES[case]
    arrays = [rng.standard_normal(shape).astype(dtype) if shape else dtype(rng.standard_normal()) for shape in shapes]
    ours = [convcore.from_numpy(np.asarray(order(np.asarray(a)))).requires_grad_() for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    return function, ours, theirs


@pytest.mark.parametrize("case", CASES)
def test_value_gradient_and_second_derivative(case):
    tolerance: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6} if case == "float" else {"rtol": 1e-10, "atol": 1e-12}
    for order in orders(CASES[case][1][0]):
        function, ours, theirs = both(case, order=order)
        before = [x.array.copy() for x in ours]
        out, expected = function(convcore, *ours), function(torch, *theirs)
        assert_close(out, expected.detach().numpy(), **tolerance)

        cotangent = np.random.default_rng(1).standard_normal(out.shape).astype(out.dtype)
        g, h = convcore.tensor(cotangent, requires_grad=True), torch.tensor(cotangent, requires_grad=True)
        grads = grad(out, ours, g, create_graph=True)
        expected_grads = torch.autograd.grad(expected, theirs, h, create_graph=True)
        for actual, wanted in zip(grads, expected_grads, strict=True):
            assert_close(actual, wanted.detach().numpy(), **tolerance)

        # A random combination of the gradients, differentiated again. A term in g keeps linear cases defined.
        rng = np.random.default_rng(2)
        weights = [rng.standard_normal(x.shape).astype(x.dtype) for x in grads]
        total = sum(((x * convcore.tensor(w)).sum() for x, w in zip(grads, weights, strict=True)), (g * 0).sum())
        wanted = sum(((x * torch.tensor(w)).sum() for x, w in zip(expected_grads, weights, strict=True)), (h * 0).sum())
        seconds = grad(total, [*ours, g], allow_unused=True)
        expected_seconds = torch.autograd.grad(wanted, [*theirs, h], materialize_grads=True, allow_unused=True)
        for actual, second in zip(seconds, expected_seconds, strict=True):
            zeros = np.zeros(tuple(second.shape), out.dtype)
            assert_close(zeros if actual is None else actual, second.numpy(force=True), **tolerance, check_dtype=False)
        for x, array in zip(ours, before, strict=True):
            np.testing.assert_array_equal(x.array, array)


@pytest.mark.parametrize("case", [c for c in CASES if c not in ("double", "float")])
def test_float32_stays_float32(case):
    function, ours, theirs = both(case, dtype=np.float32)
    out, expected = function(convcore, *ours), function(torch, *theirs)
    assert_close(out, expected.detach().numpy(), rtol=2e-5, atol=2e-6)
    cotangent = np.random.default_rng(1).standard_normal(out.shape).astype(np.float32)
    out.backward(convcore.tensor(cotangent))
    expected.backward(torch.tensor(cotangent))
    for x, y in zip(ours, theirs, strict=True):
        assert_close(x.grad, y.grad.numpy(), rtol=2e-4, atol=2e-5)


def test_large_results_come_from_the_pool_with_the_order_of_their_operand():
    block = np.random.default_rng(0).standard_normal((2, 30, 20, 16)).astype(np.float32)
    x = convcore.from_numpy(block.transpose(0, 3, 1, 2))
    for y in (x + 1, x * x, -x, x.exp(), x.relu(), x.clone(), x * x[:, :1], x.clamp(0, 1), x.double(), x.sigmoid()):
        assert y.array.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal((x + 1).array, block.transpose(0, 3, 1, 2) + 1)


EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, -750.0, 750.0])

EDGE_CASES = {
    "exp": lambda m, x: m.exp(x),
    "log": lambda m, x: m.log(x),
    "sqrt": lambda m, x: m.sqrt(x),
    "rsqrt": lambda m, x: m.rsqrt(x),
    "sigmoid": lambda m, x: m.sigmoid(x),
    "tanh": lambda m, x: m.tanh(x),
    "relu": lambda m, x: m.relu(x),
    "abs": lambda m, x: m.abs(x),
    "reciprocal": lambda m, x: 1 / x,
    "pow 2": lambda m, x: x**2,
    "pow 0": lambda m, x: x**0,
    "pow 1.5": lambda m, x: x**1.5,
    "pow -1": lambda m, x: x**-1,
    "clamp": lambda m, x: m.clamp(x, -1, 1),
    "maximum": lambda m, x: m.maximum(x, x.flip(0) if m is torch else x[::-1]),
    "minimum": lambda m, x: m.minimum(x, m.tensor(0.0, dtype=m.float64)),
    "0 ** x": lambda m, x: m.zeros(1, dtype=m.float64) ** x,
    "where": lambda m, x: m.where(x > 0, x.log(), x),
}


@pytest.mark.parametrize("case", EDGE_CASES)
def test_infinities_and_nan_as_in_torch(case):
    function = EDGE_CASES[case]
    x: Any = convcore.tensor(EDGES, requires_grad=True)
    y: Any = torch.tensor(EDGES, requires_grad=True)
    out, expected = function(convcore, x), function(torch, y)
    assert_close(out, expected.detach().numpy(), rtol=1e-12, atol=0.0, equal_nan=True)
    out.backward(convcore.ones_like(out))
    expected.backward(torch.ones_like(expected))
    assert_close(x.grad, y.grad.numpy(), rtol=1e-12, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("case", ["amax", "max", "maximum", "max dim", "amin"])
def test_equal_extremes_share_the_gradient_as_in_torch(case):
    functions = {
        "amax": lambda m, x: x.amax(1),
        "amin": lambda m, x: x.amin((0, 1)),
        "max": lambda m, x: x.max(),
        "maximum": lambda m, x: m.maximum(x, m.full_like(x, 2.0)),
        "max dim": lambda m, x: x.max(1).values,
    }
    values = [[1.0, 2.0, 2.0], [3.0, 3.0, 1.0]]
    x: Any = convcore.tensor(values, requires_grad=True)
    y: Any = torch.tensor(values, requires_grad=True)
    (functions[case](convcore, x) * 3).sum().backward()
    (functions[case](torch, y) * 3).sum().backward()
    np.testing.assert_allclose(x.grad.array, y.grad.numpy())


def test_gradient_of_std_is_zero_where_nothing_varies():
    x: Any = convcore.ones(3, requires_grad=True)
    y: Any = torch.ones(3, requires_grad=True)
    x.std().backward()
    y.std().backward()
    np.testing.assert_array_equal(x.grad.array, y.grad.numpy())


def test_long_float32_sums_are_exact_to_the_last_digits():
    x = np.random.default_rng(0).random((200_000, 3)).astype(np.float32)
    np.testing.assert_allclose(convcore.from_numpy(x).sum(0).array, x.sum(0, dtype=np.float64), rtol=1e-7)

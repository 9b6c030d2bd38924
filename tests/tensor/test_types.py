"""Element types: promotion as in torch, comparisons, integers and bools."""

import itertools
import operator

import numpy as np
import pytest
import torch

import convcore
from convcore.errors import DTypeError

TYPES = ["float32", "float64", "int64", "int32", "int8", "uint8", "bool"]
BYTES = convcore.tensor([1, 200], dtype=convcore.uint8)


def operands(library):
    """A tensor with axes and one without of each type, and Python numbers."""
    for name in TYPES:
        dtype = getattr(library, name)
        yield library.ones(2, dtype=dtype)
        yield library.ones((), dtype=dtype)
    yield from (True, 2, 2.5)


@pytest.mark.parametrize("operation", [operator.add, operator.mul, operator.truediv, operator.lt, operator.eq])
def test_result_types_are_those_of_torch(operation):
    pairs = itertools.product(operands(convcore), repeat=2)
    expected_pairs = itertools.product(operands(torch), repeat=2)
    checked = 0
    for (a, b), (c, d) in zip(pairs, expected_pairs, strict=True):
        if isinstance(c, torch.Tensor) or isinstance(d, torch.Tensor):
            ours, theirs = operation(a, b), operation(c, d).numpy()
            assert ours.dtype == theirs.dtype, f"{operation.__name__} of {a} and {b}: {ours.dtype}, not {theirs.dtype}"
            np.testing.assert_array_equal(ours.array, theirs)
            checked += 1
    assert checked == 17 * 17 - 9


@pytest.mark.parametrize("function", ["exp", "sqrt", "sigmoid", "sum", "abs", "mean", "cumulative"])
def test_integers(function):
    x, y = convcore.tensor([1, 2, 3]), torch.tensor([1, 2, 3])
    if function == "mean":
        with pytest.raises(
            DTypeError, match=r"mean: input must be float32 or float64, got int64; convert it with input\.float"
        ):
            x.mean()
    elif function == "cumulative":
        np.testing.assert_array_equal((x**2 - 3 * x).array, (y**2 - 3 * y).numpy())
    else:
        ours, theirs = getattr(x, function)(), getattr(y, function)().numpy()
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours.array, theirs, rtol=1e-6)


def test_bools():
    a, b = convcore.tensor([True, True, False]), convcore.tensor([True, False, False])
    assert (a & b).tolist() == [True, False, False]
    assert (a | b).tolist() == [True, True, False]
    assert (a ^ b).tolist() == [False, True, False]
    assert (~a).tolist() == [False, False, True]
    assert (a + b).dtype == convcore.bool
    assert a.sum().item() == 2
    assert a.any().item() is True
    assert a.all().item() is False
    assert convcore.tensor([[1.0, 0.0], [2.0, 3.0]]).all(1).tolist() == [False, True]
    with pytest.raises(DTypeError, match="sub: bool tensors cannot be subtracted"):
        _ = a - b
    with pytest.raises(DTypeError, match="neg: a bool tensor has no negative"):
        _ = -a
    with pytest.raises(DTypeError, match="bitwise_and: operands must be bools or integers"):
        _ = convcore.ones(2) & convcore.ones(2)


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons(name):
    a, b = np.array([1.0, 2.0, np.nan, np.inf]), np.array([2.0, 2.0, np.nan, -np.inf])
    expected = getattr(torch, name)(torch.tensor(a), torch.tensor(b)).numpy()
    x, y = convcore.tensor(a, requires_grad=True), convcore.tensor(b)
    np.testing.assert_array_equal(getattr(x, name)(y).array, expected)
    np.testing.assert_array_equal(getattr(operator, name)(x, y).array, expected)
    assert getattr(convcore, name)(x, y).dtype == convcore.bool
    assert not getattr(x, name)(2).requires_grad


def test_comparison_with_something_else_is_by_identity():
    x = convcore.ones(2)
    assert operator.eq(x, None) is False
    assert (x != "a") is True
    assert x in [None, x]


def test_conversions_carry_gradients_in_the_original_type():
    x = convcore.ones(3, requires_grad=True)
    (x.double() * convcore.tensor([1.0, 2.0, 3.0], dtype=convcore.float64)).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == convcore.float32
    assert x.grad.tolist() == [1, 2, 3]
    y = convcore.ones(2, dtype=convcore.float64, requires_grad=True)
    (x[:2] * y).sum().backward()
    assert y.grad is not None
    assert y.grad.dtype == convcore.float64


def test_conversion_methods():
    x = convcore.tensor([-1.7, 0.0, 2.7])
    assert x.long().tolist() == [-1, 0, 2]
    assert x.int().dtype == convcore.int32
    assert x.bool().tolist() == [True, False, True]
    assert x.double().dtype == convcore.float64
    assert x.to(convcore.float64).dtype == x.to(dtype=convcore.float64).dtype == convcore.float64
    assert x.to(convcore.ones(1, dtype=convcore.int64)).dtype == convcore.int64
    assert x.to("cpu") is x
    assert x.cpu() is x
    assert x.float() is x
    assert x.to("cpu", convcore.float64).dtype == convcore.float64
    assert x.type_as(x.double()).dtype == convcore.float64
    with pytest.raises(NotImplementedError, match='there are "cpu", "cuda:0" and "auto", got \'cuda:1\''):
        x.to("cuda:1")
    with pytest.raises(DTypeError, match=r"to: dtype must be one of float32, float64, .*, got 'complex64'"):
        x.to("complex64")


def test_wrong_operands_are_refused():
    x = convcore.ones(2)
    with pytest.raises(DTypeError, match="add: operands must be tensors or numbers, got str"):
        _ = x + "a"  # pyright: ignore[reportOperatorIssue]
    with pytest.raises(DTypeError, match="mul: operands must be tensors or numbers, got ndarray; convert it with"):
        _ = x * np.ones(2)  # pyright: ignore[reportOperatorIssue]
    with pytest.raises(DTypeError, match="add: operands must be tensors or numbers, got ndarray"):
        _ = np.ones(2) + x  # pyright: ignore[reportOperatorIssue]
    with pytest.raises(DTypeError, match="pow: an integer tensor has no negative powers"):
        _ = convcore.tensor([1, 2]) ** -1
    with pytest.raises(DTypeError, match="where: condition must be a bool tensor, got float32"):
        convcore.where(x, x, x)
    with pytest.raises(DTypeError, match="relu: input must be float32 or float64, got bool"):
        convcore.tensor([True]).relu()
    with pytest.raises(DTypeError, match="exp: input must be a tensor, got float"):
        convcore.exp(1.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match="clamp: needs min or max"):
        x.clamp()


def test_numpy_numbers_count_as_python_numbers():
    x = convcore.ones(2)
    assert (x * np.float64(2.5)).dtype == convcore.float32
    assert (np.float64(2.5) * x).tolist() == [2.5, 2.5]
    assert convcore.add(x.long(), np.int32(1)).dtype == convcore.int64  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: convcore.tensor([3, 300], dtype=convcore.uint8),
            "tensor: 300 does not fit into uint8, which holds 0 to 255",
        ),
        (lambda: convcore.tensor(-256, dtype=convcore.uint8), "tensor: -256 does not fit"),
        (
            lambda: convcore.tensor([-129.5], dtype=convcore.int8),
            r"tensor: -129\.5 does not fit into int8, which holds -128 to 127",
        ),
        (lambda: convcore.tensor(1e30, dtype=convcore.int64), r"tensor: 1e\+30 does not fit into int64"),
        (lambda: convcore.full((2,), 300, dtype=convcore.uint8), "full: 300 does not fit"),
        (lambda: convcore.full((2,), float("nan"), dtype=convcore.int32), "full: nan does not fit"),
        (lambda: convcore.full_like(BYTES, 300), "full_like: 300 does not fit"),
        (lambda: BYTES + 300, "add: 300 does not fit"),
        (lambda: BYTES == -1, "eq: -1 does not fit"),
        (lambda: BYTES.clamp(-1, 1), "clamp: -1 does not fit"),
        (lambda: BYTES.masked_fill(BYTES > 5, 300), "masked_fill: 300 does not fit"),
        (lambda: convcore.where(BYTES > 5, BYTES, 300), "where: 300 does not fit"),
        (lambda: BYTES.clone().fill_(300), "fill_: 300 does not fit"),
        (lambda: BYTES.clone().__setitem__(0, 300), "setitem: 300 does not fit"),
        (lambda: BYTES.long() + 2**70, "add: 1180591620717411303424 does not fit into int64"),
    ],
)
def test_numbers_that_an_integer_type_does_not_hold_are_refused(call, message):
    """Where torch wraps (300 + uint8) its comparisons are wrong, too: -1 counts as 255."""
    with pytest.raises(DTypeError, match=message):
        call()


def test_numbers_that_integer_types_hold():
    for values, dtype in (([0, 255], "uint8"), ([-1, -255], "uint8"), ([-128, 127], "int8"), ([2.9, -2.9], "int16")):
        ours, theirs = (
            convcore.tensor(values, dtype=getattr(convcore, dtype)),
            torch.tensor(values, dtype=getattr(torch, dtype)),
        )
        assert ours.tolist() == theirs.tolist()
    assert convcore.tensor([300, float("inf")], dtype=convcore.float32).tolist() == [300, float("inf")]
    assert (
        convcore.tensor(np.array([300]), dtype=convcore.uint8).tolist()
        == torch.tensor(np.array([300]), dtype=torch.uint8).tolist()
    )
    assert convcore.tensor([], dtype=convcore.int8).shape == (0,)

"""Making tensors."""

import numpy as np
import pytest
import torch

import convcore
from convcore.errors import DTypeError, ShapeError


@pytest.mark.parametrize(
    "data",
    [
        1,
        2.5,
        True,
        [1, 2],
        [[1.0, 2], [3, 4]],
        [],
        [[]],
        [True, False],
        np.arange(3),
        np.arange(3.0),
        np.float32(2),
        [True, 2],
        [1, 2.5],
    ],
)
def test_tensor_takes_the_dtypes_of_torch(data):
    ours, theirs = convcore.tensor(data), torch.tensor(data)
    assert ours.dtype == theirs.numpy().dtype
    assert ours.shape == tuple(theirs.shape)
    assert ours.tolist() == theirs.tolist()


def test_tensor_copies():
    array = np.zeros(3, np.float32)
    x = convcore.tensor(array)
    y = convcore.tensor(x, requires_grad=True)
    array[0] = 1
    x.array[1] = 2
    assert x.tolist() == [0, 2, 0]
    assert y.tolist() == [0, 0, 0]
    assert y.is_leaf
    assert y.requires_grad
    assert convcore.tensor([convcore.tensor(1.0), 2]).tolist() == [1, 2]


def test_from_numpy_shares_memory():
    array = np.zeros((2, 3), np.float32)
    x = convcore.from_numpy(array)
    array[0, 0] = 5
    assert x[0, 0].item() == 5
    x.add_(1)
    assert array[1, 2] == 1
    assert x.numpy() is array


FACTORIES = {
    "zeros": lambda m: m.zeros(2, 3),
    "zeros of a tuple": lambda m: m.zeros((2, 3), dtype=m.int64),
    "zeros without axes": lambda m: m.zeros(()),
    "ones": lambda m: m.ones([2]),
    "ones of bools": lambda m: m.ones(2, dtype=m.bool),
    "full": lambda m: m.full((2, 3), 2.5),
    "full of integers": lambda m: m.full((2,), 7),
    "full of bools": lambda m: m.full((2,), True),
    "full in a dtype": lambda m: m.full((2,), 7, dtype=m.float64),
    "arange": lambda m: m.arange(5),
    "arange from to": lambda m: m.arange(2, 5),
    "arange down": lambda m: m.arange(5, 0, -2),
    "arange of floats": lambda m: m.arange(0, 1, 0.25),
    "arange of float end": lambda m: m.arange(3.0),
    "arange in a dtype": lambda m: m.arange(3, dtype=m.float64),
    "linspace": lambda m: m.linspace(0, 1, 5),
    "linspace of one": lambda m: m.linspace(2, 3, steps=1),
    "eye": lambda m: m.eye(3),
    "eye wide": lambda m: m.eye(2, 3, dtype=m.int64),
    "zeros_like": lambda m: m.zeros_like(m.full((2, 3), 4)),
    "ones_like": lambda m: m.ones_like(m.full((2, 3), 4.0), dtype=m.float64),
    "full_like": lambda m: m.full_like(m.zeros(2, 3), 3),
    "empty": lambda m: m.empty(2, 3).fill_(1),
    "empty_like": lambda m: m.empty_like(m.zeros(2, 3)).fill_(1),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_factories_as_in_torch(name):
    ours, theirs = FACTORIES[name](convcore), FACTORIES[name](torch).numpy()
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.array, theirs)


def test_requires_grad():
    for x in (
        convcore.zeros(2, requires_grad=True),
        convcore.ones(2, requires_grad=True),
        convcore.full((2,), 1.0, requires_grad=True),
        convcore.empty(2, requires_grad=True),
        convcore.zeros_like(convcore.ones(2), requires_grad=True),
    ):
        assert x.requires_grad
        assert x.is_leaf
    with pytest.raises(DTypeError, match="only float32 and float64 tensors have gradients, this is int64"):
        convcore.tensor([1], requires_grad=True)
    with pytest.raises(DTypeError, match="only float32 and float64 tensors have gradients, this is int64"):
        convcore.tensor([1]).requires_grad = True


def test_the_constructor_wraps_an_array():
    array = np.zeros(2, np.float32)
    assert convcore.Tensor(array).array is array
    assert convcore.Tensor(array, requires_grad=True).requires_grad
    with pytest.raises(DTypeError, match=r"Tensor: needs a NumPy array, got list; use convcore.tensor"):
        convcore.Tensor([1, 2])  # pyright: ignore[reportArgumentType]


def test_the_name_tensor_is_the_function_and_still_the_module():
    from convcore.tensor import Tensor

    assert Tensor is convcore.Tensor
    assert callable(convcore.tensor)


def test_like_keeps_the_order_in_memory():
    x = convcore.from_numpy(np.zeros((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2))
    assert convcore.ones_like(x).array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_bad_input():
    with pytest.raises(ShapeError, match="tensor: nested lists must have equal lengths"):
        convcore.tensor([[1, 2], [3]])
    with pytest.raises(DTypeError, match="tensor: dtype must be one of float32"):
        convcore.tensor("abc")
    with pytest.raises(DTypeError, match="tensor: data must be numbers"):
        convcore.tensor("abc", dtype=convcore.float32)
    with pytest.raises(DTypeError, match=r"tensor: dtype must be one of .*complex128"):
        convcore.tensor([1j])
    with pytest.raises(DTypeError, match="from_numpy: needs a NumPy array, got list"):
        convcore.from_numpy([1])  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match=r"from_numpy: dtype must be one of .*float16"):
        convcore.from_numpy(np.zeros(2, np.float16))
    with pytest.raises(DTypeError, match=r"from_numpy: dtype must be one of .*>f4"):
        convcore.from_numpy(np.zeros(2, ">f4"))
    with pytest.raises(ShapeError, match=r"zeros: sizes must be at least 0, got \(2, -1\)"):
        convcore.zeros(2, -1)
    with pytest.raises(DTypeError, match=r"shape\[0\] must be an integer, got 2.5"):
        convcore.zeros(2.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ShapeError, match="arange: step must lead from start to end"):
        convcore.arange(0, 5, -1)
    with pytest.raises(ShapeError, match="linspace: steps must be at least 0, got -1"):
        convcore.linspace(0, 1, -1)
    with pytest.raises(DTypeError, match="ones: dtype must be one of"):
        convcore.ones(2, dtype="nonsense")

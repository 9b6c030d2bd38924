"""A tensor among Python's and NumPy's own types: printing, numbers, iteration, copies and files."""

import copy
import pickle

import numpy as np
import pytest
import torch

import convcore
from convcore.errors import DTypeError, GraphError, ShapeError


@pytest.mark.parametrize(
    "data",
    [
        1,
        1.5,
        True,
        [1, 2],
        [[1.0, 2.0], [3.0, 4.5]],
        [],
        [0.123456789, 2.0],
        [True, False],
        [[[1.0]]],
        [1.0, -2.0],
    ],
)
def test_repr_is_that_of_torch(data):
    assert repr(convcore.tensor(data)) == repr(torch.tensor(data))


def test_repr_names_what_is_special():
    x = convcore.ones(1, 2, requires_grad=True)
    assert repr(x) == "tensor([[1., 1.]], requires_grad=True)"
    assert repr(x * 2) == "tensor([[2., 2.]], grad_fn=<MulBackward>)"
    assert repr(x.double().detach()) == "tensor([[1., 1.]], dtype=float64)"
    assert repr(convcore.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert "..." in repr(convcore.zeros(100, 100))
    assert len(repr(convcore.zeros(1000, 1000))) < 1000


def test_numbers():
    x = convcore.tensor([[2.5]])
    assert x.item() == float(x) == 2.5
    assert int(x) == 2
    assert type(x.item()) is float
    assert [10, 20, 30][convcore.tensor(1)] == 20
    assert f"{convcore.tensor(2.5):.2f}" == "2.50"
    assert f"{x}" == repr(x)
    assert bool(convcore.tensor(0.0)) is False
    with pytest.raises(ShapeError, match=r"item: only a tensor of one element is a number, this has shape \(2,\)"):
        convcore.ones(2).item()
    with pytest.raises(ShapeError, match=r"bool: only a tensor of one element .* shape \(2,\); use x.any\(\) or x.all"):
        bool(convcore.ones(2))
    with pytest.raises(DTypeError, match="index: only an integer tensor can be an index, this is float32"):
        [1][convcore.tensor(0.0)]  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_iteration():
    assert [r.tolist() for r in convcore.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    a, b = convcore.tensor([1, 2])
    assert (a.item(), b.item()) == (1, 2)
    with pytest.raises(DTypeError, match="iter: a tensor without axes"):
        iter(convcore.tensor(1))
    with pytest.raises(DTypeError, match="len: a tensor without axes"):
        len(convcore.tensor(1))


def test_numpy():
    x = convcore.ones(2, requires_grad=True)
    with pytest.raises(GraphError, match=r"use x.detach\(\).numpy\(\)"):
        x.numpy()
    with pytest.raises(GraphError, match=r"use x.detach\(\).numpy\(\)"):
        np.asarray(x)
    y = x.detach()
    assert np.shares_memory(np.asarray(y), y.array)
    assert not np.shares_memory(np.array(y), y.array)
    assert np.asarray(y, dtype=np.float64).dtype == np.float64
    assert np.shares_memory(y.__array__(copy=False), y.array)
    with pytest.raises(ValueError, match="only in a copy"):
        y.__array__(np.float64, copy=False)
    np.testing.assert_array_equal(y, [1, 1])


def test_numpy_of_a_parameter_where_nothing_is_recorded():
    """As in torch: what is changed inside no_grad is not meant to be known to the graph."""
    x = convcore.ones(2, requires_grad=True)
    with convcore.no_grad():
        x.numpy()[0] = 3
        assert np.shares_memory(np.asarray(x), x.array)
    assert x.tolist() == [3, 1]


def test_hash_is_identity():
    x, y = convcore.ones(2), convcore.ones(2)
    assert len({x, y, x}) == 2
    assert {x: 1}[x] == 1


def test_deepcopy_of_leaves():
    x = convcore.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    first, second = copy.deepcopy([x, x])
    assert first is second
    assert first.requires_grad
    assert first.grad is not None
    assert first.grad.tolist() == [3, 3]
    assert not np.shares_memory(first.array, x.array)
    assert x.grad is not None
    assert not np.shares_memory(first.grad.array, x.grad.array)
    with pytest.raises(GraphError, match="deepcopy: only tensors made by the user"):
        copy.deepcopy(x * 2)


def test_pickle_keeps_numbers_and_leaves_the_graph():
    x = convcore.tensor([[1.0, 2.0]], requires_grad=True)
    for tensor in (x, x * 2, x.T.detach(), convcore.arange(3)):
        copied = pickle.loads(pickle.dumps(tensor))
        assert type(copied) is convcore.Tensor
        assert copied.is_leaf
        assert copied.requires_grad == tensor.requires_grad
        assert copied.dtype == tensor.dtype
        assert copied.tolist() == tensor.tolist()


def test_equal_and_allclose():
    x = convcore.tensor([1.0, 2.0])
    assert x.equal(convcore.tensor([1.0, 2.0]))
    assert not x.equal(convcore.tensor([[1.0, 2.0]]))
    assert convcore.allclose(x, x + 1e-7)
    assert not convcore.allclose(x, x + 1e-3)
    assert convcore.isnan(x.log() * 0 / 0).all()
    assert convcore.isfinite(x).all()

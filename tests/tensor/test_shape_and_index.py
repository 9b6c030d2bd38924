"""Shapes and indices: views share memory, wrong sizes are refused with the actual values."""

import numpy as np
import pytest
import torch

import convcore
from convcore import nn
from convcore.errors import DTypeError, GraphError, ShapeError
from convcore.testing import gradcheck


def test_views_share_memory_and_its_counter_of_changes():
    x = convcore.zeros(2, 3, 4)
    views = [
        x.reshape(6, 4),
        x.view(-1),
        x.flatten(),
        x.permute(2, 0, 1),
        x.transpose(0, 1),
        x.T,
        x[0],
        x[:, 1:2],
        x[..., None],
        x.unsqueeze(0),
        x.expand(5, 2, 3, 4),
        x.detach(),
        x.data,
        *x.split(1),
        *x.chunk(2, 1),
        x[1][0, 2],
    ]
    for view in views:
        assert np.shares_memory(view.array, x.array)
        assert view.version is x.version
    x[1, 0, 2] = 7
    assert x.version.count == 1
    assert views[-1].item() == 7
    copies = [x.clone(), x[[0]], x[x > 0], x.T.flatten(), x.T.contiguous(), x + 0, convcore.cat([x])]
    for copy in copies:
        assert not np.shares_memory(copy.array, x.array)
        assert copy.version is not x.version


def test_flatten_restores_the_logical_order_of_channels_last():
    numbers = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    channels_last = np.ascontiguousarray(numbers.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    x = convcore.from_numpy(channels_last)
    for flat in (x.flatten(1), x.view(2, -1), x.reshape(2, 60)):
        np.testing.assert_array_equal(flat.array, numbers.reshape(2, 60))
        assert flat.is_contiguous()


def test_sizes():
    x = convcore.zeros(2, 3)
    assert x.shape == (2, 3)
    assert x.shape.numel() == x.numel() == 6
    assert x.size() == (2, 3)
    assert x.size(-1) == 3
    assert x.dim() == x.ndim == 2
    assert len(x) == 2
    assert repr(x.shape) == "convcore.Size([2, 3])"
    assert x.element_size() == 4
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.T.contiguous().is_contiguous()
    assert x.contiguous() is x
    assert x.is_floating_point()


def test_setitem():
    x = convcore.zeros(3, 4)
    x[0] = 1
    x[1, 2:] = convcore.tensor([5.0, 6.0])
    x[2, [0, 3]] = convcore.tensor([7, 8])
    x[x == 1] = 2.5
    expected = [[2.5] * 4, [0, 0, 5, 6], [7, 0, 0, 8]]
    assert x.tolist() == expected
    with pytest.raises(
        ShapeError, match=r"setitem: a value of shape \(3,\) does not broadcast to the shape \(4,\) of its"
    ):
        x[0] = convcore.zeros(3)
    with pytest.raises(IndexError, match="out of bounds"):
        x[3]
    assert x.tolist() == expected


def test_index_may_change_after_use():
    x = convcore.zeros(3, requires_grad=True)
    index = convcore.tensor([0, 1])
    y = x[index]
    index.fill_(2)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("operation", "error", "message"),
    [
        (
            lambda x: x.reshape(4, 2),
            ShapeError,
            r"reshape: 6 elements of shape \(2, 3\) do not fill the shape \(4, 2\)",
        ),
        (lambda x: x.reshape(-1, -1), ShapeError, "at most one size may be -1"),
        (lambda x: x.reshape(-1, 4), ShapeError, "do not fill"),
        (lambda x: x[:0].reshape(-1, 0), ShapeError, "do not fill"),
        (lambda x: x.reshape(2.5, 2), DTypeError, r"shape\[0\] must be an integer, got 2.5"),
        (lambda x: x.flatten(1, 0), ShapeError, "flatten: start_dim must not lie behind end_dim, got 1 and 0"),
        (lambda x: x.permute(0, 0), ShapeError, r"permute: dims must name each of the 2 axes once, got \(0, 0\)"),
        (lambda x: x.transpose(0, 2), ShapeError, "transpose: dim1 must be from -2 to 1 for a tensor of 2 axes, got 2"),
        (lambda x: x.sum("a"), DTypeError, r"sum: dim must be an integer, got 'a' \(str\)"),
        (lambda x: x.sum((0, -2)), ShapeError, r"sum: dim names an axis twice: \(0, -2\)"),
        (lambda x: x[None].t(), ShapeError, r"t: input must be a matrix, got shape \(1, 2, 3\)"),
        (lambda x: x.expand(3, 3), ShapeError, r"expand: shape \(2, 3\) cannot be repeated to \(3, 3\)"),
        (lambda x: x.expand(-1, 2, 3), ShapeError, "new axes come in front and need a size"),
        (lambda x: convcore.cat([]), ShapeError, "cat: tensors must hold at least one tensor, got none"),
        (lambda x: convcore.cat([x, x.T]), ShapeError, r"got shapes \(2, 3\) \(tensors\[0\]\) and \(3, 2\)"),
        (lambda x: convcore.stack([x, x.T]), ShapeError, r"stack: needs tensors of one shape"),
        (
            lambda x: x.split([1, 2]),
            ShapeError,
            r"split: the sections must add up to 2, the size of axis 0, got \[1, 2\]",
        ),
        (lambda x: x.split(0), ShapeError, "split: split_size must be at least 1, got 0"),
        (lambda x: x.chunk(0), ShapeError, "chunk: chunks must be at least 1, got 0"),
        (lambda x: x[:0].chunk(2**31), ShapeError, "chunk: chunks must be at most 1048576, got 2147483648"),
        (
            lambda x: x[:0].vsplit(2**31),
            ShapeError,
            "tensor_split: indices_or_sections must be at most 1048576, got 2147483648",
        ),
        (lambda x: x.sum().chunk(2), ShapeError, "chunk: input must have an axis to cut"),
        (lambda x: x.sum().split(2), ShapeError, "split: tensor must have an axis to cut"),
        (
            lambda x: x + convcore.zeros(2),
            ShapeError,
            r"add: shapes \(2, 3\) of input and \(2,\) of other do not broadcast",
        ),
        (
            lambda x: x < convcore.zeros(2),
            ShapeError,
            r"lt: shapes \(2, 3\) of input and \(2,\) of other do not broadcast",
        ),
        (lambda x: convcore.where(x > 0, x, convcore.zeros(2)), ShapeError, "where: shapes .* do not broadcast"),
        (lambda x: x.maximum(convcore.zeros(2)), ShapeError, "maximum: shapes .* do not broadcast"),
        (
            lambda x: x[:0].max(),
            ShapeError,
            r"amax: input must have at least one element to choose from, got shape \(0, 3\)",
        ),
        (lambda x: x[:0].argmin(), ShapeError, "argmin: input must have at least one element"),
        (lambda x: x.gather(0, x), DTypeError, "gather: index must hold integers, got float32"),
        (lambda x: x.gather(0, convcore.arange(3)), ShapeError, r"got index \(3,\) for input \(2, 3\)"),
    ],
)
def test_errors(operation, error, message):
    with pytest.raises(error, match=message):
        operation(convcore.zeros(2, 3))


def test_argmax_and_argmin():
    x = convcore.tensor([[1.0, 3.0, 3.0], [float("nan"), 0.0, 5.0]])
    assert x.argmax().item() == 3
    assert x.argmax(1).tolist() == [1, 0]
    assert x[0].argmin(0, keepdim=True).tolist() == [0]
    assert x[:1].argmax(0).dtype == convcore.int64
    values, indices = x[:1].max(1)
    assert values.tolist() == [3]
    assert indices.tolist() == [1]
    assert x[:1].min(dim=1).indices.tolist() == [0]
    assert convcore.tensor(2.0).max(0).indices.item() == 0


def test_chunk_and_split_of_uneven_sizes():
    x = convcore.arange(7)
    assert [c.tolist() for c in x.chunk(3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [c.tolist() for c in x.split(4)] == [[0, 1, 2, 3], [4, 5, 6]]
    assert [len(c) for c in convcore.zeros(0).chunk(2)] == [0, 0]
    assert [len(c) for c in convcore.zeros(0).split(2)] == [0]


@pytest.mark.parametrize(
    ("offset", "dims"), [(0, (0, 1)), (1, (0, 1)), (-1, (1, 0)), (1, (0, 2)), (0, (-1, 1)), (9, (0, 1))]
)
def test_a_diagonal_is_a_view(offset, dims):
    """As in torch: what is written to it is written to the tensor, and what is written there shows in it."""
    numbers = np.arange(24.0).reshape(2, 3, 4)
    ours, theirs = convcore.tensor(numbers), torch.tensor(numbers)
    first, second = ours.diagonal(offset, *dims), theirs.diagonal(offset, *dims)
    first.mul_(-2)
    second.mul_(-2)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    ours.add_(1)
    theirs.add_(1)
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    x, other = convcore.tensor(numbers, requires_grad=True), torch.tensor(numbers, requires_grad=True)
    (x.diagonal(offset, *dims) ** 2).sum().backward()
    (other.diagonal(offset, *dims) ** 2).sum().backward()
    assert x.grad is not None
    assert other.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), other.grad.numpy())
    assert not np.shares_memory(convcore.diag(ours[0]).array, ours.array)
    expanded = convcore.ones(1).expand(3, 3).diagonal()
    with pytest.raises(GraphError, match="memory is read-only"):
        expanded.zero_()


class TestUnfold:
    def test_a_view_as_in_torch(self):
        array = np.random.default_rng(0).standard_normal((3, 7, 2)).astype(np.float32)
        ours, theirs = convcore.tensor(array), torch.tensor(array)
        for x in (ours, theirs):
            windows = x.unfold(1, 3, 3)
            windows[:, 1].mul_(-2)
            x[0] = 5
            windows += 1
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        np.testing.assert_array_equal(ours.unfold(1, 4, 2).numpy(), theirs.unfold(1, 4, 2).numpy())

    def test_windows_that_overlap_are_read_only(self):
        windows = convcore.zeros(4).unfold(0, 2, 1)
        with pytest.raises(GraphError, match="memory is read-only"):
            windows.add_(1)

    @pytest.mark.parametrize(("size", "step"), [(3, 1), (2, 3), (1, 1), (0, 2), (7, 1)])
    def test_gradients(self, size, step):
        x = convcore.tensor(np.random.default_rng(0).standard_normal((2, 7, 2)), requires_grad=True)
        assert gradcheck(lambda x: x.unfold(1, size, step) ** 2, (x,))

    def test_a_compiled_model_shows_the_window_of_the_call(self):
        class Model(nn.Module):
            def forward(self, x):
                return x.unfold(1, 2, 1) * 2

        model = convcore.compile(Model().eval())
        with convcore.inference_mode():
            for value in range(4):
                x = convcore.full((1, 4), float(value))
                np.testing.assert_array_equal(model(x).numpy(), np.full((1, 3, 2), 2.0 * value))

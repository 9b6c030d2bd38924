"""Changes in place: the memory stays, the graph follows, and what was saved before is not used any more."""

import numpy as np
import pytest
import torch

import convcore
from convcore import memory
from convcore.errors import DTypeError, GraphError, ShapeError, UnsupportedError

CHANGES = {
    "add_": lambda x, w: x.add_(w, alpha=2),
    "sub_": lambda x, w: x.sub_(w),
    "mul_": lambda x, w: x.mul_(3),
    "div_": lambda x, w: x.div_(2),
    "neg_": lambda x, w: x.neg_(),
    "clamp_": lambda x, w: x.clamp_(-0.5, 0.5),
    "zero_": lambda x, w: x.zero_(),
    "fill_": lambda x, w: x.fill_(2.5),
    "copy_": lambda x, w: x.copy_(w[0]),
    "exp_": lambda x, w: x.exp_(),
    "relu_": lambda x, w: x.relu_(),
    "sqrt_": lambda x, w: x.mul_(0.1).add_(4).sqrt_(),
    "+=": lambda x, w: x.__iadd__(w),
    "-=": lambda x, w: x.__isub__(1),
    "*=": lambda x, w: x.__imul__(0.5),
    "/=": lambda x, w: x.__itruediv__(2),
    "setitem": lambda x, w: x.__setitem__((slice(None), 1), w[:, 0]) or x,
    "setitem mask": lambda x, w: x.__setitem__(w > 0, 5.0) or x,
    "setitem row": lambda x, w: x.__setitem__(1, w[0] * 2) or x,
}


@pytest.mark.parametrize("name", CHANGES)
def test_values_and_gradients_as_in_torch(name):
    rng = np.random.default_rng(0)
    a, w, g = (rng.standard_normal((3, 4)).astype(np.float32) for _ in range(3))
    leaf, weight = convcore.tensor(a, requires_grad=True), convcore.tensor(w, requires_grad=True)
    x = leaf * 1
    memory = x.array
    assert CHANGES[name](x, weight) is x
    assert x.array is memory
    assert not x.is_leaf
    x.backward(convcore.tensor(g))

    their_leaf, their_weight = torch.tensor(a, requires_grad=True), torch.tensor(w, requires_grad=True)
    y = their_leaf * 1
    CHANGES[name](y, their_weight)
    y.backward(torch.tensor(g))
    np.testing.assert_allclose(x.array, y.detach().numpy(), rtol=1e-6)
    for ours, theirs in ((leaf, their_leaf), (weight, their_weight)):
        expected = np.zeros_like(g) if theirs.grad is None else theirs.grad.numpy()
        actual = np.zeros_like(g) if ours.grad is None else ours.grad.array
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_a_constant_becomes_part_of_the_graph():
    weight = convcore.ones(3, requires_grad=True)
    x = convcore.zeros(3)
    x += weight
    x[0] = weight[1] * 5
    x.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [0, 6, 1]


def test_a_changed_saved_tensor_is_noticed():
    x = convcore.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    y += 1
    with pytest.raises(GraphError, match=r"a tensor that Mul saved .* shape \(3,\), was changed in place afterwards"):
        z.sum().backward()


def test_a_changed_saved_output_is_noticed():
    x = convcore.ones(3, requires_grad=True)
    y = x.exp()
    y.add_(1)
    with pytest.raises(GraphError, match=r"a tensor that Exp saved .* \(1 times\); change a clone\(\)"):
        y.sum().backward()


def test_a_change_of_what_was_not_saved_is_no_error():
    x = convcore.ones(3, requires_grad=True)
    y = x + 1
    z = y + 1
    y += 5
    z.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1, 1]


def test_a_change_through_a_view_is_noticed():
    x = convcore.ones(3, requires_grad=True)
    data = convcore.ones(3)
    z = x * data
    data[1:].zero_()
    with pytest.raises(GraphError, match="changed in place afterwards"):
        z.sum().backward()


def test_a_change_of_the_base_of_a_saved_view_is_noticed():
    x = convcore.ones(2, requires_grad=True)
    data = convcore.ones(2, 2)
    z = x * data[0]
    data.mul_(2)
    with pytest.raises(GraphError, match="changed in place afterwards"):
        z.sum().backward()


@pytest.mark.parametrize("share", ["detach", "data"])
def test_a_change_through_detach_is_noticed(share):
    x = convcore.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    (y.detach() if share == "detach" else y.data).add_(1)
    with pytest.raises(GraphError, match="changed in place afterwards"):
        z.sum().backward()


def test_an_optimiser_step_between_forward_and_backward_is_noticed():
    x = convcore.ones(3, requires_grad=True)
    z = (x * x).sum()
    with convcore.no_grad():
        x.add_(convcore.ones(3), alpha=-0.1)
    assert x.is_leaf
    assert x.requires_grad
    with pytest.raises(GraphError, match="changed in place afterwards"):
        z.backward()


def test_new_data_between_forward_and_backward_is_noticed():
    x = convcore.ones(3, requires_grad=True)
    z = (x * x).sum()
    x.data = convcore.zeros(3)
    with pytest.raises(GraphError, match="changed in place afterwards"):
        z.backward()


def test_data_replaces_the_numbers_of_the_same_tensor():
    x = convcore.ones(3, requires_grad=True)
    new = convcore.zeros(4, dtype=convcore.float64)
    x.data = new
    assert x.array is new.array
    assert x.requires_grad
    with pytest.raises(DTypeError, match="data: a tensor that requires a gradient holds floats, got int64"):
        x.data = convcore.arange(3)
    with pytest.raises(DTypeError, match="data: must be a tensor, got list"):
        x.data = [1]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_leaf_cannot_be_changed_while_recording():
    x = convcore.ones(3, requires_grad=True)
    with pytest.raises(GraphError, match=r"mul_: a leaf tensor that requires a gradient .* `with convcore.no_grad\(\)"):
        x *= 2
    with pytest.raises(GraphError, match="setitem: a leaf tensor"):
        x[0] = 1
    assert x.tolist() == [1, 1, 1]


def test_recorded_changes_of_shared_memory_are_refused():
    leaf = convcore.ones(2, 3, requires_grad=True)
    x = leaf * 1
    row = x[0]
    for tensor in (x, row):
        with pytest.raises(UnsupportedError, match=r"mul_: a recorded in-place change of memory .* view .* clone\(\)"):
            tensor.mul_(2)
    with pytest.raises(UnsupportedError, match="add_: a recorded in-place change"):
        leaf[0].add_(1)
    del row, tensor
    x.mul_(2)  # the view is gone
    plain = convcore.zeros(2, 3)
    plain[0].add_(1)  # nothing is recorded
    assert plain.tolist() == [[1, 1, 1], [0, 0, 0]]
    constant = convcore.zeros(2, 3)
    view = constant[0]
    with pytest.raises(UnsupportedError, match="add_"):
        view.add_(leaf[0])
    with convcore.no_grad():
        view.add_(leaf[0])
    assert constant.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_a_view_that_outlives_its_base_can_be_changed():
    leaf = convcore.ones(2, 3, requires_grad=True)
    x = (leaf * 2).reshape(3, 2)
    x += 1
    x.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[2, 2, 2], [2, 2, 2]]


def test_assignment_without_recording_copies_nothing_else():
    x = convcore.zeros(1_000_000)
    used = memory.stats()["used"]
    memory.reset_peak()
    x[3] = 1
    x[10:20] = convcore.ones(10)
    x.fill_(2).zero_()
    assert memory.stats()["peak"] == used
    assert x.version.count == 4
    with pytest.raises(ShapeError, match=r"copy_: a value of shape \(3,\) does not broadcast to the shape \(2,\)"):
        convcore.zeros(2).copy_(convcore.ones(3))


def test_read_only_memory():
    x = convcore.zeros(1, 3).expand(2, 3)
    with pytest.raises(GraphError, match="add_: this tensor's memory is read-only"):
        x += 1


def test_results_that_do_not_fit():
    x = convcore.zeros(3)
    with pytest.raises(ShapeError, match=r"add_: the result of shape \(2, 3\) does not fit into \(3,\) in place"):
        x += convcore.zeros(2, 3)
    with pytest.raises(DTypeError, match="add_: a result of float32 cannot be stored in place in int64"):
        convcore.zeros(2, dtype=convcore.int64).add_(0.5)
    with pytest.raises(DTypeError, match="div_: a result of float32 cannot be stored in place in int64"):
        convcore.ones(2, dtype=convcore.int64).div_(2)
    assert x.version.count == 0
    x += convcore.ones(3, dtype=convcore.float64)
    assert x.dtype == convcore.float32


def test_integers_are_stored_in_any_integer_type():
    """As in torch, which refuses results of a higher category alone (bool, integer, float); what is too large wraps."""
    for change in (lambda x, y: x.sub_(y), lambda x, y: x.mul_(y), lambda x, y: x.add_(y.sum())):
        ours, theirs = convcore.tensor([3, 200], dtype=convcore.uint8), torch.tensor([3, 200], dtype=torch.uint8)
        change(ours, convcore.tensor([1, 300]))
        change(theirs, torch.tensor([1, 300]))
        assert ours.dtype == convcore.uint8
        assert ours.tolist() == theirs.tolist()
    with pytest.raises(DTypeError, match="add_: a result of int64 cannot be stored in place in bool"):
        convcore.tensor([True]).add_(1)


def test_mixed_precision_in_place_is_recorded_in_both_types():
    weight = convcore.ones(3, dtype=convcore.float64, requires_grad=True)
    x = convcore.zeros(3)
    x += weight
    x.sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == convcore.float64


def test_overlapping_source():
    x = convcore.arange(4)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2]
    y = convcore.arange(4)
    y += y[[3]].expand(4)
    assert y.tolist() == [3, 4, 5, 6]


def test_retain_grad_follows_the_tensor():
    leaf = convcore.ones(2, requires_grad=True)
    x = leaf * 3
    x.retain_grad()
    x *= 2
    (x * 5).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [5, 5]
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [30, 30]


def test_in_place_residual_of_a_network():
    x = convcore.tensor([[1.0, -2.0]], requires_grad=True)
    out = x * 3
    out += x
    out.relu().sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[4, 0]]

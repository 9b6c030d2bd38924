"""Deferred tensors: nobody may notice that they are computed late, whatever happens between the call and the look."""

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import convcore
import convcore.nn.functional as F
from convcore import nn, optim
from convcore.autograd import grad, wrap
from convcore.errors import GraphError
from convcore.ops.norm import fused as fused_norm

CHANNELS = 3


def channels_last(seed: int = 0, n: int = 2, size: int = 4) -> Any:
    """A tensor as a convolution returns it."""
    rng = np.random.default_rng(seed)
    return wrap(rng.standard_normal((n, size, size, CHANNELS)).astype(np.float32).transpose(0, 3, 1, 2))


def normalised(x: Any, weight: Any = None, bias: Any = None) -> Any:
    y = F.batch_norm(x, None, None, weight, bias, True)
    assert y.deferred is not None
    return y


def expected(x: Any) -> np.ndarray:
    """What batch norm gives for x as it is now."""
    with convcore.no_fusion():
        return F.batch_norm(wrap(x.array.copy(order="K")), None, None, training=True).array


@pytest.fixture
def forwards(monkeypatch):
    """Every run of the fused forward: (with ReLU, with pooling)."""
    runs = []
    original = fused_norm.BatchNorm.forward

    def forward(ctx, x, weight, bias, norm, rectify, geometry):
        runs.append((rectify, geometry is not None))
        return original(ctx, x, weight, bias, norm, rectify, geometry)

    monkeypatch.setattr(fused_norm.BatchNorm, "forward", staticmethod(forward))
    return runs


# What needs no numbers does not compute them


def test_form_is_known_without_computing(forwards):
    x = channels_last().requires_grad_()
    y = normalised(x)
    assert (y.shape, y.size(1), y.dtype, y.ndim, y.dim()) == ((2, 3, 4, 4), 3, np.float32, 4, 4)
    assert y.is_floating_point()
    assert y.requires_grad
    assert not y.is_leaf
    r = F.relu(y)
    assert (r.shape, r.requires_grad, r.is_leaf) == (y.shape, True, False)
    assert normalised(x.detach()).is_leaf
    assert forwards == []


def test_layers_fuse(forwards):
    layers = nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.ReLU(), nn.MaxPool2d(2))
    layers(channels_last())
    in_place = nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
    in_place(channels_last())
    nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.AdaptiveMaxPool2d(2))(channels_last())
    assert forwards == [(True, True), (True, True), (False, True)]


def test_no_fusion_computes_at_once(forwards):
    with convcore.no_fusion():
        y = F.batch_norm(channels_last(), None, None, training=True)
    assert y.deferred is None
    assert forwards == [(False, False)]


def test_a_result_that_nobody_wants_is_not_computed(forwards):
    layer = nn.BatchNorm2d(CHANNELS)
    layer(channels_last())
    assert forwards == []
    assert layer.num_batches_tracked is not None
    assert layer.num_batches_tracked.item() == 1
    assert layer.running_mean is not None
    assert layer.running_mean.array.any()


# Every look at the numbers computes them

LOOKS: dict[str, Callable[[Any], Any]] = {
    "numpy": lambda y: y.numpy(),
    "asarray": np.asarray,
    "detach": lambda y: y.detach().array,
    "clone": lambda y: y.clone().array,
    "tolist": lambda y: np.array(y.tolist(), np.float32),
    "view": lambda y: y[:].array,
    "deepcopy": lambda y: copy.deepcopy(y).array,
    "pickle": lambda y: pickle.loads(pickle.dumps(y)).array,
    "data": lambda y: y.data.array,
    "state": lambda y: nn.Parameter(y).array,
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_computes(look):
    x = channels_last()
    np.testing.assert_array_equal(LOOKS[look](normalised(x)), expected(x))
    np.testing.assert_array_equal(LOOKS[look](F.relu(normalised(x))), np.maximum(expected(x), 0))


def test_repr_shows_numbers_and_node():
    y = normalised(channels_last().requires_grad_())
    assert "grad_fn=<BatchNormBackward>" in repr(y)
    assert y.deferred is None


def test_unknown_attributes_are_still_errors():
    y = normalised(channels_last())
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'nothing'"):
        y.nothing()
    assert y.deferred is not None


def test_an_error_while_computing_is_raised_and_may_pass(monkeypatch):
    y = normalised(channels_last())

    def fail(*args):
        raise MemoryError("no memory left")

    with monkeypatch.context() as patch:
        patch.setattr(fused_norm, "_normalised", fail)
        with pytest.raises(MemoryError, match="no memory left"):
            y.numpy()
    assert y.numpy().shape == y.shape


# Memory that changes between the call and the look

CHANGES: dict[str, Callable[[Any], Any]] = {
    "add_": lambda x: x.add_(1),
    "relu_": lambda x: x.relu_(),
    "copy_": lambda x: x.copy_(convcore.zeros(1)),
    "setitem": lambda x: x.__setitem__((0, 1), 5.0),
    "a view": lambda x: x[0].zero_(),
    "a detached twin": lambda x: x.detach().mul_(3),
    "init": nn.init.ones_,
    "data": lambda x: setattr(x, "data", convcore.zeros(2, 3, 4, 4)),
    "numpy": lambda x: x.numpy().fill(7),
    "asarray": lambda x: np.asarray(x).fill(7),
    "zero_grad": lambda x: _zero_as_gradient(x),
    "load_state_dict": lambda x: _load(x),
    "step": lambda x: _step(x),
    "running statistics": lambda x: F.batch_norm(channels_last(), x[0, :, 0, 0], None, training=True),
}


def _zero_as_gradient(x: Any) -> None:
    owner = convcore.zeros(*x.shape, requires_grad=True)
    owner.grad = x
    optim.SGD([owner], lr=1.0).zero_grad(set_to_none=False)


def _load(x: Any) -> None:
    module = nn.Module()
    module.register_buffer("x", x)
    module.load_state_dict({"x": convcore.zeros(*x.shape)})


def _step(x: Any) -> None:
    x.grad = convcore.ones(*x.shape)
    optim.SGD([x], lr=1.0).step()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_input_comes_too_late(change):
    x = channels_last()
    wanted = expected(x)
    y, r = normalised(x), F.relu(normalised(x))
    before = x.array.copy()
    CHANGES[change](x)
    assert not np.array_equal(before, x.array)
    np.testing.assert_array_equal(y.array, wanted)
    np.testing.assert_array_equal(r.array, np.maximum(wanted, 0))


def test_a_change_of_the_weight_comes_too_late_and_is_noticed_by_backward():
    x, weight = channels_last().requires_grad_(), convcore.rand(CHANNELS, requires_grad=True)
    y = normalised(x, weight)
    values = weight.array.copy()
    with convcore.no_grad():
        weight.mul_(2)
    np.testing.assert_allclose(y.array, expected(x) * values.reshape(1, 3, 1, 1), rtol=1e-5, atol=1e-6)
    with pytest.raises(GraphError, match="a tensor that BatchNorm saved for its gradient"):
        y.sum().backward()


def test_wishes_for_gradients_are_those_of_the_call():
    x, weight = channels_last().requires_grad_(), convcore.rand(CHANNELS, requires_grad=True)
    y = normalised(x, weight)
    weight.requires_grad_(False)
    assert y.deferred is None  # settled with the wishes of the call
    weight.requires_grad_(True)
    y.sum().backward()
    assert weight.grad is not None
    weight.requires_grad_(False)
    z = normalised(x, weight)
    weight.requires_grad_(True)
    weight.grad = None
    z.sum().backward()
    assert weight.grad is None


# Memory that NumPy code may write to


@pytest.mark.parametrize("share", [convcore.from_numpy, convcore.Tensor])
def test_memory_from_outside_is_used_at_once(share):
    array = channels_last().array
    x = share(array)
    wanted = expected(x)
    y = F.batch_norm(x, None, None, training=True)
    assert y.deferred is None
    array[...] = 0
    np.testing.assert_array_equal(y.array, wanted)


def test_memory_is_exposed_as_long_as_any_array_lives():
    x = channels_last()
    part = x.numpy()[0].T[1:]
    assert F.batch_norm(x, None, None, training=True).deferred is None
    assert F.batch_norm(x.detach(), None, None, training=True).deferred is None
    owner = np.asarray(memoryview(part))
    del part
    assert F.batch_norm(x, None, None, training=True).deferred is None
    del owner
    assert F.batch_norm(x, None, None, training=True).deferred is not None


def test_an_array_taken_before_the_call_is_seen_through_a_tensor_of_it():
    x = channels_last()
    twin = convcore.from_numpy(x.numpy())
    y = F.batch_norm(x, None, None, training=True)
    wanted = expected(x)
    twin.add_(1)
    np.testing.assert_array_equal(y.array, wanted)


def test_samples_of_a_dataset_share_its_memory():
    from convcore.data import TensorDataset

    blocks = np.stack([channels_last(seed).array.transpose(0, 2, 3, 1) for seed in range(2)])
    images = wrap(blocks).permute(0, 1, 4, 2, 3)
    (sample,) = TensorDataset(images)[0]
    wanted = expected(sample)
    y = normalised(sample)
    images.zero_()
    np.testing.assert_array_equal(y.array, wanted)


# The grad mode is that of the call


def test_not_recorded_stays_not_recorded():
    x = channels_last().requires_grad_()
    with convcore.no_grad():
        y = normalised(x)
        z = F.max_pool2d(F.relu(normalised(x)), 2)
    assert not y.requires_grad
    assert y.node is None
    assert not F.relu(y).requires_grad
    assert not z.requires_grad
    with convcore.no_grad():
        y = normalised(x)
    assert not F.max_pool2d(F.relu(y), 2).requires_grad


def test_recorded_stays_recorded():
    x = channels_last().requires_grad_()
    y, r = normalised(x), F.relu(normalised(x))
    with convcore.no_grad():
        assert not F.max_pool2d(r, 2).requires_grad
        assert not F.relu(y).requires_grad
        values = y.array
    y.backward(wrap(np.ones_like(values)))
    r.backward(wrap(np.ones_like(values)))
    assert x.grad is not None


def test_relu_in_place_without_recording_leaves_the_graph_as_it_is():
    """As of every change in `no_grad`, backward knows nothing of it."""
    x, g = channels_last().requires_grad_(), channels_last(1)
    (wanted,) = grad(normalised(x), x, g)
    y = normalised(x)
    with convcore.no_grad():
        y.relu_()
    np.testing.assert_array_equal(y.array, np.maximum(expected(x), 0))
    np.testing.assert_array_equal(grad(y, x, g)[0].array, wanted.array)


def test_relu_in_place_returns_the_same_tensor_and_stays_fused(forwards):
    x = channels_last()
    y = normalised(x)
    r = F.relu(y)
    assert F.relu(y, inplace=True) is y
    assert y.deferred is not None
    assert y.relu_() is y
    np.testing.assert_array_equal(y.array, np.maximum(expected(x), 0))
    np.testing.assert_array_equal(r.array, y.array)
    assert forwards[0] == (True, False)


def test_after_relu_in_place_the_value_before_it_cannot_come_back():
    x = channels_last()
    y = normalised(x)
    r = F.relu(y)  # continues y's deferral, and so keeps it
    before = y.deferred
    y.relu_()
    before.settle()
    assert y.deferred is not None
    x.add_(1)
    assert y.array.min() == r.array.min() == 0


# One value, many uses


def test_each_use_computes_once(forwards):
    x = channels_last().requires_grad_()
    y = normalised(x)
    r = F.relu(y)
    pooled = F.max_pool2d(r, 2)
    total = (y + y).sum() + (r * r).sum() + pooled.sum()
    total.backward()
    assert sorted(forwards) == [(False, False), (True, False), (True, True)]


def both(function: Callable[[Any], list[Any]]) -> None:
    """The arrays that `function` returns must be those of the steps one by one."""
    fused = function(channels_last().requires_grad_())
    with convcore.no_fusion():
        steps = function(channels_last().requires_grad_())
    for actual, wanted in zip(fused, steps, strict=True):
        np.testing.assert_allclose(actual.array, wanted.array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", ["y first", "r first", "pool first"])
def test_gradients_flow_through_all_uses(order):
    def uses(x):
        weight, bias = convcore.ones(CHANNELS, requires_grad=True), convcore.zeros(CHANNELS, requires_grad=True)
        y = F.batch_norm(x, None, None, weight, bias, True)
        r = F.relu(y)
        if order == "y first":
            assert y.array.size
        if order == "r first":
            assert r.array.size
        pooled = F.max_pool2d(r, 2)
        (y.tanh().sum() + (r * r).sum() + (pooled**3).sum()).backward()
        return [x.grad, weight.grad, bias.grad]

    both(uses)


@pytest.mark.parametrize("first", ["y", "r"])
@pytest.mark.parametrize("pooled", [True, False])
def test_gradients_of_what_was_passed_by_can_be_asked_for_later(first, pooled):
    """The fused node led from x to the pooled image past y and r; then somebody wants their gradients after all."""

    def asks(x):
        y = F.batch_norm(x, None, None, training=True)
        r = F.relu(y)
        out = F.max_pool2d(r, 3, 2, 1) if pooled else F.max_pool2d(y, 2)
        loss = (out**3).sum()
        if not pooled:
            loss = loss + (r**2).sum()
        order = [y, r] if first == "y" else [r, y]
        gradients = [grad(loss, tensor, retain_graph=True)[0] for tensor in order]
        return [*gradients, *grad(loss, [x, y, r])]

    both(asks)


def test_retain_grad_after_the_pooling():
    def retains(x):
        y = F.batch_norm(x, None, None, training=True)
        r = F.relu(y)
        out = F.max_pool2d(r, 2)
        r.retain_grad()
        y.retain_grad()
        (out**3).sum().backward()
        return [r.grad, y.grad, x.grad]

    both(retains)


def test_a_change_after_the_pooling_does_not_reach_it():
    def changes(x):
        y = F.batch_norm(x, None, None, training=True)
        r = F.relu(y)
        out = F.max_pool2d(r, 2)
        y.mul_(2)
        (out.sum() + (y**2).sum()).backward()
        return [out, y, r, x.grad]

    both(changes)


def test_a_relu_in_place_after_the_pooling_does_not_reach_it():
    def changes(x):
        y = F.batch_norm(x, None, None, training=True)
        out = F.max_pool2d(y, 2)
        y.relu_()
        (out.sum() + (y**2).sum()).backward()
        return [out, y, x.grad]

    both(changes)


@pytest.mark.parametrize("look", ["", "y", "r", "y, r"])
def test_second_derivatives(look):
    def twice(x):
        y = F.batch_norm(x, None, None, training=True)
        r = F.relu(y)
        out = F.max_pool2d(r, 2)
        total = (out**2).sum()
        for tensor in [{"y": y, "r": r}[name] for name in look.split(", ") if name]:
            total = total + (tensor**3).sum()
        (first,) = grad(total, x, create_graph=True)
        (first**2).sum().backward()
        return [first, x.grad]

    both(twice)


def test_backward_twice_needs_the_graph():
    x = channels_last().requires_grad_()
    out = F.max_pool2d(F.relu(normalised(x)), 2)
    out.backward(out.detach())
    with pytest.raises(GraphError, match="the graph through BatchNorm was used before"):
        out.backward(out.detach())


def test_memory_of_the_input_goes_with_the_result():
    import weakref

    x = channels_last()
    y = normalised(x)
    memory = x.version.watched()
    reference = weakref.ref(y.deferred)
    assert len(memory.dependants) == 1
    y.numpy()
    assert reference() is None
    assert not memory.dependants


def test_two_threads_compute_once(forwards):
    for _ in range(20):
        forwards.clear()
        y = normalised(channels_last(size=32))
        barrier = threading.Barrier(4)
        seen = []

        def look(y=y, barrier=barrier, seen=seen):
            barrier.wait()
            seen.append(y.array)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(forwards) == 1
        assert all(array is seen[0] for array in seen)
        assert len(seen) == 4

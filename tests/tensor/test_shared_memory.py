"""Copies of tensors: which share memory, that whoever shares it hears of every change, and what they carry over."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore import nn
from convcore.errors import GraphError
from convcore.nn import functional as F
from convcore.tensor import Tensor


class Named(Tensor):
    """A tensor class of the user, with an attribute that has a default."""

    name: Any = "nobody"


def tensors():
    weight = convcore.randn(4, 3, 3, 3)
    named = Named(np.ones((4, 3, 3, 3), np.float32))
    return {"a tensor": weight, "a parameter": nn.Parameter(convcore.randn(4, 3, 3, 3)), "a class of the user": named,
            "a view": convcore.randn(5, 3, 3, 3)[1:], "a copy": copy.copy(convcore.randn(4, 3, 3, 3))}  # fmt: skip


@pytest.mark.parametrize("kind", tensors())
@pytest.mark.parametrize("changed", ["the original", "the copy"])
def test_filters_that_a_copy_shares_are_never_stale(kind, changed):
    x, weight = convcore.randn(1, 3, 6, 6), tensors()[kind]
    twin = copy.copy(weight)
    assert type(twin) is type(weight)
    assert np.shares_memory(twin.array, weight.array)
    with convcore.no_grad():
        for t in (weight, twin):
            F.conv2d(x, t)  # packs the filters, and keeps the panels
        (weight if changed == "the original" else twin).mul_(-3)
        for t in (weight, twin):
            np.testing.assert_array_equal(F.conv2d(x, t).numpy(), F.conv2d(x, t.clone()).numpy())


def waiting_norm(x, weight):
    result = F.batch_norm(x, None, None, weight, training=True)
    assert result.deferred is not None
    return result


def test_what_waits_to_be_computed_is_computed_before_a_copy_changes():
    x = convcore.randn(2, 3, 6, 6).contiguous(memory_format=convcore.channels_last)
    weight = convcore.randn(3)
    for tensor in (copy.copy(x), copy.copy(weight)):
        wanted = waiting_norm(x.clone(), weight.clone()).numpy()
        waiting = waiting_norm(x, weight)
        tensor.mul_(-2)
        np.testing.assert_array_equal(waiting.numpy(), wanted)


def test_a_copy_of_what_waits_to_be_computed_shares_its_memory():
    waiting = waiting_norm(
        convcore.randn(2, 3, 6, 6).contiguous(memory_format=convcore.channels_last), convcore.randn(3)
    )
    twin = copy.copy(waiting)
    twin.add_(1)
    np.testing.assert_array_equal(waiting.numpy(), twin.numpy())


def test_backward_notices_a_change_through_a_copy():
    x = convcore.ones(3, requires_grad=True)
    twin = copy.copy(x)
    y = (x * x).sum()
    with convcore.no_grad():
        twin.mul_(2)
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def made(library):
    x = library.ones(3, requires_grad=True)
    x.grad = library.ones(3)
    x.note = ["kept"]
    x.register_hook(lambda gradient: None)
    frozen = library.nn.Parameter(library.ones(2), requires_grad=False)
    computed = x * 2
    computed.note = 3
    return x, frozen, computed, library.ones(1).expand(3), library.ones(2, 3).t()


def carried(tensor, original):
    note = getattr(tensor, "note", None)
    return (type(tensor).__name__, tensor.requires_grad, tensor.is_leaf, tensor.grad is None, tensor.tolist(), note,
            note is getattr(original, "note", None))  # fmt: skip


@pytest.mark.filterwarnings("ignore:backward hook")
def test_copies_carry_what_torchs_carry():
    for ours, theirs in zip(made(convcore), made(torch), strict=True):
        assert carried(copy.copy(ours), ours) == carried(copy.copy(theirs), theirs)
        assert copy.copy(ours).stride() == copy.copy(theirs).stride()
        if theirs.is_leaf:
            assert carried(copy.deepcopy(ours), ours) == carried(copy.deepcopy(theirs), theirs)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            again, theirs_again = (pickle.loads(pickle.dumps(t, protocol)) for t in (ours, theirs))
            assert carried(again, ours) == carried(theirs_again, theirs)


def test_attributes_of_a_class_of_the_user_are_carried_over():
    x = Named(np.ones(2, np.float32))
    x.name = {"first": 1}
    for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.name == {"first": 1}


@pytest.mark.parametrize("writable", [True, False])
def test_buffers_beside_a_pickle_are_not_the_memory_of_the_tensors_read_from_it(writable):
    weight = convcore.randn(4, 3, 3, 3)
    kept: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(weight, protocol=5, buffer_callback=kept.append)
    assert kept
    buffers = [bytearray(b) if writable else bytes(b) for b in kept]
    first, second = (pickle.loads(pickled, buffers=buffers) for _ in range(2))
    values = weight.numpy().copy()
    first.zero_()
    for tensor in (second, weight):
        np.testing.assert_array_equal(tensor.numpy(), values)
    second.mul_(2)
    direct = pickle.loads(pickled, buffers=kept)
    direct.zero_()
    np.testing.assert_array_equal(weight.numpy(), values)


def test_who_holds_a_buffer_of_a_pickle_may_write_to_it():
    x, weight = convcore.randn(1, 3, 6, 6), convcore.randn(4, 3, 3, 3)
    kept: list[pickle.PickleBuffer] = []
    pickle.dumps(weight, protocol=5, buffer_callback=kept.append)
    F.conv2d(x, weight).numpy()
    np.frombuffer(kept[0].raw(), np.float32)[:] = 0
    assert not F.conv2d(x, weight).numpy().any()

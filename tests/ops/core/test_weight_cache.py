"""Derived arrays: kept while the numbers that they were computed from stand still, and not a moment longer."""

import gc
from typing import Any

import numpy as np
import pytest

import convcore
from convcore import nn
from convcore.ops.core import weight_cache as cache
from convcore.ops.core.weight_cache import derived


@pytest.fixture(autouse=True)
def _empty():
    cache.clear()
    yield
    cache.clear()


class Builder:
    """Doubles the tensor's numbers, and counts how often."""

    def __init__(self, tensor: Any):
        self.tensor = tensor
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return self.tensor.array * 2

    def get(self, key: Any = "double") -> np.ndarray:
        result = derived(self.tensor, key, self)
        np.testing.assert_array_equal(result, self.tensor.array * 2)
        return result


def test_a_result_is_kept():
    double = Builder(convcore.rand(4))
    assert double.get() is double.get()
    assert double.calls == 1
    double.get("another purpose")
    assert double.calls == 2


def test_views_of_one_memory_have_results_of_their_own():
    whole = convcore.rand(4)
    first, second = Builder(whole[:2]), Builder(whole[2:])
    first.get()
    second.get()
    first.get()
    assert (first.calls, second.calls) == (1, 1)
    second.tensor.add_(1)
    first.get()
    second.get()
    assert (first.calls, second.calls) == (2, 2)


def test_what_is_computed_by_layers_is_kept_until_the_next_step():
    layer = nn.Linear(3, 2)
    double = Builder(layer.weight)
    double.get()
    double.get()
    assert double.calls == 1
    layer(convcore.rand(5, 3)).sum().backward()
    convcore.optim.SGD(layer.parameters(), lr=0.1).step()
    double.get()
    assert double.calls == 2


CHANGES = {
    "add_": lambda w: w.detach().add_(1),
    "setitem": lambda w: w.detach().__setitem__(0, 5.0),
    "view": lambda w: w.detach()[0].zero_(),
    "init": nn.init.ones_,
    "data": lambda w: setattr(w, "data", convcore.rand(2, 3)),
    "numpy": lambda w: w.detach().numpy().fill(7),
    "asarray": lambda w: np.asarray(w.detach()).fill(7),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_ends_it(name):
    double = Builder(nn.Linear(3, 2).weight)
    double.get()
    CHANGES[name](double.tensor)
    double.get()
    double.get()
    assert double.calls == 2


def test_load_state_dict_ends_it():
    layer = nn.Linear(3, 2)
    double = Builder(layer.weight)
    double.get()
    layer.load_state_dict(nn.Linear(3, 2).state_dict())
    double.get()
    assert double.calls == 2


def test_memory_shared_by_data_is_watched_from_both_sides():
    source = convcore.rand(2, 3)
    double = Builder(nn.Linear(3, 2).weight)
    double.tensor.data = source
    double.get()
    source.add_(1)
    double.get()
    assert double.calls == 2


def test_nothing_is_kept_while_an_array_lives():
    double = Builder(convcore.rand(4))
    array = double.tensor.numpy()
    part = array[1:]
    del array
    double.get()
    part[:] = 9
    double.get()
    assert double.calls == 2
    del part
    double.get()
    double.get()
    assert double.calls == 3


@pytest.mark.parametrize("share", [convcore.from_numpy, convcore.Tensor])
def test_nothing_is_kept_of_memory_that_came_from_outside(share):
    array = np.ones(4, np.float32)
    double = Builder(share(array))
    double.get()
    array[:] = 3
    double.get()
    assert double.calls == 2
    assert double.tensor.numpy() is array


def test_a_change_during_building_is_not_forgotten():
    tensor = convcore.rand(4)

    def build():
        result = tensor.array * 2
        tensor.add_(1)
        return result

    derived(tensor, "double", build)
    double = Builder(tensor)
    double.get()
    assert double.calls == 1


def test_it_ends_with_its_tensor():
    double = Builder(convcore.rand(4))
    double.get()
    assert cache.stats()["entries"] == 1
    del double
    gc.collect()
    assert cache.stats() == {"entries": 0, "bytes": 0}


def test_beyond_the_limit_what_was_used_longest_ago_goes_first(monkeypatch):
    a, b, c = (Builder(convcore.rand(1000)) for _ in range(3))
    monkeypatch.setattr(cache, "LIMIT", 2 * (4000 + cache.OVERHEAD))
    a.get()
    b.get()
    a.get()
    c.get()  # b goes
    assert cache.stats()["entries"] == 2
    a.get()
    c.get()
    b.get()
    assert (a.calls, b.calls, c.calls) == (1, 2, 1)
    assert cache.stats()["bytes"] <= cache.LIMIT
    large = Builder(convcore.rand(10000))
    large.get()
    large.get()
    assert large.calls == 2
    assert cache.stats()["entries"] == 2


def test_views_that_come_and_go_do_not_pile_up(monkeypatch):
    whole = convcore.rand(4)
    monkeypatch.setattr(cache, "LIMIT", 10 * cache.OVERHEAD)
    for _ in range(50):
        Builder(whole[:2]).get()
    assert whole.version.memory is not None
    assert len(whole.version.memory.derived) == cache.stats()["entries"] < 10


def test_clear_caches():
    double = Builder(convcore.rand(4))
    double.get()
    convcore.clear_caches()
    assert cache.stats() == {"entries": 0, "bytes": 0}
    assert convcore.memory.stats()["idle"] == 0
    double.get()
    assert double.calls == 2


def test_a_tuple_counts_all_its_arrays():
    tensor = convcore.rand(4)
    derived(tensor, "pair", lambda: (np.zeros(10), np.zeros(20)))
    assert cache.stats()["bytes"] == cache.OVERHEAD + 240


def test_equal_views_share_a_result_and_other_views_do_not():
    whole = convcore.rand(6)
    calls = []

    def total(view):
        return derived(view, "total", lambda: calls.append(view) or view.array.sum(keepdims=True))

    assert total(whole[:3]) is total(whole[:3])
    total(whole[3:])
    total(whole[:3].reshape(3, 1))
    assert len(calls) == 3


def test_what_a_change_made_useless_goes_when_something_new_comes():
    weight = convcore.rand(100)
    for step in range(5):
        derived(weight, ("of step", step), lambda: weight.array * 2)
        weight.add_(1)
    derived(weight, "now", lambda: weight.array * 2)
    assert cache.stats()["entries"] == 1


def test_entries_may_die_of_garbage_collection_while_others_are_counted():
    thresholds = gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        for _ in range(4000):  # more than Python keeps tuples for: listing them all makes new ones
            tensor: Any = convcore.rand(1)
            derived(tensor, "double", Builder(tensor))
            tensor.cycle = tensor  # only the collector ends it, and its entry
        del tensor
        weight = convcore.rand(4)
        gc.set_threshold(gc.get_count()[0] + 1000)
        gc.enable()
        derived(weight, "double", Builder(weight))
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)
    gc.collect()
    assert cache.stats() == {"entries": 1, "bytes": cache.OVERHEAD + 16}

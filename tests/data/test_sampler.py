"""Samplers: torch's orders and lengths where nothing is drawn, and what holds for those that draw."""

import numpy as np
import pytest
import torch.utils.data as theirs

import convcore
import convcore.utils.data as ours
from convcore.errors import DTypeError, ShapeError
from convcore.random import Generator


@pytest.mark.parametrize("n", [0, 1, 6, 7])
@pytest.mark.parametrize("size", [1, 3, 7, 9])
@pytest.mark.parametrize("drop_last", [True, False])
def test_sequential_and_batch_sampler_as_in_torch(n, size, drop_last):
    own, torchs = (m.BatchSampler(m.SequentialSampler(range(n)), size, drop_last) for m in (ours, theirs))
    assert list(own) == list(torchs) == list(own)
    assert len(own) == len(torchs)


def test_random_sampler_gives_every_index_once():
    sampler = ours.RandomSampler(range(20))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert all(type(index) is int for index in first)


@pytest.mark.parametrize(("replacement", "count"), [(False, 5), (False, 20), (False, 47), (True, 5), (True, 300)])
def test_random_sampler_of_any_length(replacement, count):
    sampler = ours.RandomSampler(range(20), replacement, count, Generator(1))
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == count
    if not replacement:
        assert np.ptp(np.bincount(drawn, minlength=20)) <= 1
    assert drawn == list(ours.RandomSampler(range(20), replacement, count, Generator(1)))


def test_random_sampler_follows_a_changed_length():
    data = list(range(3))
    sampler = ours.RandomSampler(data)
    data.append(3)
    assert sorted(sampler) == [0, 1, 2, 3]
    assert len(sampler) == 4


def test_subset_random_sampler():
    sampler = ours.SubsetRandomSampler([4, 9, 16, 25], Generator(0))
    orders = [list(sampler) for _ in range(10)]
    assert all(sorted(order) == [4, 9, 16, 25] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert len(sampler) == 4


def test_weighted_random_sampler():
    for weights in ([0, 1.0, 3.0, 0], np.array([0, 1, 3, 0]), convcore.tensor([0, 1.0, 3.0, 0])):
        sampler = ours.WeightedRandomSampler(weights, 4000, generator=Generator(0))
        counts = np.bincount(list(sampler), minlength=4)
        assert counts.sum() == len(sampler) == 4000
        assert counts[0] == counts[3] == 0
        assert abs(counts[2] / 4000 - 0.75) < 0.03
    once = list(ours.WeightedRandomSampler([1, 5, 2], 3, replacement=False))
    assert sorted(once) == [0, 1, 2]
    loader = ours.DataLoader(ours.TensorDataset(np.arange(3)), 8, sampler=ours.WeightedRandomSampler([0, 1, 0], 8))
    assert [batch.tolist() for (batch,) in loader] == [[1] * 8]


def test_samplers_follow_the_seed():
    for make in (
        lambda g: ours.RandomSampler(range(30), generator=g),
        lambda g: ours.SubsetRandomSampler(range(30), g),
        lambda g: ours.WeightedRandomSampler([1.0] * 30, 30, generator=g),
    ):
        convcore.manual_seed(3)
        expected = list(make(None))
        convcore.manual_seed(3)
        assert list(make(None)) == expected
        assert list(make(Generator(3))) == expected
        assert list(make(Generator(4))) != expected


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda m: m.RandomSampler([]), ShapeError, "data_source is empty"),
        (lambda m: m.RandomSampler([1], num_samples=0), ShapeError, "num_samples must be at least 1, got 0"),
        (lambda m: m.RandomSampler([1], "yes"), DTypeError, "replacement must be True or False, got 'yes'"),
        (lambda m: m.WeightedRandomSampler([1], 0), ShapeError, "num_samples must be at least 1"),
        (lambda m: m.WeightedRandomSampler([1], 1, 1), DTypeError, "replacement must be True or False, got 1"),
        (lambda m: m.WeightedRandomSampler([[1]], 1), ShapeError, r"one axis, got the shape \(1, 1\)"),
        (lambda m: m.BatchSampler([1], 0, False), ShapeError, "batch_size must be at least 1"),
        (lambda m: m.BatchSampler([1], 1, None), DTypeError, "drop_last must be True or False, got None"),
    ],
)  # fmt: skip
def test_what_torch_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make(ours)
    with pytest.raises((ValueError, TypeError)):
        make(theirs)


@pytest.mark.parametrize("name", ["RandomSampler", "SubsetRandomSampler"])
def test_what_is_no_generator(name):
    with pytest.raises(DTypeError, match=rf"{name}: generator must be a convcore\.Generator or None, got int"):
        getattr(ours, name)([1], generator=3)


def test_a_sampler_without_iter_says_so():
    with pytest.raises(NotImplementedError, match="Mine does not define __iter__"):
        iter(type("Mine", (ours.Sampler,), {})())

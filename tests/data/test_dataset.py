"""Datasets and collation."""

from collections import namedtuple

import numpy as np
import pytest

from convcore.autograd import Variable, wrap
from convcore.data import Dataset, Subset, TensorDataset, Transformed, default_collate, random_split
from convcore.errors import DTypeError, ShapeError

X = np.arange(24, dtype=np.float32).reshape(6, 2, 2)
Y = np.arange(6) * 10


class Plain(Dataset):
    """A dataset without get_batch."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return X[index], int(Y[index])


def test_tensor_dataset_gives_samples_and_batches():
    dataset = TensorDataset(X, wrap(Y))
    assert len(dataset) == 6
    x, y = dataset[4]
    assert isinstance(x, Variable)
    assert isinstance(y, Variable)
    np.testing.assert_array_equal(x.array, X[4])
    assert y.array.shape == ()
    assert y.array == 40
    x, y = dataset.get_batch(np.array([5, 0, 5]))
    np.testing.assert_array_equal(x.array, X[[5, 0, 5]])
    np.testing.assert_array_equal(y.array, [50, 0, 50])


def test_datasets_can_be_iterated():
    for dataset in (TensorDataset(X, Y), Subset(TensorDataset(X, Y), range(6))):
        samples = [dataset[i] for i in range(len(dataset))]
        assert [int(y.array) for _, y in samples] == Y.tolist()
        with pytest.raises(IndexError):
            dataset[6]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((), ShapeError, "at least one tensor"),
        ((X, Y[:5]), ShapeError, r"same length \(first axis\), got shapes \[\(6, 2, 2\), \(5,\)\]"),
        ((np.ones(()),), ShapeError, "same length"),
        (([1, 2],), DTypeError, "argument 0 must be a tensor or a NumPy array, got list"),
    ],
)
def test_tensor_dataset_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        TensorDataset(*arguments)


def test_subset_maps_indices_in_both_ways_of_fetching():
    subset = Subset(Subset(TensorDataset(X, Y), [5, 3, 1]), [2, 0])
    assert len(subset) == 2
    assert [int(subset[i][1].array) for i in range(2)] == [10, 50]
    np.testing.assert_array_equal(subset.get_batch(np.array([1, 0]))[1].array, [50, 10])
    assert Subset(Plain(), [4]).get_batch is None
    with pytest.raises(ShapeError, match=r"indices must lie in \[-6, 6\).*got 2 to 6"):
        Subset(Plain(), [2, 6])


def test_transformed_changes_only_the_first_element():
    doubled = Transformed(TensorDataset(X, Y), lambda x: wrap(2 * x.array))
    x, y = doubled[3]
    np.testing.assert_array_equal(x.array, 2 * X[3])
    assert y.array == 30
    x, y = doubled.get_batch(np.array([0, 2]))
    np.testing.assert_array_equal(x.array, 2 * X[[0, 2]])
    np.testing.assert_array_equal(y.array, [0, 20])
    assert Transformed(Plain(), lambda x: x).get_batch is None
    assert len(doubled) == 6


def test_random_split_is_a_partition_fixed_by_the_seed():
    dataset = TensorDataset(np.arange(100))
    first, second, third = random_split(dataset, [50, 30, 20], seed=3)
    assert [len(first), len(second), len(third)] == [50, 30, 20]
    together = np.concatenate([first.indices, second.indices, third.indices])
    assert sorted(together) == list(range(100))
    assert list(together) != list(range(100))
    np.testing.assert_array_equal(first.indices, random_split(dataset, [50, 50], seed=3)[0].indices)
    assert list(first.indices) != list(random_split(dataset, [50, 50], seed=4)[0].indices)
    for lengths in ([50, 49], [101, -1]):
        with pytest.raises(ShapeError, match="add up to the dataset's 100 samples"):
            random_split(dataset, lengths, seed=0)


def test_dataset_without_methods_says_so():
    class Empty(Dataset):
        pass

    with pytest.raises(NotImplementedError, match="Empty does not define __getitem__"):
        Empty()[0]
    with pytest.raises(NotImplementedError, match="Empty does not define __len__"):
        len(Empty())


def test_collate_stacks_nested_samples():
    point = namedtuple("point", "u v")
    samples = [
        {"x": X[i], "y": i, "z": [float(i), wrap(X[i])], "name": f"n{i}", "p": point(i, np.int16(i))} for i in range(3)
    ]
    batch = default_collate(samples)
    np.testing.assert_array_equal(batch["x"].array, X[:3])
    assert batch["y"].array.dtype == np.int64
    assert batch["z"][0].array.dtype == np.float64
    np.testing.assert_array_equal(batch["z"][1].array, X[:3])
    assert batch["name"] == ["n0", "n1", "n2"]
    assert isinstance(batch["p"], point)
    assert batch["p"].v.array.dtype == np.int16


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([X[0], X[0, :1]], ShapeError, r"same shape to be stacked, got \[\(1, 2\), \(2, 2\)\]"),
        ([(1, 2), (1,)], ShapeError, r"as many elements, got \[1, 2\]"),
        ([object()], DTypeError, "got object; give the DataLoader a collate_fn"),
    ],
)
def test_collate_refuses(samples, error, message):
    with pytest.raises(error, match=message):
        default_collate(samples)

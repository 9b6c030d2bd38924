"""Datasets made of others, and splits: torch's samples, lengths and errors."""

import copy
import pickle
import warnings
from collections import OrderedDict, UserDict
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data

import convcore
import convcore.utils.data as ours
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.random import Generator

theirs: Any = torch.utils.data
WAYS: list[dict[str, Any]] = [{}, {"num_workers": 2}]
X = np.arange(12.0).reshape(6, 2)


def both(make):
    """The dataset that `make(library, tensor)` makes, of either library."""
    return make(ours, convcore.tensor), make(theirs, torch.tensor)


def plain(sample):
    if isinstance(sample, dict):
        return {key: plain(value) for key, value in sample.items()}
    if isinstance(sample, (tuple, list)):
        return [plain(value) for value in sample]
    return sample.tolist() if hasattr(sample, "tolist") else sample


DATASETS = {
    "tensors": lambda m, t: m.TensorDataset(t(X), t(np.arange(6))),
    "concat": lambda m, t: m.ConcatDataset([m.TensorDataset(t(X)), [(t(X[2]),)] * 2, m.TensorDataset(t(X[:1]))]),
    "plus": lambda m, t: m.TensorDataset(t(X)) + m.TensorDataset(t(X[2:])),
    "stack": lambda m, t: m.StackDataset(m.TensorDataset(t(X)), list("abcdef")),
    "named stack": lambda m, t: m.StackDataset(image=m.TensorDataset(t(X)), text=list("abcdef")),
    "subset": lambda m, t: m.Subset(m.TensorDataset(t(X)), [4, 1, 1]),
    "subset of a list": lambda m, t: m.Subset(list("abc"), [2, 0]),
    "subset of a subset": lambda m, t: m.Subset(m.Subset(list("abcde"), [4, 2, 0]), [2, 1]),
    "subset of a concat": lambda m, t: m.Subset(m.ConcatDataset([[1, 2], [3]]), [2, 0]),
}


@pytest.mark.parametrize("name", DATASETS)
def test_samples_and_batches_as_in_torch(name):
    own, torchs = both(DATASETS[name])
    assert len(own) == len(torchs)
    for index in [*range(len(own)), -1]:
        assert plain(own[index]) == plain(torchs[index])
    with pytest.raises(IndexError):
        own[len(own)]
    for size in (None, 1, 2, 4):
        expected = list(theirs.DataLoader(torchs, size))
        for way in WAYS:
            batches = list(ours.DataLoader(own, size, **way))
            assert plain(batches) == plain(expected)
            assert [type(batch) for batch in batches] in ([type(b) for b in expected], [convcore.Tensor] * len(batches))


def test_cumulative_sizes():
    own, torchs = both(DATASETS["concat"])
    assert own.cumulative_sizes == torchs.cumulative_sizes == [6, 8, 9]
    for index in (-10, 9):
        with pytest.raises(IndexError, match=rf"index must lie in \[-9, 9\), got {index}"):
            own[index]


@pytest.mark.parametrize("arguments", [((), {}), (([1],), {"b": [2]}), (([1], [2, 3]), {}), ((), {"a": [1], "b": []})])
def test_stacks_that_are_refused(arguments):
    args, named = arguments
    with pytest.raises(ShapeError, match=r"StackDataset: (takes at least one|all datasets must have the same length)"):
        ours.StackDataset(*args, **named)
    with pytest.raises(ValueError, match=r"dataset|Support"):
        theirs.StackDataset(*args, **named)


def test_datasets_can_be_copied_and_pickled():
    for make in DATASETS.values():
        dataset = make(ours, convcore.tensor)
        for twin in (copy.copy(dataset), copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
            assert plain(twin[0]) == plain(dataset[0])
            assert plain(list(ours.DataLoader(twin, 2))) == plain(list(ours.DataLoader(dataset, 2)))


@pytest.mark.parametrize(
    ("n", "lengths"),
    [
        (10, [3, 7]), (10, [10]), (10, [0, 10]), (10, [0.3, 0.3, 0.4]), (7, [0.5, 0.5]), (11, [1 / 3] * 3), (100, [1]),
        (5, [0.9, 0.1, 0.0]), (3, [0.25] * 4), (1, [1, 0]), (0, [0.5, 0.5]), (17, [0.7, 0.2, 0.1]), (4, (2, 2)),
    ],
)  # fmt: skip
def test_lengths_of_random_split_as_in_torch(n, lengths):
    with warnings.catch_warnings(record=True) as torchs_warnings:
        warnings.simplefilter("always")
        expected = theirs.random_split(range(n), lengths)
    with warnings.catch_warnings(record=True) as own_warnings:
        warnings.simplefilter("always")
        parts = ours.random_split(range(n), lengths, generator=Generator(0))
    assert [len(part) for part in parts] == [len(part) for part in expected]
    assert sorted(part[i] for part in parts for i in range(len(part))) == list(range(n))
    assert len(own_warnings) == len(torchs_warnings)
    assert all("gets no sample" in str(warning.message) for warning in own_warnings)


def test_random_split_follows_generators():
    def split(*args, **named):
        return [part.indices.tolist() for part in ours.random_split(range(20), [15, 5], *args, **named)]

    assert split(Generator(4)) == split(generator=Generator(4)) != split(generator=Generator(5))
    convcore.manual_seed(4)
    assert split() == split(Generator(4))
    assert split() != split(Generator(4)), "the generator moves on"
    assert split(seed=1) == split(seed=1)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 3], "add up to the dataset's 10 samples, or be fractions"),
        ([11, -1], "must be >= 0"),
        ([0.5, 0.4], "must be integers, or fractions that add up to 1"),
        ([1.5, -0.5], r"the fraction lengths\[0\] must lie in \[0, 1\], got 1.5"),
        ([], "add up"),
    ],
)
def test_lengths_that_are_refused(lengths, message):
    with pytest.raises(ShapeError, match=f"random_split: .*{message}"):
        ours.random_split(range(10), lengths)


def test_random_split_takes_one_source():
    with pytest.raises(UnsupportedError, match="seed and generator exclude each other"):
        ours.random_split(range(2), [1, 1], Generator(0), seed=1)
    wrong: Any = 3
    with pytest.raises(DTypeError, match=r"random_split: generator must be a convcore\.Generator"):
        ours.random_split(range(2), [1, 1], wrong)


def test_tensors_of_a_dataset_keep_their_graph():
    """As in torch: what learns its inputs loads them through a TensorDataset."""
    libraries: list[Any] = [convcore, torch]
    own, torchs = (m.tensor(X.tolist(), requires_grad=True) for m in libraries)
    for library, x, options in (
        (ours, own, {}),
        (ours, own, {"collate_fn": ours.default_collate}),
        (theirs, torchs, {}),
    ):
        x.grad = None
        for (batch,) in library.DataLoader(library.TensorDataset(x), 4, **options):
            (batch * batch).sum().backward()
        grad: Any = x.grad
        assert grad.tolist() == (2 * X).tolist()
    samples = list(ours.DataLoader([own[0], own[1]], 2))
    assert samples[0].requires_grad
    assert not next(iter(ours.DataLoader(ours.TensorDataset(own.detach()), 2)))[0].requires_grad


class Extra(UserDict):
    pass


NESTED = {
    "numbers": [1, 2], "floats": [1.5, 2.0], "mixed": [1, 2.5], "bools": [True, False], "strings": ["a", "b"],
    "bytes": [b"a", b"b"], "tuples": [(1, "a"), (2, "b")], "lists": [[1, 2.0], [3, 4.0]],
    "mappings": [{"a": 1, "b": (2, 3)}, {"a": 4, "b": (5, 6)}],
    "ordered": [OrderedDict(z=1, a=2), OrderedDict(z=3, a=4)], "arrays": [np.ones((2, 1)), np.zeros((2, 1))],
    "scalars": [np.float32(1), np.float32(2)], "deep": [[{"a": [(1, [2])]}], [{"a": [(3, [4])]}]],
    "user": [Extra(a=1), Extra(a=2)],
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_collate_as_in_torch(name):
    own, expected = ours.default_collate(NESTED[name]), theirs.default_collate(NESTED[name])
    assert repr(typed(own)) == repr(typed(expected))


def typed(value):
    """The structure with element types, the same for both libraries."""
    if hasattr(value, "tolist"):
        return str(value.dtype).removeprefix("torch."), value.tolist()
    if hasattr(value, "items"):
        return type(value), [(key, typed(v)) for key, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [typed(v) for v in value]
    return value


@pytest.mark.parametrize("name", NESTED)
def test_convert_as_in_torch(name):
    for sample in NESTED[name]:
        if name != "scalars":
            assert repr(typed(ours.default_convert(sample))) == repr(typed(theirs.default_convert(sample)))
    assert repr(typed(ours.default_convert(np.arange(3)))) == repr(typed(theirs.default_convert(np.arange(3))))


def test_convert_shares_memory_as_in_torch():
    array = np.zeros(2)
    for library in (ours, theirs):
        tensor = library.default_convert(array)
        array[0] += 1
        assert tensor[0] == array[0]


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([], ShapeError, "a batch needs at least one sample"),
        ([convcore.tensor(1.0), 2.0], DTypeError, "default_collate: sample 1 of the batch must be a tensor, got float"),
        ([None, None], DTypeError, "got NoneType; give the DataLoader a collate_fn"),
        ([np.array("a"), np.array("b")], DTypeError, "default_collate"),
        ([np.array(None), np.array(None)], DTypeError, "default_collate: dtype must be one of"),
    ],
)
def test_collate_refuses(samples, error, message):
    with pytest.raises(error, match=message):
        ours.default_collate(samples)
    samples = [torch.tensor(1.0) if isinstance(sample, convcore.Tensor) else sample for sample in samples]
    with pytest.raises((TypeError, IndexError)):
        theirs.default_collate(samples)

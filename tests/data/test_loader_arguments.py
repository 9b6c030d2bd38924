"""DataLoader takes torch's arguments in torch's order, and refuses what excludes each other."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data

import convcore
import convcore.utils.data as ours
from convcore.data import DataLoader, TensorDataset
from convcore.errors import DTypeError, ShapeError, UnsupportedError

theirs: Any = torch.utils.data
NUMBERS = TensorDataset(np.arange(10))
OWN = ["seed", "prefetch"]


def lists(loader):
    """The batches as Python lists; those of torch's and of ours look the same."""
    return [[t.tolist() for t in batch] if isinstance(batch, (list, tuple)) else batch.tolist() for batch in loader]


def pair(n=10):
    return TensorDataset(np.arange(n)), theirs.TensorDataset(torch.arange(n))


def test_arguments_stand_in_torchs_order():
    own, torchs = (inspect.signature(cls.__init__).parameters for cls in (DataLoader, theirs.DataLoader))
    assert [name for name in own if name not in OWN] == list(torchs)
    for name in torchs:
        assert own[name].default == torchs[name].default, name
        assert own[name].kind == torchs[name].kind, name
    for name in OWN:
        assert own[name].kind == inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("n", [1, 7, 8, 10])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"batch_size": 4}, {"batch_size": 4, "drop_last": True}, {"batch_size": None}, {"batch_size": 20},
        {"sampler": [3, 0, 0, 2]}, {"sampler": range(0, 7, 2), "batch_size": 3},
        {"batch_size": None, "sampler": [2, 0]},
        {"batch_sampler": [[0, 2], [1], [3, 3, 3]]}, {"batch_size": 2, "num_workers": 2},
        {"batch_size": 3, "sampler": np.array([5, 1, 0, 0]), "drop_last": True},
    ],
    ids=str,
)  # fmt: skip
def test_batches_and_lengths_as_in_torch(n, options):
    ours_, torchs = pair(max(n, 7) if "ampler" in str(options) else n)
    expected = theirs.DataLoader(torchs, **{**options, "num_workers": 0})
    loader = DataLoader(ours_, **options)
    assert lists(loader) == lists(expected)
    assert lists(loader) == lists(expected), "a second time"
    assert len(loader) == len(expected)
    for name in ("batch_size", "drop_last"):
        assert getattr(loader, name) == getattr(expected, name)
    assert type(loader.sampler).__name__ == type(expected.sampler).__name__


def test_batches_are_lists_as_in_torch():
    for dataset in (NUMBERS, ours.Subset(NUMBERS, [1, 2]), [(1, 2.0)] * 3):
        (first, *_) = DataLoader(dataset, 2)
        assert type(first) is list


def test_batches_of_a_sampler_that_gives_tensors():
    loader = DataLoader(NUMBERS, 2, sampler=convcore.tensor([3, 1, 4]))
    assert lists(loader) == [[[3, 1]], [[4]]]
    assert lists(DataLoader(list(range(5)), 2, sampler=convcore.tensor([3, 1, 4]))) == [[3, 1], [4]]


def test_keys_of_any_type():
    loader = DataLoader({"a": 1, "b": 2}, batch_size=2, sampler=["b", "a", "b"])
    assert lists(loader) == [[2, 1], [2]]


def test_getitems_fetches_a_batch_at_once():
    class Many(ours.Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            raise AssertionError("one by one")

        def __getitems__(self, indices):
            return [10 * index for index in indices]

    assert lists(DataLoader(Many(), 2)) == [[0, 10], [20, 30], [40]]


def test_a_subclass_that_changes_samples_is_asked_for_samples():
    """A batch is not fetched past the `__getitem__` of a subclass, at any depth."""

    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return (2 * super().__getitem__(index)[0],)

    class Faster(Doubled):
        def get_batch(self, indices):
            return [convcore.tensor(-indices)]

    class Later(ours.Subset):
        def __getitem__(self, index):
            return (super().__getitem__(index)[0] + 100,)

    numbers = Doubled(np.arange(4))
    assert lists(DataLoader(numbers, 2)) == [[[0, 2]], [[4, 6]]]
    assert lists(DataLoader(ours.Subset(numbers, [3, 1]), 2)) == [[[6, 2]]]
    assert lists(DataLoader(Later(NUMBERS, [3, 1]), 2)) == [[[103, 101]]]
    assert lists(DataLoader(Faster(np.arange(4)), 4)) == [[[0, -1, -2, -3]]]
    assert lists(DataLoader(ours.Subset(Faster(np.arange(4)), [3, 1]), 2)) == [[[-3, -1]]]


def test_what_has_no_meaning_here_is_accepted():
    loader = DataLoader(
        NUMBERS, 5, pin_memory=True, pin_memory_device="cuda", in_order=False, num_workers=1,
        multiprocessing_context="fork",
    )  # fmt: skip
    assert lists(loader) == lists(DataLoader(NUMBERS, 5))
    assert loader.pin_memory is True
    text = inspect.getdoc(DataLoader) or ""
    for name in ("pin_memory", "multiprocessing_context", "pin_memory_device", "in_order"):
        assert f"{name}: without effect" in text


class Stream(ours.IterableDataset):
    def __iter__(self):
        return iter(range(3))


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (NUMBERS, {"sampler": [1], "shuffle": True}, "sampler and shuffle exclude each other"),
        *(
            (NUMBERS, {"batch_sampler": [[1]], name: value}, "batch_sampler excludes batch_size, shuffle, sampler and")
            for name, value in (
                ("batch_size", 2), ("batch_size", None), ("shuffle", True), ("sampler", [1]), ("drop_last", True),
            )
        ),
        (NUMBERS, {"batch_size": None, "drop_last": True}, "batch_size=None gives single samples, which drop_last"),
        (NUMBERS, {"num_workers": -1}, "num_workers must be at least 0"),
        (NUMBERS, {"batch_size": 0}, "batch_size must be at least 1"),
        (NUMBERS, {"timeout": -1, "num_workers": 1}, "timeout must be at least 0 seconds, got -1"),
        (NUMBERS, {"prefetch_factor": 2}, "prefetch_factor needs num_workers > 0, got prefetch_factor=2"),
        (NUMBERS, {"prefetch_factor": -1, "num_workers": 1}, "prefetch_factor must be at least 0"),
        (NUMBERS, {"persistent_workers": True}, "persistent_workers needs num_workers > 0"),
        (NUMBERS, {"multiprocessing_context": "fork"}, "multiprocessing_context needs num_workers > 0"),
        (TensorDataset(np.arange(0)), {"shuffle": True}, "data_source is empty"),
        (Stream(), {"shuffle": True}, "an IterableDataset has an order of its own, so shuffle cannot be given"),
        (Stream(), {"sampler": [1]}, "so sampler cannot be given"),
        (Stream(), {"batch_sampler": [[1]]}, "so batch_sampler cannot be given"),
    ],
)  # fmt: skip
def test_arguments_that_torch_refuses(dataset, options, message):
    with pytest.raises(ShapeError, match=f"{message}") as caught:
        DataLoader(dataset, **options)
    assert isinstance(caught.value, ValueError)
    torchs = theirs.ChainDataset([]) if isinstance(dataset, Stream) else [0] * len(dataset)
    with pytest.raises(ValueError, match=r"option|num_samples|batch_size|num_workers"):
        theirs.DataLoader(torchs, **options)


def test_own_arguments_that_are_refused():
    with pytest.raises(ShapeError, match="prefetch and prefetch_factor exclude each other"):
        DataLoader(NUMBERS, num_workers=1, prefetch=2, prefetch_factor=2)
    with pytest.raises(ShapeError, match=r"timeout needs num_workers > 0, got timeout=3 and num_workers=0"):
        DataLoader(NUMBERS, timeout=3)
    with pytest.raises(DTypeError, match="batch_size must be an integer, got True"):
        DataLoader(NUMBERS, batch_size=True)


@pytest.mark.parametrize("name", ["batch_size", "batch_sampler", "dataset", "drop_last", "sampler"])
def test_settings_of_the_order_cannot_be_changed_later(name):
    with pytest.raises(ShapeError, match=f"{name} cannot be changed afterwards"):
        setattr(DataLoader(NUMBERS), name, 3)
    with pytest.raises(ValueError, match="should not be set"):
        setattr(theirs.DataLoader([1]), name, 3)


def test_streams_have_no_order_of_samples():
    for loader in (DataLoader(Stream()), DataLoader(NUMBERS, batch_sampler=[[1]])):
        with pytest.raises(UnsupportedError, match="no order of single samples"):
            loader.order(0)


def test_the_path_of_torch():
    assert ours.DataLoader is DataLoader
    from convcore.utils.data.dataloader import default_collate
    from convcore.utils.data.dataset import Dataset, random_split
    from convcore.utils.data.sampler import SubsetRandomSampler

    assert default_collate is convcore.data.default_collate
    assert random_split is convcore.data.random_split
    assert Dataset is convcore.data.Dataset
    assert SubsetRandomSampler is convcore.utils.data.SubsetRandomSampler
    assert convcore.utils.data.Dataset[int]
    assert DataLoader[int]

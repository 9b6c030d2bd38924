"""Iterable datasets: batches, lengths and workers, as torch has them."""

import pytest
import torch.utils.data as theirs

import convcore.utils.data as ours
from convcore.errors import DTypeError, ShapeError, UnsupportedError


def stream(library, samples, length=None, is_split=False):
    """The same stream for either library."""

    class Stream(library.IterableDataset):
        def __iter__(self):
            info = library.get_worker_info()
            if info is None or not is_split:
                yield from samples
            else:
                yield from samples[info.id :: info.num_workers]

    if length is not None:
        Stream.__len__ = lambda self: length
    return Stream()


def batches(library, dataset, **options):
    return [b.tolist() if hasattr(b, "tolist") else b for b in library.DataLoader(dataset, **options)]


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": None}])
@pytest.mark.parametrize("n", [0, 3, 7])
def test_batches_as_in_torch(options, n):
    expected = batches(theirs, stream(theirs, list(range(n))), **options)
    for way in ({}, {"prefetch": 3}, {"num_workers": 1}):
        assert batches(ours, stream(ours, list(range(n))), **options, **way) == expected
    own, torchs = (m.DataLoader(stream(m, [], length=n), **options) for m in (ours, theirs))
    assert len(own) == len(torchs)


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("options", [{"batch_size": 2}, {"batch_size": 2, "drop_last": True}, {"batch_size": None}])
def test_workers_as_in_torch(is_split, options):
    samples = list(range(13))
    expected = batches(theirs, stream(theirs, samples, is_split=is_split), num_workers=2, **options)
    own = stream(ours, samples, is_split=is_split)
    for ahead in (1, 2, 5):
        loader = ours.DataLoader(own, num_workers=2, prefetch_factor=ahead, **options)
        for _ in range(2):
            assert [b.tolist() if hasattr(b, "tolist") else b for b in loader] == expected


def test_streams_without_a_length():
    dataset = stream(ours, [1, 2])
    for what in (dataset, ours.DataLoader(dataset)):
        with pytest.raises(TypeError, match="has no len"):
            len(what)
    assert list(dataset) == [1, 2]


def test_each_epoch_begins_anew():
    loader = ours.DataLoader(stream(ours, [1, 2, 3]), 2)
    first = iter(loader)
    next(first)
    assert batches(ours, loader.dataset, batch_size=2) == [[1, 2], [3]]
    assert [b.tolist() for b in first] == [[3]]
    assert [b.tolist() for b in loader] == [[1, 2], [3]]


def test_a_stream_that_ended_is_not_asked_again():
    class Odd(ours.IterableDataset):
        def __iter__(self):
            return self

        count = 0

        def __next__(self):
            self.count += 1
            if self.count == 3:
                raise StopIteration
            return self.count

    for way in ({}, {"num_workers": 1, "prefetch_factor": 9}):
        assert batches(ours, Odd(), batch_size=2, **way) == [[1, 2]]


@pytest.mark.parametrize("way", [{}, {"num_workers": 2}])
def test_errors_of_a_stream(way):
    class Broken(ours.IterableDataset):
        def __iter__(self):
            yield 1
            yield 2
            raise OSError("lost the connection")

    with pytest.raises(OSError, match="lost the connection"):
        batches(ours, Broken(), batch_size=2, **way)


def test_a_stream_without_iter_says_so():
    with pytest.raises(NotImplementedError, match="Mine does not define __iter__"):
        list(type("Mine", (ours.IterableDataset,), {})())


def test_chains_as_in_torch():
    for make in (lambda m, a, b: m.ChainDataset([a, b]), lambda m, a, b: a + b):
        own, torchs = (make(m, stream(m, [1, 2], 2), stream(m, [3], 1)) for m in (ours, theirs))
        assert isinstance(own, ours.ChainDataset)
        assert list(own) == list(torchs) == [1, 2, 3]
        assert len(own) == len(torchs) == 3
        assert batches(ours, own, batch_size=2) == batches(theirs, torchs, batch_size=2)
    with pytest.raises(DTypeError, match=r"datasets\[1\] must be an IterableDataset, got list; ConcatDataset joins"):
        list(ours.ChainDataset([stream(ours, [1]), [2]]))


def test_streams_have_no_numbered_samples():
    with pytest.raises(UnsupportedError, match=r"datasets\[1\] is an IterableDataset.*ChainDataset joins streams"):
        ours.ConcatDataset([[1], stream(ours, [2])])
    with pytest.raises(ShapeError, match="datasets must hold at least one dataset"):
        ours.ConcatDataset([])

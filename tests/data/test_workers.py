"""Workers of a DataLoader: what they know, what they are told first, and how they end."""

import gc
import sys
import threading
import time
import traceback
import weakref
from typing import Any

import numpy as np
import pytest

import convcore
from convcore.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info
from convcore.errors import LoaderTimeoutError

WAYS: list[dict[str, Any]] = [{}, {"prefetch": 2}, {"num_workers": 1}, {"num_workers": 3}]


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("convcore-data-loader")]


class Numbers(Dataset):
    """Its samples are numbers; `see(index)` is called for each."""

    def __init__(self, n, see=lambda index: None):
        self.n, self.see = n, see

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        self.see(index)
        return index


def test_what_a_worker_knows_of_itself():
    seen = {}

    def see(index):
        seen[index] = get_worker_info()

    dataset = Numbers(6, see)
    list(DataLoader(dataset, num_workers=3, seed=1))
    assert [seen[index].id for index in range(6)] == [0, 1, 2, 0, 1, 2], "batches go to the workers in turn"
    assert {info.num_workers for info in seen.values()} == {3}
    assert [seen[i].seed - seen[0].seed for i in range(3)] == [0, 1, 2]
    assert [type(info.dataset) for info in seen.values()] == [Numbers] * 6
    copies = {id(info.dataset): info.dataset for info in seen.values()}
    assert len(copies) == 3
    assert id(dataset) not in copies
    again, seen = seen, {}
    list(DataLoader(dataset, num_workers=3, seed=1))
    assert again[0].seed == seen[0].seed
    for way in WAYS[:2]:
        list(DataLoader(dataset, **way))
        assert set(seen.values()) == {None}
    assert get_worker_info() is None


@pytest.mark.parametrize("count", [1, 2, 5])
def test_worker_init_fn_is_called_once_per_worker_and_before_the_first_batch(count):
    calls = []

    def begin(number):
        info = get_worker_info()
        assert info is not None
        assert (info.id, info.num_workers) == (number, count)
        info.dataset.file = f"file {number}"
        calls.append((number, convcore.rand(1).item(), loader_threads()[0] is not threading.current_thread()))

    class Files(Numbers):
        file: str

        def __getitem__(self, index):
            calls.append(index)
            return self.file

    dataset = Files(7)
    convcore.manual_seed(0)
    batches = list(DataLoader(dataset, 2, num_workers=count, worker_init_fn=begin, collate_fn=list))
    assert [call[0] for call in calls[:count]] == list(range(count))
    assert sorted(calls[count:]) == list(range(7))
    assert len({call[1] for call in calls[:count]}) == count, "workers draw for themselves"
    assert [batch[0] for batch in batches] == [f"file {i % count}" for i in range(4)]
    assert not hasattr(dataset, "file")
    assert loader_threads() == []


def test_worker_init_fn_is_not_called_without_workers():
    called = []
    for way in WAYS[:2]:
        assert len(list(DataLoader(Numbers(2), worker_init_fn=called.append, **way))) == 2
    assert called == []


def test_an_error_of_worker_init_fn_reaches_the_loop():
    def begin(number):
        if number == 1:
            raise OSError("no such file")

    with pytest.raises(OSError, match="no such file") as caught:
        next(iter(DataLoader(Numbers(4), num_workers=3, worker_init_fn=begin)))
    assert "in begin" in "".join(traceback.format_tb(caught.value.__traceback__))
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["DataLoader: raised by worker_init_fn of worker 1"]
    del caught
    assert loader_threads() == []


def test_persistent_workers_stay():
    starts, seen = [], []
    loader = DataLoader(
        Numbers(4, lambda index: seen.append(threading.current_thread())), num_workers=2, persistent_workers=True,
        worker_init_fn=starts.append,
    )  # fmt: skip
    for _ in range(3):
        assert [batch.item() for batch in loader] == [0, 1, 2, 3]
    assert next(iter(loader)).item() == 0, "left early"
    assert [batch.item() for batch in loader] == [0, 1, 2, 3]
    assert starts == [0, 1]
    assert len(set(seen)) == 2
    assert len(loader_threads()) == 2
    del loader
    gc.collect()
    assert loader_threads() == []
    starts.clear()
    for _ in range(2):
        list(DataLoader(Numbers(4), num_workers=2, worker_init_fn=starts.append))
    assert starts == [0, 1, 0, 1]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_errors_name_the_sample_and_keep_their_traceback(way):
    def see(index):
        if index == 5:
            raise KeyError("broken")

    loader = iter(DataLoader(Numbers(10, see), 2, **way))
    assert [next(loader).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyError, match="broken") as caught:
        next(loader)
    text = "".join(traceback.format_exception(caught.value))
    assert "in see" in text
    assert "in __getitem__" in text
    if sys.version_info >= (3, 11):
        assert "raised by the dataset's sample 5" in text
        assert "while batch 2 was fetched, indices [4, 5]" in text
    assert next(loader, None) is None
    assert loader_threads() == []


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_errors_of_collate_fn_and_of_get_batch(way):
    class Broken(TensorDataset):
        def get_batch(self, indices):
            raise RuntimeError("no batch")

    def collate(samples):
        raise RuntimeError("no batch")

    for loader in (DataLoader(Broken(np.arange(4)), **way), DataLoader(Numbers(4), collate_fn=collate, **way)):
        with pytest.raises(RuntimeError, match="no batch") as caught:
            list(loader)
        if sys.version_info >= (3, 11):
            assert caught.value.__notes__ == ["DataLoader: raised while batch 0 was fetched, indices [0]"]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_stop_iteration_of_a_sample_does_not_end_the_epoch_in_silence(way):
    def see(index):
        next(iter([]))

    with pytest.raises(RuntimeError, match="StopIteration"):
        list(DataLoader(Numbers(3, see), **way))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_errors_of_a_sampler(way):
    def order():
        yield 1
        raise OSError("no order")

    batches = iter(DataLoader(Numbers(3), sampler=order(), **way))
    with pytest.raises(OSError, match="no order"):
        list(batches)
    assert loader_threads() == []


def test_errors_of_the_dataset_may_be_timeouts_of_their_own():
    def see(index):
        raise TimeoutError("of the network")

    for way in WAYS:
        with pytest.raises(TimeoutError, match="of the network"):
            list(DataLoader(Numbers(1, see), timeout=60 if way.get("num_workers") else 0, **way))


@pytest.mark.parametrize("kept", [False, True])
def test_a_batch_that_takes_too_long(kept):
    released = threading.Event()

    def see(index):
        if index == 1:
            released.wait(300)

    loader = DataLoader(Numbers(3, see), num_workers=1, timeout=0.2, persistent_workers=kept)
    batches = iter(loader)
    assert next(batches).item() == 0
    with pytest.raises(LoaderTimeoutError, match=r"DataLoader timed out after 0.2 seconds.*raise timeout="):
        next(batches)
    assert issubclass(LoaderTimeoutError, RuntimeError)
    assert issubclass(LoaderTimeoutError, TimeoutError)
    released.set()
    loader.timeout = 0
    assert [batch.item() for batch in loader] == [0, 1, 2], "new workers"
    del loader, batches
    gc.collect()
    for _ in range(1000):
        if not loader_threads():
            break
        time.sleep(0.01)
    assert loader_threads() == []


def test_a_worker_that_hangs_does_not_keep_the_program(run_python):
    done = run_python(
        """
        import threading
        from convcore.data import DataLoader, Dataset

        class Hangs(Dataset):
            def __len__(self):
                return 2
            def __getitem__(self, index):
                threading.Event().wait()

        try:
            next(iter(DataLoader(Hangs(), num_workers=2, timeout=0.1)))
        except RuntimeError as error:
            print(error)
        """
    )
    assert done.stdout.startswith("DataLoader timed out after 0.1 seconds")


def test_a_program_may_end_in_the_middle_of_an_epoch(run_python):
    done = run_python(
        """
        import convcore
        from convcore.data import DataLoader, TensorDataset

        data = TensorDataset(convcore.rand(100, 8, 8))
        kept = DataLoader(data, 4, num_workers=2, persistent_workers=True)
        first, second = iter(kept), iter(DataLoader(data, 4, num_workers=2))
        print(len(next(first)[0]), len(next(second)[0]))
        """
    )
    assert done.stdout.split() == ["4", "4"]
    assert done.stderr == ""


def test_breaks_end_the_threads():
    for way in WAYS:
        for _ in DataLoader(Numbers(100), **way):
            break
        assert loader_threads() == []


def test_a_break_drops_what_was_still_to_be_fetched():
    seen = []

    def see(index):
        seen.append(index)
        time.sleep(0.02 if index else 0)

    for _ in DataLoader(Numbers(200, see), num_workers=2, prefetch_factor=50):
        break
    assert len(seen) < 50


def test_a_worker_that_waits_keeps_no_batch_alive():
    class Box:
        pass

    class Boxes(Numbers):
        def __getitem__(self, index):
            return Box()

    loader = DataLoader(Boxes(4), num_workers=2, persistent_workers=True, collate_fn=lambda samples: samples[0])
    alive = [weakref.ref(box) for box in loader]
    for _ in range(100):
        gc.collect()
        if not any(box() for box in alive):
            break
        time.sleep(0.01)
    assert not any(box() for box in alive)
    assert len(loader_threads()) == 2


def test_prefetch_factor_is_per_worker():
    seen = []
    batches = iter(DataLoader(Numbers(100, seen.append), num_workers=2, prefetch_factor=3))
    next(batches)
    for _ in range(1000):
        if len(seen) == 7:
            break
        time.sleep(0.01)
    time.sleep(0.05)
    assert sorted(seen) == list(range(7))
    del batches


class Range(IterableDataset):
    """The worked example of torch's documentation: each worker takes its part of a range."""

    def __init__(self, start, end):
        self.start, self.end = start, end

    def __iter__(self):
        return iter(range(self.start, self.end))


def take_part(number):
    info = get_worker_info()
    assert info is not None
    dataset = info.dataset
    share = -(-(dataset.end - dataset.start) // info.num_workers)
    dataset.start, dataset.end = dataset.start + number * share, min(dataset.start + (number + 1) * share, dataset.end)


@pytest.mark.parametrize(
    ("workers", "expected"), [(0, [3, 4, 5, 6]), (1, [3, 4, 5, 6]), (2, [3, 5, 4, 6]), (12, [3, 4, 5, 6])]
)
def test_worker_init_fn_gives_each_worker_its_part_of_a_stream(workers, expected):
    dataset = Range(3, 7)
    loader = DataLoader(dataset, num_workers=workers, worker_init_fn=take_part)
    for _ in range(2):
        assert [batch.item() for batch in loader] == expected
    assert (dataset.start, dataset.end) == (3, 7)

"""DataLoader: order, sizes, and a thread that always ends."""

import threading
import time
import traceback

import numpy as np
import pytest

from convcore import random
from convcore.data import DataLoader, Dataset, TensorDataset
from convcore.errors import DTypeError, ShapeError, UnsupportedError

NUMBERS = TensorDataset(np.arange(10))


def epoch_of(loader):
    return [batch[0].array.tolist() for batch in loader]


def flat(lists):
    return [element for part in lists for element in part]


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("convcore-data-loader")]


@pytest.mark.parametrize("prefetch", [0, 1, 2, 50])
def test_batches_in_order(prefetch):
    loader = DataLoader(NUMBERS, batch_size=4, prefetch=prefetch)
    assert epoch_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3
    loader = DataLoader(NUMBERS, batch_size=4, drop_last=True, prefetch=prefetch)
    assert epoch_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(loader) == 2
    assert loader_threads() == []


@pytest.mark.parametrize(("n", "drop_last", "batches"), [(0, False, 0), (8, False, 2), (8, True, 2), (3, True, 0)])
def test_numbers_of_batches(n, drop_last, batches):
    loader = DataLoader(TensorDataset(np.arange(n)), batch_size=4, drop_last=drop_last)
    assert len(loader) == len(list(loader)) == batches


def test_seed_and_epoch_fix_the_order():
    loader = DataLoader(NUMBERS, batch_size=3, shuffle=True, seed=7)
    epochs = [epoch_of(loader) for _ in range(3)]
    again = DataLoader(NUMBERS, 3, True, seed=7, prefetch=0)
    for epoch in epochs:
        assert sorted(flat(epoch)) == list(range(10))
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs == [epoch_of(again) for _ in range(3)]
    assert epochs[0] != epoch_of(DataLoader(NUMBERS, 3, shuffle=True, seed=8))


def test_state_resumes_at_the_next_epoch():
    loader = DataLoader(NUMBERS, batch_size=3, shuffle=True, seed=7)
    epoch_of(loader)
    state = loader.state_dict()
    expected = epoch_of(loader)
    resumed = DataLoader(NUMBERS, batch_size=3, shuffle=True)
    resumed.load_state_dict(state)
    assert epoch_of(resumed) == expected


def test_the_seed_is_drawn_from_a_generator():
    def orders(generator=None):
        return [tuple(DataLoader(NUMBERS, shuffle=True, generator=generator).order(0)) for _ in range(5)]

    random.manual_seed(5)
    expected = orders()
    assert len(set(expected)) == 5
    assert orders(random.Generator(5)) == expected
    random.manual_seed(5)
    assert orders() == expected
    with pytest.raises(UnsupportedError, match="seed and generator exclude each other"):
        DataLoader(NUMBERS, seed=1, generator=random.Generator(1))


def test_batches_are_copies_of_the_data():
    array = np.arange(4.0)
    for (batch,) in DataLoader(TensorDataset(array), batch_size=2):
        batch.array[:] = -1
    np.testing.assert_array_equal(array, [0, 1, 2, 3])


class Counted(Dataset):
    """Notes which samples were fetched; fails at one of them."""

    def __init__(self, n, fails_at=None):
        self.n, self.fails_at, self.fetched = n, fails_at, []

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if index == self.fails_at:
            raise RuntimeError(f"sample {index} is broken")
        self.fetched.append(index)
        return np.float32(index)


def test_collate_fn_gets_the_samples():
    loader = DataLoader(Counted(5), batch_size=2, collate_fn=sorted)
    assert list(loader) == [[0, 1], [2, 3], [4]]


def test_prefetch_runs_ahead_but_not_away():
    dataset = Counted(100)
    batches = iter(DataLoader(dataset, batch_size=1, prefetch=3))
    next(batches)
    deadline = time.monotonic() + 300
    while len(dataset.fetched) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert dataset.fetched == [0, 1, 2, 3]
    del batches


class Slow(Dataset):
    """Early samples take longer than late ones, and two fetches meet."""

    def __init__(self):
        self.meeting = threading.Barrier(2, timeout=300)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        self.meeting.wait()
        time.sleep(0.02 if index % 2 == 0 else 0.0)
        return np.float32(index)


def test_workers_fetch_side_by_side_and_batches_stay_in_order():
    assert [batch.tolist() for batch in DataLoader(Slow(), num_workers=2)] == [[i] for i in range(8)]
    assert loader_threads() == []


class Drawing(Dataset):
    """Samples that are drawn as random transforms draw."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        generator = random.current_generator()
        assert generator is not None
        return generator.random()


def test_what_is_drawn_is_fixed_by_seed_epoch_and_batch():
    def epochs(**options):
        loader = DataLoader(Drawing(), batch_size=2, seed=5, **options)
        return [batch.tolist() for _ in range(2) for batch in loader]

    expected = epochs(prefetch=0)
    assert len({number for batch in expected for number in batch}) == 12
    assert epochs() == epochs(num_workers=3) == epochs(prefetch=9) == expected
    assert random.current_generator() is None
    loader = DataLoader(Drawing(), batch_size=2)
    loader.load_state_dict({"seed": 5, "epoch": 1})
    assert [batch.tolist() for batch in loader] == expected[3:]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_exception_of_a_sample_reaches_the_loop(prefetch):
    batches = iter(DataLoader(Counted(10, fails_at=5), batch_size=2, prefetch=prefetch))
    assert [next(batches).array.tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(RuntimeError, match="sample 5 is broken") as caught:
        next(batches)
    assert "in __getitem__" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert loader_threads() == []


def test_thread_ends_after_break_and_after_an_exception_in_the_loop():
    def stop_by_break():
        for _ in DataLoader(Counted(1000), batch_size=2):
            break

    def stop_by_interrupt():
        for _ in DataLoader(Counted(1000), batch_size=2):
            raise KeyboardInterrupt

    stop_by_break()
    assert loader_threads() == []
    with pytest.raises(KeyboardInterrupt) as caught:
        stop_by_interrupt()
    del caught  # the traceback holds the loop's frame, and so its iterator
    assert loader_threads() == []


def test_two_loops_over_one_loader_are_two_epochs():
    loader = DataLoader(NUMBERS, batch_size=5, shuffle=True, seed=1)
    pairs = [(a[0].array.tolist(), b[0].array.tolist()) for a, b in zip(loader, loader, strict=True)]
    assert flat(a for a, _ in pairs) == loader.order(0).tolist()
    assert flat(b for _, b in pairs) == loader.order(1).tolist()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ShapeError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.0}, DTypeError, "batch_size must be an integer"),
        ({"prefetch": -1}, ShapeError, "prefetch must be at least 0"),
        ({"seed": -1}, ShapeError, "seed must be at least 0"),
        ({"num_workers": -1}, ShapeError, "num_workers must be at least 0, got -1"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        DataLoader(NUMBERS, **options)

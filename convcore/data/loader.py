"""DataLoader: the batches of a dataset, in an order fixed by a seed, optionally prefetched in threads."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np

from convcore import random
from convcore.data.collate import default_collate, default_convert
from convcore.data.dataset import IterableDataset
from convcore.data.fetch import END, Fetcher, StreamFetcher, note
from convcore.data.sampler import BatchSampler, RandomSampler, SequentialSampler, batch_count
from convcore.data.worker import Worker, WorkerInfo, own_copy, stop_all
from convcore.errors import LoaderTimeoutError, ShapeError, UnsupportedError
from convcore.ops.core.arguments import integer

T_co = TypeVar("T_co", covariant=True)
_FIXED = ("batch_size", "batch_sampler", "dataset", "drop_last", "sampler")


class DataLoader(Generic[T_co]):
    """Iterate over `dataset` in batches.

    The arguments and their order are torch's. Workers are threads, which suit images: Pillow reads and resizes them
    without Python's global lock.

    Random values drawn with convcore (tensors, dropout, samplers, random transforms) by the dataset, `collate_fn` or a
    sampler come from a generator seeded by the epoch's seed and the number of the batch. So they are the same for any
    number of workers, for any `prefetch`, and for any draws in the loop.

    Other generators are shared by all threads: NumPy's and Python's global ones, and generators passed to an operation
    or a transform. Without workers, the default, the thread of the loop draws from them, batch by batch, and
    `numpy.random.seed` makes the samples reproducible as usual. Workers would draw from them in no fixed order: with
    workers, a dataset should draw with convcore, or from a new `numpy.random.default_rng` for each sample.

    Without `seed`, each epoch draws its seed from `generator` when `iter(loader)` is called. With `seed`, the order of
    every epoch is a function of (`seed`, `epoch`) alone: a run that is stopped after epoch 3 and resumed with
    `load_state_dict` sees the same batches as one that never stopped.

    Args:
        dataset: anything with `__len__` and `__getitem__`, or an `IterableDataset`. `get_batch` or `__getitems__` are
            used instead of `__getitem__` if they exist.
        batch_size: samples per batch. None gives single samples, or the dataset's result for each item of a sampler.
        shuffle: use a new random order of the samples in each epoch.
        sampler: yields the indices, in place of `shuffle`: a `Sampler`, or any iterable.
        batch_sampler: yields lists of indices, in place of `batch_size`, `shuffle`, `sampler` and `drop_last`.
        num_workers: the number of threads that prepare batches. 0 prepares each batch on demand, in the loop's thread.
        collate_fn: makes a batch of a list of samples; by default `get_batch` or else `default_collate`. With
            `batch_size=None` it converts single samples; by default `default_convert`.
        pin_memory: without effect, accepted for compatibility with torch: data stays in this process, on the CPU.
        drop_last: drop the last batch if it is smaller than the others; for a stream, the last one of each worker.
        timeout: seconds to wait for a batch of a worker; 0 waits without a limit.
        worker_init_fn: called with each worker's number, in its thread, one after another, before the first batch.
            There, `get_worker_info().dataset` is the worker's own copy of the dataset.
        multiprocessing_context: without effect, accepted for compatibility with torch: workers are threads.
        generator: the source of the epochs' seeds; by default the generator that `convcore.manual_seed` seeds.
        prefetch_factor: the number of batches that each worker prepares ahead; by default 2.
        persistent_workers: keep the workers, and their copies of the dataset, from epoch to epoch.
        pin_memory_device: without effect, as `pin_memory`.
        in_order: without effect: batches always come in order.
        seed: fixes the random orders of all epochs, and the random values drawn while batches are fetched.
        prefetch: the total number of batches prepared ahead, in place of `prefetch_factor`; at least one per worker.
            Without workers, a positive number is prepared by one thread.

    Attributes:
        epoch: the number of the next epoch, incremented by each `iter(loader)`; may be set.

    Raises:
        ShapeError: (a ValueError) arguments exclude each other, or a number is out of range.
        LoaderTimeoutError: while iterating; a batch took longer than `timeout`.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: random.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        seed: int | None = None,
        prefetch: int | None = None,
    ):
        random.numpy_generator("DataLoader", generator)
        if seed is not None and generator is not None:
            raise UnsupportedError("DataLoader: seed and generator exclude each other; the generator only draws seeds")
        self.seed = None if seed is None else integer("DataLoader", "seed", seed, 0)
        self.generator = generator
        self.epoch = 0

        self.num_workers = integer("DataLoader", "num_workers", num_workers, 0)
        self.prefetch_factor = prefetch_factor
        self.prefetch = _batches_ahead(self.num_workers, prefetch_factor, prefetch)
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.persistent_workers = bool(persistent_workers)
        _check_workers(self.num_workers, timeout, persistent_workers, multiprocessing_context)
        self._workers: list[Worker] = []

        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.multiprocessing_context, self.in_order = multiprocessing_context, in_order

        self.dataset = dataset
        self._is_stream = isinstance(dataset, IterableDataset)
        self.shuffle = bool(shuffle)
        _check_order(self._is_stream, batch_size, self.shuffle, sampler, batch_sampler, drop_last)
        self.batch_size = None
        if batch_sampler is None and batch_size is not None:
            self.batch_size = integer("DataLoader", "batch_size", batch_size, 1)
        self.drop_last = bool(drop_last)
        if sampler is None and not self._is_stream:
            sampler = RandomSampler(dataset) if self.shuffle else SequentialSampler(dataset)
        self.sampler = sampler
        if sampler is not None and self.batch_size is not None:
            batch_sampler = BatchSampler(sampler, self.batch_size, self.drop_last)
        self.batch_sampler = batch_sampler
        is_batched = batch_sampler is not None or self.batch_size is not None
        self.collate_fn = collate_fn or (default_collate if is_batched else default_convert)
        self._is_ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "_is_ready" in self.__dict__:
            raise ShapeError(f"DataLoader: {name} cannot be changed afterwards; make a new DataLoader")
        super().__setattr__(name, value)

    def __len__(self) -> int:
        """The number of batches of an epoch; for a stream with a length, those of one worker."""
        if self._is_stream:
            samples = len(self.dataset)
            return samples if self.batch_size is None else batch_count(samples, self.batch_size, self.drop_last)
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        return len(order)

    def __iter__(self) -> Iterator[T_co]:
        # A drawn seed is used for one epoch only, so seeding the generator again repeats that epoch.
        key = (self._drawn_seed(), 0) if self.seed is None else (self.seed, self.epoch)
        self.epoch += 1
        if self.prefetch:
            return self._prefetched(key)
        return self._on_demand(key)

    def order(self, epoch: int) -> np.ndarray:
        """The indices of the samples in the order of this epoch. Draws the seed of all epochs if there is none yet."""
        if self._is_stream or (self.batch_size is None and self.batch_sampler is not None):
            raise UnsupportedError("DataLoader: a stream or a batch_sampler has no order of single samples")
        sampler: Any = self.sampler
        return np.fromiter(_drawn(sampler, (self._fixed_seed(), epoch)), np.int64)

    def state_dict(self) -> dict[str, int]:
        """The state that determines all epochs to come. Draws the seed of all epochs if there is none yet."""
        return {"seed": self._fixed_seed(), "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue with the epoch after those of `state_dict()`."""
        self.seed, self.epoch = state["seed"], state["epoch"]

    def _drawn_seed(self) -> int:
        return int(random.numpy_generator("DataLoader", self.generator).integers(2**63))

    def _fixed_seed(self) -> int:
        if self.seed is None:
            self.seed = self._drawn_seed()
        return self.seed

    def _stream(self, dataset: Any, key: tuple[int, int], worker: int = 0) -> StreamFetcher:
        return StreamFetcher(dataset, self.collate_fn, self.batch_size, self.drop_last, key, worker)

    def _fetcher(self, dataset: Any, key: tuple[int, int]) -> Fetcher:
        return Fetcher(dataset, self.collate_fn, self.batch_sampler is not None, key)

    def _numbered(self, key: tuple[int, int]) -> Iterator[tuple[int, Any]]:
        """The number and the indices of each batch. Samplers run in the thread of the loop."""
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        return enumerate(_drawn(order, key))

    def _on_demand(self, key: tuple[int, int]) -> Iterator[Any]:
        """Fetch each batch on demand, in the calling thread."""
        if self._is_stream:
            stream = self._stream(self.dataset, key)
            while (batch := stream.fetch()) is not END:
                yield batch
        else:
            fetcher = self._fetcher(self.dataset, key)
            for number, indices in self._numbered(key):
                yield fetcher.fetch(number, indices)

    def _prefetched(self, key: tuple[int, int]) -> Iterator[Any]:
        """Fetch at most `prefetch` batches ahead in threads, and yield them in order.

        An exception of a fetch is raised here, with its traceback. However the loop over the batches ends (exhausted,
        `break`, an exception, Ctrl-C), closing the generator runs the `finally` and ends the threads; only after a
        timeout it does not wait for them.
        """
        workers = self._started(key)
        ended: set[Worker] = set()
        ahead: deque[tuple[Worker, Future]] = deque()
        tasks = self._stream_tasks(workers, ended, key) if self._is_stream else self._tasks(workers, key)
        is_late = False
        try:
            has_more = True
            while has_more or ahead:
                given = next(tasks, None)
                has_more = given is not None
                if given is not None:
                    worker, task = given
                    ahead.append((worker, worker.submit(task)))
                if ahead and (not has_more or len(ahead) > self.prefetch):
                    worker, future = ahead.popleft()
                    is_late = bool(wait([future], self.timeout or None).not_done)
                    if is_late:
                        raise LoaderTimeoutError(
                            f"DataLoader timed out after {self.timeout} seconds: a worker had not fetched its batch by "
                            "then; raise timeout=, or see what the dataset waits for"
                        )
                    batch = future.result()
                    if batch is END:
                        ended.add(worker)
                    else:
                        yield batch
        finally:
            for _, future in ahead:
                future.cancel()
            if is_late or not self.persistent_workers:
                self._workers.clear()
                stop_all(workers, wait=not is_late)

    def _tasks(self, workers: list[Worker], key: tuple[int, int]) -> Iterator[tuple[Worker, Callable[[], Any]]]:
        """The tasks of the workers: batches go to the workers in turn."""
        fetchers = [self._fetcher(self._dataset_of(worker), key) for worker in workers]
        for number, indices in self._numbered(key):
            turn = number % len(workers)
            yield workers[turn], partial(fetchers[turn].fetch, number, indices)

    def _stream_tasks(
        self, workers: list[Worker], ended: set[Worker], key: tuple[int, int]
    ) -> Iterator[tuple[Worker, Callable[[], Any]]]:
        """The tasks of the workers: each fetches from its own stream, in turn, until the stream ends."""
        streams = [self._stream(self._dataset_of(worker), key, number) for number, worker in enumerate(workers)]
        while len(ended) < len(workers):
            for worker, stream in zip(workers, streams, strict=True):
                if worker not in ended:
                    yield worker, stream.fetch

    def _dataset_of(self, worker: Worker) -> Any:
        return self.dataset if worker.info is None else worker.info.dataset

    def _started(self, key: tuple[int, int]) -> list[Worker]:
        """The workers of this epoch, new or persistent; without `num_workers`, one thread that prefetches."""
        if self._workers:
            return list(self._workers)
        count = self.num_workers
        base = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))
        infos = [WorkerInfo(i, count, base + i, own_copy(self.dataset)) for i in range(count)]
        workers = [Worker(number, info) for number, info in enumerate(infos or [None])]
        try:
            for info, worker in zip(infos, workers, strict=False):
                worker.submit(partial(self._initialize, info, key)).result()
        except BaseException:
            stop_all(workers)
            raise
        if self.persistent_workers:
            self._workers = workers
            weakref.finalize(self, stop_all, list(workers))
        return list(workers)

    def _initialize(self, info: WorkerInfo, key: tuple[int, int]) -> None:
        if self.worker_init_fn is None:
            return
        try:
            # 0 in place of the number of a batch, which starts at 1.
            with random.drawing_from(np.random.default_rng([*key, 0, info.id + 1])):
                self.worker_init_fn(info.id)
        except Exception as error:
            note(error, f"DataLoader: raised by worker_init_fn of worker {info.id}")
            raise


def _drawn(order: Iterable[Any], key: tuple[int, int]) -> Iterator[Any]:
    """The items of a sampler, which draws from the epoch's generator."""
    rng = random.Generator.around(np.random.default_rng(key))
    with random.drawing_from(rng):
        indices = iter(order)
    while True:
        with random.drawing_from(rng):
            try:
                index = next(indices)
            except StopIteration:
                return
        yield index


def _batches_ahead(num_workers: int, factor: int | None, prefetch: int | None) -> int:
    if factor is not None:
        if prefetch is not None:
            raise ShapeError("DataLoader: prefetch and prefetch_factor exclude each other; both say how many ahead")
        if num_workers == 0:
            raise ShapeError(
                f"DataLoader: prefetch_factor needs num_workers > 0, got prefetch_factor={factor}; prefetch= prepares "
                "ahead without workers"
            )
        return num_workers * max(integer("DataLoader", "prefetch_factor", factor, 0), 1)
    if prefetch is None:
        return 2 * num_workers
    return max(integer("DataLoader", "prefetch", prefetch, 0), num_workers)


def _check_workers(num_workers: int, timeout: float, persistent_workers: bool, context: Any) -> None:
    if not timeout >= 0:
        raise ShapeError(f"DataLoader: timeout must be at least 0 seconds, got {timeout}")
    if num_workers == 0:
        for name, value in (
            ("timeout", timeout), ("persistent_workers", persistent_workers), ("multiprocessing_context", context),
        ):  # fmt: skip
            if value:
                raise ShapeError(f"DataLoader: {name} needs num_workers > 0, got {name}={value!r} and num_workers=0")


def _check_order(
    is_stream: bool, batch_size: int | None, shuffle: bool, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    """Refuse arguments that exclude each other."""
    if is_stream:
        for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
            if value is not None:
                raise ShapeError(f"DataLoader: an IterableDataset has an order of its own, so {name} cannot be given")
    if sampler is not None and shuffle:
        raise ShapeError("DataLoader: sampler and shuffle exclude each other; the sampler gives the order")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ShapeError(
                "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last; it gives whole batches"
            )
    elif batch_size is None and drop_last:
        raise ShapeError("DataLoader: batch_size=None gives single samples, which drop_last cannot leave out")

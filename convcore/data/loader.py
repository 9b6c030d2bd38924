"""DataLoader: the batches of a dataset, in an order that a seed fixes, prepared ahead in threads."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from convcore import random
from convcore.data.collate import default_collate
from convcore.data.dataset import Dataset
from convcore.errors import UnsupportedError
from convcore.ops.arguments import integer


class DataLoader:
    """Iterate over `dataset` in batches.

    The order of every epoch is a function of (`seed`, `epoch`) alone: a run that is stopped after epoch 3 and resumed
    with `load_state_dict` sees the same batches as one that never stopped. Random transforms without a generator of
    their own draw from one that (`seed`, `epoch`, number of the batch) fix, so the batches do not depend on threads.

    Args:
        dataset: anything with `__len__` and `__getitem__`; its `get_batch`, where it has one, is used instead.
        batch_size: samples per batch.
        shuffle: whether each epoch goes through the samples in a new random order.
        collate_fn: makes a batch of a list of samples; by default `get_batch` or else `default_collate`.
        drop_last: leave out the last batch if it is smaller than the others.
        seed: fixes the random orders; by default it is drawn from `generator`.
        generator: by default the one that `convcore.random.manual_seed` seeds.
        prefetch: how many batches are prepared ahead of the one in use; 0 prepares each when it is asked for.
        num_workers: threads that prepare batches, each at least one ahead. Threads suit pictures, which Pillow reads
            and resizes outside of Python's lock. 0 is one thread, and none if `prefetch` is 0.

    Attributes:
        epoch: the number of the next epoch, counted up by each `iter(loader)`; may be set.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        seed: int | None = None,
        generator: random.Generator | None = None,
        prefetch: int = 2,
        num_workers: int = 0,
    ):
        self.dataset = dataset
        self.batch_size = integer("DataLoader", "batch_size", batch_size, 1)
        self.shuffle = bool(shuffle)
        self.collate_fn = collate_fn
        self.drop_last = bool(drop_last)
        if seed is None:
            seed = int(random.numpy_generator("DataLoader", generator).integers(2**63))
        elif generator is not None:
            raise UnsupportedError("DataLoader: seed and generator exclude each other; the generator only draws a seed")
        self.seed = integer("DataLoader", "seed", seed, 0)
        self.num_workers = integer("DataLoader", "num_workers", num_workers, 0)
        self.prefetch = max(integer("DataLoader", "prefetch", prefetch, 0), self.num_workers)
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches of an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[Any]:
        epoch, order = self.epoch, self.order(self.epoch)
        self.epoch += 1
        batches = [
            (epoch, number, order[number * self.batch_size : (number + 1) * self.batch_size])
            for number in range(len(self))
        ]
        return self._prefetched(batches) if self.prefetch else itertools.starmap(self._fetch, batches)

    def order(self, epoch: int) -> np.ndarray:
        """The indices of the samples in the order of this epoch."""
        n = len(self.dataset)
        return np.random.default_rng([self.seed, epoch]).permutation(n) if self.shuffle else np.arange(n)

    def state_dict(self) -> dict[str, int]:
        """What fixes all epochs to come."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on with the epoch that follows those of `state_dict()`."""
        self.seed, self.epoch = state["seed"], state["epoch"]

    def _fetch(self, epoch: int, number: int, indices: np.ndarray) -> Any:
        # `number + 1`: the order of the epoch has the seed (seed, epoch), which is the same as (seed, epoch, 0).
        with random.drawing_from(np.random.default_rng([self.seed, epoch, number + 1])):
            get_batch = getattr(self.dataset, "get_batch", None)
            if self.collate_fn is None and get_batch is not None:
                return get_batch(indices)
            collate = self.collate_fn or default_collate
            return collate([self.dataset[int(i)] for i in indices])

    def _prefetched(self, batches: list[tuple[int, int, np.ndarray]]) -> Iterator[Any]:
        """Threads fetch, at most `prefetch` batches ahead; they come in order.

        `result()` raises here what a fetch raised there, with its traceback. However the loop over the batches ends
        (exhausted, `break`, an exception, Ctrl-C), closing the generator runs the `finally` and the threads end.
        """
        threads = ThreadPoolExecutor(max(self.num_workers, 1), thread_name_prefix="convcore-data-loader")
        ahead: deque[Future] = deque()
        try:
            for batch in batches:
                ahead.append(threads.submit(self._fetch, *batch))
                if len(ahead) > self.prefetch:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)

"""DataLoader: the batches of a dataset, in an order that a seed fixes, prepared ahead in a thread."""

from __future__ import annotations

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
    with `load_state_dict` sees the same batches as one that never stopped.

    Args:
        dataset: anything with `__len__` and `__getitem__`; its `get_batch`, where it has one, is used instead.
        batch_size: samples per batch.
        shuffle: whether each epoch goes through the samples in a new random order.
        collate_fn: makes a batch of a list of samples; by default `get_batch` or else `default_collate`.
        drop_last: leave out the last batch if it is smaller than the others.
        seed: fixes the random orders; by default it is drawn from `generator`.
        generator: by default the one that `convcore.random.manual_seed` seeds.
        prefetch: how many batches a thread prepares ahead of the one in use; 0 prepares each when it is asked for.
        num_workers: only 0: batches come from one thread of this process, see `prefetch`.

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
        if num_workers != 0:
            raise UnsupportedError(
                f"DataLoader: num_workers must be 0, got {num_workers}: batches are prepared by one thread of this "
                "process; leave num_workers out, and set prefetch to the number of batches to prepare ahead"
            )
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
        self.prefetch = integer("DataLoader", "prefetch", prefetch, 0)
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches of an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[Any]:
        order = self.order(self.epoch)
        self.epoch += 1
        batches = [order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(len(self))]
        return self._prefetched(batches) if self.prefetch else map(self._fetch, batches)

    def order(self, epoch: int) -> np.ndarray:
        """The indices of the samples in the order of this epoch."""
        n = len(self.dataset)
        return np.random.default_rng([self.seed, epoch]).permutation(n) if self.shuffle else np.arange(n)

    def state_dict(self) -> dict[str, int]:
        """What fixes all epochs to come."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.seed, self.epoch = state["seed"], state["epoch"]

    def _fetch(self, indices: np.ndarray) -> Any:
        get_batch = getattr(self.dataset, "get_batch", None)
        if self.collate_fn is None and get_batch is not None:
            return get_batch(indices)
        collate = self.collate_fn or default_collate
        return collate([self.dataset[int(i)] for i in indices])

    def _prefetched(self, batches: list[np.ndarray]) -> Iterator[Any]:
        """One thread fetches, in order, at most `prefetch` batches ahead.

        `result()` raises here what a fetch raised there, with its traceback. However the loop over the batches ends
        (exhausted, `break`, an exception, Ctrl-C), closing the generator runs the `finally` and the thread ends.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="convcore-data-loader")
        ahead: deque[Future] = deque()
        try:
            for indices in batches:
                ahead.append(thread.submit(self._fetch, indices))
                if len(ahead) > self.prefetch:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            thread.shutdown(wait=True, cancel_futures=True)

"""Fetching the batches of a DataLoader, in the thread of the loop or of a worker."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from convcore import random
from convcore.data.collate import default_collate
from convcore.data.dataset import batch_method

END = object()
"""The result of a stream after the last batch."""


class Fetcher:
    """The batches of one epoch.

    Args:
        dataset: the source of the samples.
        collate: makes a batch of a list of samples or, if `is_batched` is False, converts one sample.
        is_batched: whether samples are collated into batches.
        key: the seed that, with the number of the batch, determines the random values drawn while it is fetched.
    """

    def __init__(self, dataset: Any, collate: Callable[[Any], Any], is_batched: bool, key: Sequence[int]):
        self.dataset = dataset
        self.collate = collate
        self.is_batched = is_batched
        self.key = key

    def fetch(self, number: int, indices: Any) -> Any:
        """Batch `number`: the samples at these indices, or one sample."""
        try:
            # `number + 1`, because the order of the epoch has the seed `key`, which is the same as (*key, 0).
            with random.drawing_from(np.random.default_rng([*self.key, number + 1])):
                if not self.is_batched:
                    return self.collate(self._sample(indices))
                get_batch = batch_method(self.dataset) if self.collate is default_collate else None
                if get_batch is not None:
                    return get_batch(np.array([operator.index(i) for i in indices], np.int64))
                get_items = getattr(self.dataset, "__getitems__", None)
                samples = get_items(indices) if get_items else [self._sample(index) for index in indices]
                return self.collate(samples)
        except Exception as error:
            note(error, f"DataLoader: raised while batch {number} was fetched, indices {_shortened(indices)}")
            raise

    def _sample(self, index: Any) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            note(error, f"DataLoader: raised by the dataset's sample {index}")
            raise


class StreamFetcher:
    """The batches of one epoch of an `IterableDataset`; see `Fetcher`.

    Args:
        batch_size: samples in a batch; None gives single samples.
        drop_last: drop a last, smaller batch.
        worker: the number of the worker; 0 without workers.
    """

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[Any], Any],
        batch_size: int | None,
        drop_last: bool,
        key: Sequence[int],
        worker: int = 0,
    ):
        self.dataset = dataset
        self.collate = collate
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.key = key
        self.worker = worker
        self._number = 0
        self._has_ended = False
        self._samples: Iterator[Any] | None = None

    def fetch(self) -> Any:
        """The next batch, or END."""
        if self._has_ended:
            return END
        number = self._number
        self._number += 1
        try:
            with random.drawing_from(np.random.default_rng(self._seed(number))):
                if self._samples is None:
                    self._samples = iter(self.dataset)
                samples = self._take(self._samples, self.batch_size or 1)
                if len(samples) < (self.batch_size if self.drop_last and self.batch_size else 1):
                    self._has_ended = True
                    return END
                return self.collate(samples[0] if self.batch_size is None else samples)
        except Exception as error:
            note(error, f"DataLoader: raised while batch {number} of worker {self.worker} was fetched from the stream")
            raise

    def _seed(self, number: int) -> list[int]:
        """The seed of a batch; for the first worker the same as without workers."""
        return [*self.key, number + 1, *([self.worker] if self.worker else [])]

    def _take(self, stream: Iterator[Any], count: int) -> list[Any]:
        samples: list[Any] = []
        for sample in stream:
            samples.append(sample)
            if len(samples) == count:
                break
        return samples


def note(error: BaseException, text: str) -> None:
    """Add `text` to the end of a traceback, from Python 3.11 on."""
    add_note = getattr(error, "add_note", None)
    if add_note is not None:
        add_note(text)


def _shortened(indices: Any) -> str:
    text = str(indices)
    return text if len(text) <= 80 else f"{text[:76]} .."

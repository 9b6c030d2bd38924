"""Samplers: the order of the samples of a dataset, and their grouping into batches.

A random sampler without a generator draws from the generator of the epoch inside a `DataLoader`, and elsewhere from
`convcore.random.default_generator`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from convcore.autograd import Variable
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import integer
from convcore.ops.create.creation import tensor
from convcore.ops.create.sampling import multinomial
from convcore.random import Generator, numpy_generator

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base of all samplers: subclasses define `__iter__`, over indices or lists of them, and may define `__len__`."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")


class SequentialSampler(Sampler[int]):
    """The indices of `data_source` in order, from 0."""

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """The indices of `data_source` in a new random order in every epoch.

    Args:
        data_source: any object with a length.
        replacement: draw with replacement, so that some indices come several times and others never.
        num_samples: the number of draws; by default the length of `data_source`. Without replacement, all indices come
            once before one is repeated.
        generator: the random generator.

    Raises:
        ShapeError: `data_source` is empty, or `num_samples` is below 1.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ):
        _check_bool("RandomSampler", "replacement", replacement)
        numpy_generator("RandomSampler", generator)
        self.data_source = data_source
        self.replacement = replacement
        self.generator = generator
        self._num_samples = None if num_samples is None else integer("RandomSampler", "num_samples", num_samples, 1)
        if len(data_source) == 0:
            raise ShapeError("RandomSampler: data_source is empty (num_samples=0), so there is nothing to draw from")

    @property
    def num_samples(self) -> int:
        """The number of indices of an epoch."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        count, n = self.num_samples, len(self.data_source)
        rng = numpy_generator("RandomSampler", self.generator)
        if self.replacement:
            yield from rng.integers(n, size=count).tolist()
            return
        for first in range(0, count, n):
            yield from rng.permutation(n)[: count - first].tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices, each once, in a new random order in every epoch.

    Args:
        indices: the indices to draw.
        generator: the random generator.
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        numpy_generator("SubsetRandomSampler", generator)
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for position in numpy_generator("SubsetRandomSampler", self.generator).permutation(len(self.indices)).tolist():
            yield self.indices[position]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Random indices from 0 to len(weights) - 1, with probabilities in proportion to the weights.

    Args:
        weights: one number of at least 0 for each sample; they need not add up to 1.
        num_samples: the number of draws in an epoch.
        replacement: whether an index may be drawn again.
        generator: the random generator.

    Raises:
        ShapeError: weights are not one axis of numbers, or num_samples is below 1.
    """

    def __init__(
        self,
        weights: Sequence[float] | np.ndarray | Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ):
        _check_bool("WeightedRandomSampler", "replacement", replacement)
        numpy_generator("WeightedRandomSampler", generator)
        values = np.array(weights.array if isinstance(weights, Variable) else weights, np.float64)
        if values.ndim != 1:
            raise ShapeError(f"WeightedRandomSampler: weights must have one axis, got the shape {values.shape}")
        self.weights = tensor(values)
        self.num_samples = integer("WeightedRandomSampler", "num_samples", num_samples, 1)
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        return iter(
            multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator).array.tolist()
        )

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler.

    Args:
        sampler: any iterable of indices.
        batch_size: the length of a list.
        drop_last: drop the last list if it is shorter than the others.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        _check_bool("BatchSampler", "drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = integer("BatchSampler", "batch_size", batch_size, 1)
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        sampler: Any = self.sampler
        return batch_count(len(sampler), self.batch_size, self.drop_last)


def batch_count(samples: int, batch_size: int, drop_last: bool) -> int:
    """The number of batches of a number of samples."""
    full, rest = divmod(samples, batch_size)
    return full + (1 if rest and not drop_last else 0)


def _check_bool(op: str, name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise DTypeError(f"{op}: {name} must be True or False, got {value!r}")

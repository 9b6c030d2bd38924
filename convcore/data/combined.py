"""Datasets made of others: subsets, transformed samples, and stacked samples."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convcore.data.dataset import Dataset, batch_method
from convcore.errors import ShapeError, UnsupportedError
from convcore.random import Generator, numpy_generator


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in this order."""

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray):
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
        if self.indices.size and not (-len(dataset) <= self.indices.min() and self.indices.max() < len(dataset)):
            raise ShapeError(
                f"Subset: indices must lie in [{-len(dataset)}, {len(dataset)}), the dataset's samples, "
                f"got {self.indices.min()} to {self.indices.max()}"
            )

    @property
    def get_batch(self) -> Any:
        """A method that fetches many samples at once, or None where `dataset` has none."""
        fetch = batch_method(self.dataset)
        return None if fetch is None else lambda indices: fetch(self.indices[indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[self.indices[index].tolist()]
        return self.dataset[int(self.indices[index])]


class Transformed(Dataset):
    """`dataset` with `transform` applied to the first element of every sample (the image).

    A batch is transformed as a whole, so `transform` must accept (N, C, H, W) as well as (C, H, W), as all of
    `convcore.transforms` do. Random transforms draw new parameters for every sample and epoch.
    """

    def __init__(self, dataset: Any, transform: Callable[[Any], Any]):
        self.dataset = dataset
        self.transform = transform

    @property
    def get_batch(self) -> Any:
        """A method that fetches many samples at once, or None where `dataset` has none."""
        fetch = batch_method(self.dataset)
        return None if fetch is None else lambda indices: list(self._changed(fetch(indices)))

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._changed(self.dataset[index])

    def _changed(self, sample: Any) -> tuple[Any, ...]:
        x, *rest = sample
        return (self.transform(x), *rest)


class StackDataset(Dataset):
    """Stacked datasets: sample i is the tuple, or the dictionary, of their i-th samples.

    Args:
        datasets: the datasets; samples are tuples.
        named: the datasets by key; samples are dictionaries. Either all datasets are named or none.

    Raises:
        ShapeError: the lengths differ, there is no dataset, or only some are named.
    """

    def __init__(self, *datasets: Any, **named: Any):
        if bool(datasets) == bool(named):
            raise ShapeError(
                "StackDataset: takes at least one dataset, all of them by position or all of them by name, got "
                f"{len(datasets)} by position and {len(named)} by name"
            )
        self.datasets: Any = datasets or named
        lengths = [len(dataset) for dataset in (datasets or named.values())]
        if len(set(lengths)) != 1:
            raise ShapeError(f"StackDataset: all datasets must have the same length, got {lengths}")
        self._length = lengths[0]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None, *, seed: int | None = None
) -> list[Subset]:
    """Split `dataset` at random into disjoint subsets.

    Args:
        dataset: a dataset with a length and numbered samples.
        lengths: the sizes of the subsets; or fractions that add up to 1: sizes are then rounded down, and the remaining
            samples go to the first subsets, one each.
        generator: the random generator; by default the one that `manual_seed` seeds.
        seed: fixes the order, in place of a generator.

    Raises:
        ShapeError: the lengths do not add up to the dataset's length, or one is negative.
    """
    count = len(dataset)
    sizes = _sizes(count, lengths)
    if sum(sizes) != count or min(sizes, default=0) < 0:
        raise ShapeError(
            f"random_split: lengths must be >= 0 and add up to the dataset's {count} samples, or be fractions that add "
            f"up to 1, got {list(lengths)} (sum {sum(lengths)})"
        )
    if seed is not None and generator is not None:
        raise UnsupportedError("random_split: seed and generator exclude each other")
    rng = numpy_generator("random_split", generator) if seed is None else np.random.default_rng(seed)
    return [Subset(dataset, part) for part in np.split(rng.permutation(count), np.cumsum(sizes)[:-1])]


def _sizes(count: int, lengths: Sequence[float]) -> list[int]:
    """The sizes of the subsets, from sizes or fractions."""
    if not math.isclose(sum(lengths), 1):
        if any(length != int(length) for length in lengths):
            raise ShapeError(
                f"random_split: lengths must be integers, or fractions that add up to 1, got {list(lengths)}"
            )
        return [int(length) for length in lengths]
    for position, part in enumerate(lengths):
        if not 0 <= part <= 1:
            raise ShapeError(f"random_split: the fraction lengths[{position}] must lie in [0, 1], got {part}")
    sizes = [math.floor(count * part) for part in lengths]
    for position in range(count - sum(sizes)):
        sizes[position % len(sizes)] += 1
    for position, size in enumerate(sizes):
        if size == 0:
            warnings.warn(f"random_split: the subset of lengths[{position}] gets no sample", UserWarning, stacklevel=3)
    return sizes

"""Datasets: numbered samples, fetched one at a time or a whole batch at once, and streams of samples."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError, UnsupportedError

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Base of all datasets: subclasses define `__len__` and `__getitem__`, as in torch.

    A dataset that fetches many samples faster at once than one by one also defines `get_batch(indices)`, which returns
    the stacked samples, or torch's `__getitems__(indices)`, which returns a list of samples. `DataLoader` uses them if
    they exist. `a + b` is the `ConcatDataset` of two.
    """

    get_batch: Any = None  # optional: a method (indices: ndarray) -> batch

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")

    def __add__(self, other: Dataset) -> Dataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Base of datasets that are a stream: subclasses define `__iter__`, and may define `__len__`.

    With `num_workers`, each worker iterates over its own copy from the beginning, and every sample comes once from each
    worker, unless `__iter__` or `worker_init_fn` splits the stream by `get_worker_info()`. `a + b` is the
    `ChainDataset` of two.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")

    def __len__(self) -> int:
        # TypeError, not NotImplementedError: `list(stream)` calls len() first, and ignores only a TypeError.
        raise TypeError(f"object of type {type(self).__name__!r} has no len()")

    def __add__(self, other: Dataset) -> Dataset:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Tensors of equal length: sample i is the tuple of their i-th elements.

    Args:
        tensors: tensors or NumPy arrays with the samples along the first axis; they are not copied.
    """

    def __init__(self, *tensors: Any):
        if not tensors:
            raise ShapeError("TensorDataset: needs at least one tensor, got none")
        for position, tensor in enumerate(tensors):
            if not isinstance(tensor, (Variable, np.ndarray)):
                raise DTypeError(
                    f"TensorDataset: argument {position} must be a tensor or a NumPy array, got {type(tensor).__name__}"
                )
        arrays = [t.array if isinstance(t, Variable) else t for t in tensors]
        shapes = [a.shape for a in arrays]
        if any(not shape or shape[0] != shapes[0][0] for shape in shapes):
            raise ShapeError(f"TensorDataset: all tensors must have the same length (first axis), got shapes {shapes}")
        self.tensors: tuple[Any, ...] = tuple(t if isinstance(t, Variable) else shared(t) for t in tensors)

    def __len__(self) -> int:
        return self.tensors[0].array.shape[0]

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(t[index] if t.requires_grad else t.detach_as(np.asarray(t.array[index])) for t in self.tensors)

    def get_batch(self, indices: np.ndarray) -> list[Any]:
        """The samples at `indices`, stacked: one NumPy gather per tensor instead of one Python call per sample."""
        return [t[indices] if t.requires_grad else wrap(t.array[indices]) for t in self.tensors]


class ConcatDataset(Dataset):
    """The samples of several datasets, concatenated.

    Args:
        datasets: datasets with numbered samples; `ChainDataset` joins streams.

    Attributes:
        cumulative_sizes: the end of each dataset.

    Raises:
        ShapeError: there is no dataset.
        UnsupportedError: a dataset is a stream.
    """

    def __init__(self, datasets: Iterable[Any]):
        self.datasets: list[Any] = list(datasets)
        if not self.datasets:
            raise ShapeError("ConcatDataset: datasets must hold at least one dataset, got none")
        for position, dataset in enumerate(self.datasets):
            if isinstance(dataset, IterableDataset):
                raise UnsupportedError(
                    f"ConcatDataset: datasets[{position}] is an IterableDataset, which has no numbered samples; "
                    "ChainDataset joins streams"
                )
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"ConcatDataset: index must lie in [{-len(self)}, {len(self)}), got {index}")
        number = bisect.bisect_right(self.cumulative_sizes, position)
        before = self.cumulative_sizes[number - 1] if number else 0
        return self.datasets[number][position - before]


class ChainDataset(IterableDataset):
    """The samples of several streams, one after another.

    Args:
        datasets: `IterableDataset`s; `ConcatDataset` joins datasets with numbered samples.
    """

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self._streams():
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self._streams())

    def _streams(self) -> Iterator[Any]:
        for position, dataset in enumerate(self.datasets):
            if not isinstance(dataset, IterableDataset):
                raise DTypeError(
                    f"ChainDataset: datasets[{position}] must be an IterableDataset, got {type(dataset).__name__}; "
                    "ConcatDataset joins datasets with numbered samples"
                )
            yield dataset


def batch_method(dataset: Any) -> Any:
    """The `get_batch` of a dataset, or None; also None if a subclass overrides `__getitem__` but not `get_batch`."""
    if "get_batch" in getattr(dataset, "__dict__", ()):
        return dataset.get_batch
    for owner in type(dataset).__mro__:
        if "get_batch" in vars(owner):
            return dataset.get_batch
        if "__getitem__" in vars(owner):
            return None
    return None


def shared(array: np.ndarray) -> Any:
    """A tensor on the memory of an array that others may write to."""
    result = wrap(array)
    result.version.watched().expose_for_ever()
    return result

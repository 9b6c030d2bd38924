"""Datasets: numbered samples, fetched one at a time or a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError


class Dataset:
    """Base of all datasets: subclasses define `__len__` and `__getitem__`, as in torch.

    A dataset that can fetch many samples faster than one by one also defines `get_batch(indices)`, which returns what
    stacking these samples would give. `DataLoader` uses it where it exists.
    """

    get_batch: Any = None  # where defined, a method (indices: ndarray) -> batch

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")


class TensorDataset(Dataset):
    """Tensors of equal length: sample i is the tuple of their i-th elements.

    Args:
        tensors: tensors or NumPy arrays whose first axis counts the samples; they are not copied.
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
        self.tensors = tuple(t.detach() if isinstance(t, Variable) else _shared(t) for t in tensors)

    def __len__(self) -> int:
        return self.tensors[0].array.shape[0]

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(t.detach_as(np.asarray(t.array[index])) for t in self.tensors)

    def get_batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        """The samples at `indices`, stacked: one NumPy gather per tensor instead of one Python call per sample."""
        return tuple(wrap(t.array[indices]) for t in self.tensors)


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in their order."""

    def __init__(self, dataset: Dataset, indices: Sequence[int] | np.ndarray):
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
        if self.indices.size and not (-len(dataset) <= self.indices.min() and self.indices.max() < len(dataset)):
            raise ShapeError(
                f"Subset: indices must lie in [{-len(dataset)}, {len(dataset)}), the dataset's samples, "
                f"got {self.indices.min()} to {self.indices.max()}"
            )
        if dataset.get_batch is not None:
            self.get_batch = self._get_batch

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def _get_batch(self, indices: np.ndarray) -> Any:
        return self.dataset.get_batch(self.indices[indices])


class Transformed(Dataset):
    """`dataset` with `transform` applied to the first element of every sample (the image).

    A batch is transformed as a whole, so `transform` must accept (N, C, H, W) as well as (C, H, W), which all of
    `convcore.transforms` do. Random transforms draw anew each time, so every epoch sees other variants.
    """

    def __init__(self, dataset: Dataset, transform: Callable[[Any], Any]):
        self.dataset = dataset
        self.transform = transform
        if dataset.get_batch is not None:
            self.get_batch = self._get_batch

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        x, *rest = self.dataset[index]
        return (self.transform(x), *rest)

    def _get_batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        x, *rest = self.dataset.get_batch(indices)
        return (self.transform(x), *rest)


def random_split(dataset: Dataset, lengths: Sequence[int], seed: int) -> list[Subset]:
    """Cut `dataset` at random into disjoint subsets of the given lengths, which must add up to its own.

    The same seed gives the same subsets.
    """
    if sum(lengths) != len(dataset) or min(lengths, default=0) < 0:
        raise ShapeError(
            f"random_split: lengths must be >= 0 and add up to the dataset's {len(dataset)} samples, got "
            f"{list(lengths)} (sum {sum(lengths)})"
        )
    order = np.random.default_rng(seed).permutation(len(dataset))
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(lengths)[:-1])]


def _shared(array: np.ndarray) -> Any:
    """A tensor in memory that its owner may write to."""
    result = wrap(array)
    result.version.watched().expose_for_ever()
    return result

"""Collating samples into a batch, and converting single samples to tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.data.dataset import shared
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import require_tensors
from convcore.ops.core.dtypes import element_type
from convcore.ops.create.creation import tensor
from convcore.ops.shape.joining import stack


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples along a new first axis, as torch's function of the same name.

    Tensors, arrays and numbers become one tensor (Python ints int64, floats float64); tuples and lists become a list,
    collated element by element; named tuples and mappings keep their type; strings are unchanged.

    Args:
        batch: the samples, all of the same structure.

    Raises:
        ShapeError: the samples have different shapes or lengths, or there are none.
        DTypeError: the samples have elements of another type.
    """
    if not len(batch):
        raise ShapeError("default_collate: a batch needs at least one sample, got none")
    first = batch[0]
    if isinstance(first, Variable):
        require_tensors("default_collate", **{f"sample {i} of the batch": sample for i, sample in enumerate(batch)})
        arrays = [sample.array for sample in batch]
        _check_shapes(arrays)
        return stack(batch) if any(sample.requires_grad for sample in batch) else wrap(np.stack(arrays))
    if isinstance(first, (np.ndarray, np.generic)) and first.dtype.kind != "U":
        arrays = [np.asarray(sample) for sample in batch]
        element_type("default_collate", arrays[0].dtype)
        _check_shapes(arrays)
        return wrap(np.stack(arrays))
    if isinstance(first, float):
        return wrap(np.array(batch, np.float64))
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _rebuilt(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, Sequence):
        lengths = sorted({len(sample) for sample in batch})
        if len(lengths) != 1:
            raise ShapeError(f"default_collate: all samples of a batch must have as many elements, got {lengths}")
        return _rebuilt(first, [default_collate(column) for column in zip(*batch, strict=True)])
    raise DTypeError(
        "default_collate: samples must be made of tensors, arrays, numbers, strings, tuples, lists and mappings, got "
        f"{type(first).__name__}; give the DataLoader a collate_fn for it"
    )


def default_convert(data: Any) -> Any:
    """`data` with NumPy arrays and scalars converted to tensors, also in tuples, lists and mappings.

    Everything else, such as tensors, strings and Python numbers, is unchanged. `DataLoader` applies this function to
    single samples (`batch_size=None`).
    """
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind not in "SUO":
        element_type("default_convert", data.dtype)
        return wrap(np.asarray(data)) if isinstance(data, np.generic) else shared(data)
    if isinstance(data, Mapping):
        return _rebuilt(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _rebuilt(data, [default_convert(element) for element in data])
    return data


def _rebuilt(model: Any, content: Any) -> Any:
    """A container of the type of `model` with new content; a plain list or dictionary if the type does not allow it."""
    if hasattr(model, "_fields"):  # the constructor of a named tuple takes its fields as arguments
        return type(model)(*content)
    if isinstance(model, tuple):
        return content
    try:
        if isinstance(model, (MutableMapping, MutableSequence)):  # a copy keeps the attributes of a user's class
            result: Any = copy.copy(model)
            if isinstance(model, MutableMapping):
                result.update(content)
            else:
                result[:] = content
            return result
        make: Callable[[Any], Any] = type(model)
        return make(content)
    except TypeError:
        return content


def _check_shapes(arrays: list[np.ndarray]) -> None:
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1:
        raise ShapeError(
            f"default_collate: all samples of a batch must have the same shape to be stacked, got {shapes}; crop or "
            "pad them, or give the DataLoader a collate_fn"
        )

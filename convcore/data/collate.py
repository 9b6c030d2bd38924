"""Making a batch of samples, and tensors of what a dataset gives one by one."""

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
    """Stack samples along a new first axis, as torch's function of this name does.

    Tensors, arrays and numbers become one tensor (Python ints int64, floats float64); tuples and lists become a list,
    collated element by element, named tuples and mappings keep their type; strings stay as they are.

    Args:
        batch: the samples, all made alike.

    Raises:
        ShapeError: the samples have different shapes or lengths, or there are none.
        DTypeError: they are made of something else.
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
    """`data` with its NumPy arrays and numbers turned into tensors, in tuples, lists and mappings too.

    Tensors, strings, Python's numbers and all else stay as they are. It is what a `DataLoader` does with single samples
    (`batch_size=None`).
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
    """A container of the type of `model` with new content; a plain list or dictionary where that cannot be made."""
    if hasattr(model, "_fields"):  # a named tuple takes its fields one by one
        return type(model)(*content)
    if isinstance(model, tuple):
        return content
    try:
        if isinstance(model, (MutableMapping, MutableSequence)):  # one of the user's may have more attributes
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

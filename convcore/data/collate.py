"""Stacking samples into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError


def default_collate(samples: Sequence[Any]) -> Any:
    """Stack samples along a new first axis, as torch's function of this name does.

    Tensors, arrays and numbers become one tensor (Python ints int64, floats float64); tuples and lists are collated
    element by element, mappings key by key; strings stay a list.
    """
    first = samples[0]
    if isinstance(first, Variable):
        return wrap(_stack([sample.array for sample in samples]))
    if isinstance(first, (np.ndarray, np.generic)):
        return wrap(_stack([np.asarray(sample) for sample in samples]))
    if isinstance(first, (bool, int, float)):
        return wrap(np.array(samples))
    if isinstance(first, (str, bytes)):
        return list(samples)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, Sequence):
        lengths = sorted({len(sample) for sample in samples})
        if len(lengths) != 1:
            raise ShapeError(f"default_collate: all samples of a batch must have as many elements, got {lengths}")
        columns = [default_collate(column) for column in zip(*samples, strict=True)]
        is_named = hasattr(first, "_fields")  # a namedtuple takes its fields one by one
        return type(first)(*columns) if is_named else type(first)(columns)  # pyright: ignore[reportCallIssue]
    raise DTypeError(
        "default_collate: samples must be made of tensors, arrays, numbers, strings, tuples, lists and mappings, got "
        f"{type(first).__name__}; give the DataLoader a collate_fn for it"
    )


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1:
        raise ShapeError(
            f"default_collate: all samples of a batch must have the same shape to be stacked, got {shapes}; crop or "
            "pad them, or give the DataLoader a collate_fn"
        )
    return np.stack(arrays)

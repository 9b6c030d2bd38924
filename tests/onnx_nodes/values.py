"""Values as ONNX hands them over: arrays, element types, lists of axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

import convcore as cc
from convcore import Tensor

ELEMENT_TYPES = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


class NoCounterpartError(Exception):
    """The operator, or a setting of it, is not in convcore."""


def dtype_of(number: int) -> Any:
    """The element type that ONNX numbers so."""
    name = str(onnx.helper.tensor_dtype_to_np_dtype(number))
    if name not in ELEMENT_TYPES:
        raise NoCounterpartError(f"element type {name}")
    return np.dtype(name)


def listed(axes: Tensor | Sequence[int] | None) -> list[int]:
    """The axes of an input or, in older models, an attribute."""
    return axes.tolist() if isinstance(axes, Tensor) else list(axes or ())


def axes_of(axes: Tensor | Sequence[int] | None, rank: int) -> list[int]:
    """The axes that are listed, from 0 up; all of them if there is no list."""
    return list(range(rank)) if axes is None else [axis % rank for axis in listed(axes)]


def converted(array: Any) -> Tensor:
    """A NumPy array as a tensor, if convcore has its element type."""
    if isinstance(array, onnx.TensorProto):
        array = onnx.numpy_helper.to_array(array)
    if not isinstance(array, (np.ndarray, np.generic)) or str(array.dtype) not in ELEMENT_TYPES:
        raise NoCounterpartError(f"element type {getattr(array, 'dtype', type(array).__name__)}")
    return cc.tensor(array)

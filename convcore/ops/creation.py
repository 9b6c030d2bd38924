"""New tensors: from Python lists and NumPy arrays, filled with constants, and in sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.arguments import integer
from convcore.ops.dtypes import SUPPORTED, converted, element_type, float32, number_type
from convcore.ops.shape import sizes

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of `data`: a number, nested lists, a NumPy array or a tensor.

    Without `dtype`, Python floats become float32, ints int64 and bools bool; arrays and tensors keep their dtype.
    """
    source = data.array if isinstance(data, Variable) else data
    if isinstance(source, (np.ndarray, np.generic)):
        array = np.array(source, order="K")
    else:
        try:
            array = np.array(_plain(source))
        except ValueError:
            raise ShapeError("tensor: nested lists must have equal lengths at every depth") from None
        if array.dtype.kind == "f":
            array = converted(array, float32) if dtype is None else array
    if array.dtype not in SUPPORTED and dtype is None:
        element_type("tensor", array.dtype)
    if dtype is not None:
        if array.dtype.kind not in "biuf":
            raise DTypeError(f"tensor: data must be numbers, got {array.dtype}")
        array = converted(array, element_type("tensor", dtype))
    return _leaf(array, requires_grad)


def _plain(data: Any) -> Any:
    """Nested lists with their tensors turned into Python numbers."""
    if isinstance(data, Variable):
        return data.array.tolist()
    return [_plain(d) for d in data] if isinstance(data, (list, tuple)) else data


def _leaf(array: np.ndarray, requires_grad: bool) -> Tensor:
    result = wrap(array)
    return result.requires_grad_() if requires_grad else result


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: needs a NumPy array, got {type(array).__name__}; use convcore.tensor")
    element_type("from_numpy", array.dtype)
    result = wrap(array)
    result.version.watched().expose_for_ever()
    return result


def full(size: int | Sequence[int], fill_value: float, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of one value; without `dtype` its type is that of the value."""
    return _filled("full", (size,), fill_value, dtype, requires_grad)


def _filled(op: str, size: tuple[Any, ...], value: float, dtype: Any, requires_grad: bool) -> Tensor:
    array = memory.empty(new_shape(op, size), number_type(op, value) if dtype is None else element_type(op, dtype))
    array.fill(value)
    return _leaf(array, requires_grad)


def empty(*size: int | Sequence[int], dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """A tensor whose values are not set."""
    return _leaf(memory.empty(new_shape("empty", size), element_type("empty", dtype)), requires_grad)


def zeros(*size: int | Sequence[int], dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros."""
    return _filled("zeros", size, 0, dtype, requires_grad)


def ones(*size: int | Sequence[int], dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    return _filled("ones", size, 1, dtype, requires_grad)


def new_shape(op: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape of a new tensor, given as one sequence or as several integers."""
    shape = sizes(op, size)
    if -1 in shape:
        raise ShapeError(f"{op}: sizes must be at least 0, got {shape}")
    return shape


def empty_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose values are not set, with the input's shape, dtype and order in memory."""
    array = np.empty_like(input.array, dtype=None if dtype is None else element_type("empty_like", dtype), subok=False)
    return _leaf(array, requires_grad)


def full_like(input: Tensor, fill_value: float, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of one value, with the input's shape, dtype and order in memory."""
    result = empty_like(input, dtype=dtype)
    result.array.fill(fill_value)
    return result.requires_grad_() if requires_grad else result


def zeros_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the input's shape, dtype and order in memory."""
    return full_like(input, 0, dtype=dtype, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones with the input's shape, dtype and order in memory."""
    return full_like(input, 1, dtype=dtype, requires_grad=requires_grad)


def arange(start: float, end: float | None = None, step: float = 1, *, dtype: Any = None) -> Tensor:
    """start, start + step, .. up to but without `end`; arange(n) counts from 0. int64, or float32 with floats."""
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ShapeError(f"arange: step must lead from start to end, got start={start}, end={end}, step={step}")
    kinds = [number_type("arange", v).kind for v in (start, end, step)]
    inferred = np.dtype(np.float32 if "f" in kinds else np.int64)
    return wrap(np.arange(start, end, step).astype(inferred if dtype is None else element_type("arange", dtype)))


def linspace(start: float, end: float, steps: int, *, dtype: Any = float32) -> Tensor:
    """`steps` evenly spaced values from `start` to `end`, both included."""
    count = integer("linspace", "steps", steps, minimum=0)
    return wrap(np.linspace(start, end, count).astype(element_type("linspace", dtype)))


def eye(n: int, m: int | None = None, *, dtype: Any = float32) -> Tensor:
    """The n x m matrix with ones on its diagonal and zeros elsewhere; m = n by default."""
    rows = integer("eye", "n", n, minimum=0)
    columns = rows if m is None else integer("eye", "m", m, minimum=0)
    return wrap(np.eye(rows, columns, dtype=element_type("eye", dtype)))

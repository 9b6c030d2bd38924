"""New tensors: from Python lists and NumPy arrays, constants, and sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Variable, wrap
from convcore.engine import capture
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import integer, varargs_or_keyword
from convcore.ops.core.dtypes import SUPPORTED, converted, element_type, float32, number, number_type, require_held
from convcore.ops.core.transfer import device_like, to_device
from convcore.ops.shape.views import sizes

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of `data`: a number, nested lists, a NumPy array or a tensor.

    Without `dtype`, Python floats become float32, ints int64 and bools bool; arrays and tensors keep their dtype.
    """
    source = data.array if isinstance(data, Variable) else data
    if isinstance(source, (np.ndarray, np.generic)):
        array = np.copy(source, order="K")
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
        dtype = element_type("tensor", dtype)
        if not isinstance(source, (np.ndarray, np.generic)):
            require_held("tensor", array, dtype)
        array = converted(array, dtype)
    if isinstance(source, np.ndarray):
        return _required(wrap(array), requires_grad, device)
    return _leaf(array, requires_grad, device)


def _plain(data: Any) -> Any:
    """Nested lists in which tensors are replaced by Python numbers."""
    if isinstance(data, Variable):
        return data.array.tolist()
    return [_plain(d) for d in data] if isinstance(data, (list, tuple)) else data


def _leaf(array: np.ndarray, requires_grad: bool, device: Any) -> Tensor:
    """A new tensor whose values come from Python, not from other tensors; a captured graph holds them as a constant."""
    return _required(wrap(capture.filled(array)), requires_grad, device)


def _required(tensor: Tensor, requires_grad: bool, device: Any) -> Tensor:
    result = to_device(tensor, device)
    return result.requires_grad_() if requires_grad else result


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: needs a NumPy array, got {type(array).__name__}; use convcore.tensor")
    element_type("from_numpy", array.dtype)
    result = wrap(array)
    result.version.watched().expose_for_ever()
    return result


def full(
    size: int | Sequence[int], fill_value: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of one value; without `dtype`, the dtype is that of the value."""
    value = fill_value.array.item() if isinstance(fill_value, Variable) else fill_value
    return _filled("full", (size,), value, number_type("full", value), dtype, device, requires_grad)


def _filled(
    op: str, size: tuple[Any, ...], value: Any, default: np.dtype, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    array = memory.empty(new_shape(op, size), element_type(op, dtype, default))
    array.fill(number(op, value, array.dtype)[()])
    return _leaf(array, requires_grad, device)


def empty(
    *size_: int | Sequence[int],
    size: Sequence[int] | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """An uninitialised tensor."""
    return _leaf(
        memory.empty(new_shape("empty", varargs_or_keyword(size_, size)), element_type("empty", dtype, float32)),
        requires_grad,
        device,
    )


def empty_permuted(
    size: Sequence[int], physical_layout: Sequence[int], *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """An uninitialised tensor with the axes in memory in the order `physical_layout`, outermost first"""
    shape, order = new_shape("empty_permuted", (size,)), tuple(physical_layout)
    if sorted(order) != list(range(len(shape))):
        raise ShapeError(f"empty_permuted: physical_layout must name each of the {len(shape)} axes once, got {order}")
    array = memory.empty(tuple([shape[i] for i in order]), element_type("empty_permuted", dtype, float32))
    return _leaf(array.transpose(np.argsort(order).tolist()), requires_grad, device)


def empty_strided(
    size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """An uninitialised tensor with these strides, counted in elements"""
    shape, strides = new_shape("empty_strided", (size,)), new_shape("empty_strided", (stride,))
    if len(shape) != len(strides):
        raise ShapeError(f"empty_strided: size and stride must be equally many, got {shape} and {strides}")
    count = 0 if 0 in shape else 1 + sum([(s - 1) * step for s, step in zip(shape, strides, strict=True)])
    kind = element_type("empty_strided", dtype, float32)
    block = memory.empty((max(count, 1),), kind)
    in_bytes = [step * kind.itemsize for step in strides]
    return _leaf(np.lib.stride_tricks.as_strided(block, shape, in_bytes), requires_grad, device)


def zeros(
    *size_: int | Sequence[int],
    size: Sequence[int] | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of zeros."""
    return _filled("zeros", varargs_or_keyword(size_, size), 0, float32, dtype, device, requires_grad)


def ones(
    *size_: int | Sequence[int],
    size: Sequence[int] | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of ones."""
    return _filled("ones", varargs_or_keyword(size_, size), 1, float32, dtype, device, requires_grad)


def new_shape(op: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape of a new tensor, given as one sequence or as several integers."""
    shape = sizes(op, size)
    if -1 in shape:
        raise ShapeError(f"{op}: sizes must be at least 0, got {shape}")
    return shape


def empty_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """An uninitialised tensor with the input's shape, dtype and memory order."""
    array = np.empty_like(input.array, dtype=None if dtype is None else element_type("empty_like", dtype), subok=False)
    return _leaf(array, requires_grad, device)


def full_like(
    input: Tensor, fill_value: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of one value, with the input's shape, dtype and memory order."""
    result = empty_like(input, dtype=dtype, device=device)
    value = fill_value.array.item() if isinstance(fill_value, Variable) else fill_value
    result.array[...] = number("full_like", value, result.array.dtype)[()]
    return result.requires_grad_() if requires_grad else result


def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the input's shape, dtype and memory order."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones with the input's shape, dtype and memory order."""
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def arange(
    start: Any = None, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """start, start + step, .. up to `end`, exclusive; arange(n) counts from 0. int64, or float32 if any is a float."""
    if end is None:
        start, end = 0, start
    if end is None:
        raise DTypeError("arange: needs a number to count to: arange(end) or arange(start, end)")
    start = 0 if start is None else start
    start, end, step = (v.array.item() if isinstance(v, Variable) else v for v in (start, end, step))
    if step == 0 or (end - start) * step < 0 or not math.isfinite(end - start):
        raise ShapeError(f"arange: step must lead from start to end, got start={start}, end={end}, step={step}")
    kinds = [number_type("arange", v).kind for v in (start, end, step)]
    inferred = np.dtype(np.float32 if "f" in kinds else np.int64)
    wanted = inferred if dtype is None else element_type("arange", dtype)
    if wanted.kind == "f":
        return _leaf(np.arange(start, end, step).astype(wanted), requires_grad, device)
    first, by = int(start), int(step)
    if wanted != np.int64:  # torch computes the count before it truncates the bounds
        return _leaf((first + by * np.arange(math.ceil((end - start) / step))).astype(wanted), requires_grad, device)
    if by == 0:
        raise ShapeError(f"arange: step must be at least 1 in int64, got {step}")
    return _leaf(np.arange(first, int(end), by), requires_grad, device)


def _spaced(op: str, start: Any, end: Any, steps: int, dtype: Any) -> tuple[np.ndarray, np.dtype]:
    """Evenly spaced float64 values, and the dtype of the result."""
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, Variable) and value.array.ndim:
            raise ShapeError(f"{op}: {name} must be a number or have no axes, got shape {value.array.shape}")
    first, last = (v.array.item() if isinstance(v, Variable) else v for v in (start, end))
    count = integer(op, "steps", steps, minimum=0)
    wanted = element_type(op, dtype, float32)
    if wanted.kind != "f" and (op == "linspace" or count > 1):  # torch truncates the ends, too
        first, last = int(first), int(last)
    return np.linspace(first, last, count), wanted


def linspace(
    start: Tensor | float, end: Tensor | float, steps: int, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` evenly spaced values from `start` to `end`, both included; float32 without `dtype`"""
    values, wanted = _spaced("linspace", start, end, steps, dtype)
    return _leaf(values.astype(wanted), requires_grad, device)


def logspace(
    start: Tensor | float, end: Tensor | float, steps: int, base: float = 10.0, *, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`base` to the powers of `linspace`; float32 without `dtype`"""
    values, wanted = _spaced("logspace", start, end, steps, dtype)
    with np.errstate(all="ignore"):
        return _leaf(np.power(float(base), values).astype(wanted), requires_grad, device)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The n x m matrix with ones on the diagonal and zeros elsewhere; m = n by default, float32 without `dtype`"""
    rows = integer("eye", "n", n, minimum=0)
    columns = rows if m is None else integer("eye", "m", m, minimum=0)
    array = np.eye(rows, columns, dtype=element_type("eye", dtype, float32))
    return _leaf(array, requires_grad, device)


def scalar_tensor(s: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor without axes of one number; float32 without `dtype`"""
    return full((), s, dtype=float32 if dtype is None else dtype, device=device, requires_grad=requires_grad)


def new_empty(
    input: Tensor,
    *size_: int | Sequence[int],
    size: Sequence[int] | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """An uninitialised tensor of the input's dtype"""
    dtype = input.array.dtype if dtype is None else dtype
    return empty(
        *varargs_or_keyword(size_, size), dtype=dtype, device=device_like(input, device), requires_grad=requires_grad
    )


def new_empty_strided(
    input: Tensor, size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`empty_strided` of the input's dtype"""
    dtype = input.array.dtype if dtype is None else dtype
    return empty_strided(size, stride, dtype=dtype, device=device_like(input, device), requires_grad=requires_grad)


def new_full(
    input: Tensor, size: Sequence[int], fill_value: float, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A tensor of one value, of the input's dtype"""
    dtype = input.array.dtype if dtype is None else dtype
    return full(size, fill_value, dtype=dtype, device=device_like(input, device), requires_grad=requires_grad)


def new_zeros(
    input: Tensor,
    *size_: int | Sequence[int],
    size: Sequence[int] | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros of the input's dtype"""
    return zeros(
        *varargs_or_keyword(size_, size),
        dtype=input.array.dtype if dtype is None else dtype,
        device=device_like(input, device),
        requires_grad=requires_grad,
    )


def new_ones(
    input: Tensor,
    *size_: int | Sequence[int],
    size: Sequence[int] | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones of the input's dtype"""
    return ones(
        *varargs_or_keyword(size_, size),
        dtype=input.array.dtype if dtype is None else dtype,
        device=device_like(input, device),
        requires_grad=requires_grad,
    )


def new_tensor(
    input: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`tensor(data)` of the input's dtype"""
    return tensor(data, input.array.dtype if dtype is None else dtype, device_like(input, device), requires_grad)

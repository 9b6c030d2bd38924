"""Arguments of operations: integers, pairs and tensors, checked once, with errors that show the value given."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from convcore.autograd import Variable
from convcore.errors import DTypeError, ShapeError


def integer(op: str, name: str, value: Any, minimum: int) -> int:
    """`value` as an int of at least `minimum`; bools and floats are refused, NumPy integers are not."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise DTypeError(f"{op}: {name} must be an integer, got {value!r} ({type(value).__name__})") from None
    if number < minimum:
        raise ShapeError(f"{op}: {name} must be at least {minimum}, got {number}")
    return number


def varargs_or_keyword(positional: tuple[Any, ...], named: Any) -> tuple[Any, ...]:
    """Sizes given as several arguments or as one sequence; as in torch, the sequence may also be a keyword argument."""
    return positional if named is None else (named,)


AXIS_NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""The spatial axes of series, images and volumes."""


def numbers(op: str, name: str, value: int | Sequence[int], minimum: int, rank: int) -> tuple[int, ...]:
    """`value` as one integer per spatial axis: a single integer applies to all `rank` axes, a sequence is in order."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) == 1:
            return (integer(op, name, value[0], minimum),) * rank
        if len(value) != rank:
            several = f" or {('two', 'three')[rank - 2]} ({', '.join(AXIS_NAMES[rank])})" if rank > 1 else ""
            raise ShapeError(f"{op}: {name} must be one integer{several}, got {tuple(value)}")
        return tuple([integer(op, f"{name}[{i}]", v, minimum) for i, v in enumerate(value)])
    return (integer(op, name, value, minimum),) * rank


def pair(op: str, name: str, value: int | Sequence[int], minimum: int) -> tuple[int, int]:
    """`value` as (height, width)."""
    height, width = numbers(op, name, value, minimum, 2)
    return height, width


def meta(x: Variable) -> Any:
    """An object with the shape, ndim and dtype of a tensor. A lazy tensor is not computed for it."""
    return x.array if x.deferred is None else x.deferred


def require_tensors(op: str, **tensors: Any) -> None:
    """Refuse arguments that are not tensors; None is accepted."""
    for name, tensor in tensors.items():
        if tensor is not None and not isinstance(tensor, Variable):
            raise DTypeError(
                f"{op}: {name} must be a tensor, got {type(tensor).__name__}; convcore.tensor(...) makes one"
            )


def check_float_tensors(op: str, **tensors: Any) -> None:
    """Refuse arguments that are not tensors, not float32 or float64, or not all of one dtype; None is accepted."""
    # Every layer of a small network calls this: valid arguments pass by identity checks alone, the rest is examined.
    common = None
    for tensor in tensors.values():
        if tensor is None:
            continue
        if not isinstance(tensor, Variable):
            break
        dtype = (tensor.array if tensor.deferred is None else tensor.deferred).dtype
        if common is None:
            common = dtype
        elif dtype is not common:
            break
    else:
        if common is _FLOAT32 or common is _FLOAT64 or common is None:
            return
    _refuse_tensors(op, {name: tensor for name, tensor in tensors.items() if tensor is not None})


_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def _refuse_tensors(op: str, given: dict[str, Any]) -> None:
    """Raise the error for invalid tensors; returns if they are valid."""
    require_tensors(op, **given)
    dtypes = {meta(tensor).dtype for tensor in given.values()}
    if len(dtypes) > 1:
        listed = ", ".join(f"{name} {meta(tensor).dtype}" for name, tensor in given.items())
        raise DTypeError(f"{op}: all tensors must have one dtype, got {listed}; .to(dtype) converts")
    for dtype in dtypes:
        if dtype != np.float32 and dtype != np.float64:
            listed = ", ".join(given)
            raise DTypeError(f"{op}: {listed} must be float32 or float64, got {dtype}; .float() converts")

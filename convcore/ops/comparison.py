"""Comparisons and logic: bool tensors, without gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError
from convcore.ops.arithmetic import check_broadcast
from convcore.ops.dtypes import as_tensors, result_type

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def _binary(op: str, ufunc: np.ufunc, a: Tensor | float, b: Tensor | float) -> Tensor:
    a, b = (wrap(t.array) for t in as_tensors(op, a, b, dtype=result_type(op, a, b)))
    check_broadcast(op, a, b)
    return wrap(np.asarray(ufunc(a.array, b.array)))


def is_operand(value: Any) -> bool:
    """Whether elements can be compared with it at all; `x == None` and the like compare by identity."""
    return isinstance(value, (Variable, bool, int, float, np.number, np.bool_))


def eq(input: Tensor, other: Tensor | float) -> Tensor:
    """input == other, element by element"""
    return _binary("eq", np.equal, input, other)


def ne(input: Tensor, other: Tensor | float) -> Tensor:
    """input != other, element by element"""
    return _binary("ne", np.not_equal, input, other)


def lt(input: Tensor, other: Tensor | float) -> Tensor:
    """input < other, element by element"""
    return _binary("lt", np.less, input, other)


def le(input: Tensor, other: Tensor | float) -> Tensor:
    """input <= other, element by element"""
    return _binary("le", np.less_equal, input, other)


def gt(input: Tensor, other: Tensor | float) -> Tensor:
    """input > other, element by element"""
    return _binary("gt", np.greater, input, other)


def ge(input: Tensor, other: Tensor | float) -> Tensor:
    """input >= other, element by element"""
    return _binary("ge", np.greater_equal, input, other)


def _bitwise(op: str, ufunc: np.ufunc, *operands: Tensor | float) -> Tensor:
    if result_type(op, *operands).kind == "f":
        raise DTypeError(f"{op}: operands must be bools or integers; compare floats first, e.g. x > 0")
    tensors = as_tensors(op, *operands)
    check_broadcast(op, *tensors)
    return wrap(np.asarray(ufunc(*[t.array for t in tensors])))


def bitwise_and(input: Tensor, other: Tensor | float) -> Tensor:
    """input & other: the logical and of bools"""
    return _bitwise("bitwise_and", np.bitwise_and, input, other)


def bitwise_or(input: Tensor, other: Tensor | float) -> Tensor:
    """input | other: the logical or of bools"""
    return _bitwise("bitwise_or", np.bitwise_or, input, other)


def bitwise_xor(input: Tensor, other: Tensor | float) -> Tensor:
    """input ^ other: the exclusive or of bools"""
    return _bitwise("bitwise_xor", np.bitwise_xor, input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """~input: the logical not of bools"""
    return _bitwise("bitwise_not", np.invert, input)


def logical_not(input: Tensor) -> Tensor:
    """Whether each element is 0"""
    return eq(input, 0)


def isnan(input: Tensor) -> Tensor:
    """Whether each element is NaN"""
    return wrap(np.asarray(np.isnan(input.array)))


def isfinite(input: Tensor) -> Tensor:
    """Whether each element is neither NaN nor infinite"""
    return wrap(np.asarray(np.isfinite(input.array)))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements"""
    return np.array_equal(input.array, other.array)


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether |input - other| <= atol + rtol * |other| for all elements"""
    return bool(np.allclose(input.array, other.array, rtol, atol, equal_nan))

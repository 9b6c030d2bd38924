"""Comparisons and logic: bool tensors, without gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import require_tensors
from convcore.ops.core.broadcast import check_broadcast
from convcore.ops.core.dtypes import as_tensors, result_type
from convcore.ops.elementwise.ufuncs import predicate

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def _binary(op: str, ufunc: np.ufunc, a: Tensor | float, b: Tensor | float) -> Tensor:
    if not isinstance(a, Variable):
        raise DTypeError(f"{op}: input must be a tensor, got {type(a).__name__}")
    a, b = (wrap(t.array) for t in as_tensors(op, a, b, dtype=result_type(op, a, b)))
    check_broadcast(op, a, b)
    return wrap(np.asarray(ufunc(a.array, b.array)))


def is_operand(value: Any) -> bool:
    """Whether `value` can be compared with elements; `x == None` and the like compare by identity."""
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
    if not any(isinstance(operand, Variable) for operand in operands):
        given = " and ".join(type(operand).__name__ for operand in operands)
        raise DTypeError(f"{op}: input or other must be a tensor, got {given}; use Python's operators for numbers")
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


not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


def bitwise_left_shift(input: Tensor | float, other: Tensor | float) -> Tensor:
    """input << other: times 2 to the power of `other`"""
    return _shift("bitwise_left_shift", np.left_shift, input, other)


def bitwise_right_shift(input: Tensor | float, other: Tensor | float) -> Tensor:
    """input >> other: over 2 to the power of `other`, rounded down"""
    return _shift("bitwise_right_shift", np.right_shift, input, other)


def _shift(op: str, ufunc: np.ufunc, input: Tensor | float, other: Tensor | float) -> Tensor:
    if result_type(op, input, other).kind == "b":
        raise DTypeError(f"{op}: operands must be integers, got bools; convert them with x.long()")
    return _bitwise(op, ufunc, input, other)


def logical_not(input: Tensor) -> Tensor:
    """Whether each element is 0"""
    return eq(input, 0)


def _logical(op: str, ufunc: np.ufunc, *operands: Tensor) -> Tensor:
    require_tensors(op, **dict(zip(("input", "other"), operands, strict=True)))
    check_broadcast(op, *operands)
    return wrap(np.asarray(ufunc(*[t.array for t in operands])))


def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Whether both elements are true (not 0)"""
    return _logical("logical_and", np.logical_and, input, other)


def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Whether one of two elements is true (not 0), or both are"""
    return _logical("logical_or", np.logical_or, input, other)


def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Whether just one of two elements is true (not 0)"""
    return _logical("logical_xor", np.logical_xor, input, other)


isnan = predicate("isnan", np.isnan, "Whether each element is NaN")
isfinite = predicate("isfinite", np.isfinite, "Whether each element is neither NaN nor infinite")
isinf = predicate("isinf", np.isinf, "Whether each element is infinite")
isposinf = predicate("isposinf", np.isposinf, "Whether each element is +infinity")
isneginf = predicate("isneginf", np.isneginf, "Whether each element is -infinity")
isreal = predicate("isreal", np.isreal, "Whether each element is real: all are")


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether |input - other| <= atol + rtol * |other|, element by element"""
    require_tensors("isclose", input=input, other=other)
    if input.array.dtype != other.array.dtype:
        raise DTypeError(f"isclose: both tensors must have one dtype, got {input.array.dtype} and {other.array.dtype}")
    if rtol < 0 or atol < 0:
        raise ShapeError(f"isclose: rtol and atol must be at least 0, got {rtol} and {atol}")
    check_broadcast("isclose", input, other)
    a, b = input.array.astype(np.float64), other.array.astype(np.float64)
    return wrap(np.asarray(np.isclose(a, b, rtol, atol, equal_nan)))


def isin(
    elements: Tensor | float, test_elements: Tensor | float, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is among `test_elements` (not among them with `invert`)"""
    a, b = as_tensors("isin", elements, test_elements)
    return wrap(np.asarray(np.isin(a.array, b.array, assume_unique, invert)))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements"""
    return np.array_equal(input.array, other.array)


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether |input - other| <= atol + rtol * |other| for all elements"""
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())

"""Rounding and signs: functions that are constant nearly everywhere, so their gradients are zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import wrap
from convcore.errors import DTypeError
from convcore.ops.core.dtypes import clone, require_floating
from convcore.ops.elementwise.arithmetic import sub
from convcore.ops.elementwise.functions import sign, where
from convcore.ops.elementwise.ufuncs import predicate, step

if TYPE_CHECKING:
    from convcore.tensor import Tensor

floor = step("floor", np.floor, "The largest integer not above each element", rounds=True)
ceil = step("ceil", np.ceil, "The smallest integer not below each element", rounds=True)
trunc = step("trunc", np.trunc, "Each element without its fraction", rounds=True)
fix = trunc
sgn = sign
rint = step("round", np.rint, "Each element rounded to the nearest integer, halves to even", rounds=True)
signbit = predicate(
    "signbit", lambda array: np.signbit(array) if array.dtype.kind == "f" else array < 0, "Whether a minus sign leads"
)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Each element rounded to `decimals` digits after the point (before it if negative), halves to even"""
    if decimals == 0:
        return rint(input)
    if input.array.dtype.kind != "f":
        raise DTypeError(f"round: decimals is for float tensors, got {input.array.dtype}; convert with x.float()")
    scale = 10.0 ** max(decimals, -decimals)
    return rint(input * scale) / scale if decimals > 0 else rint(input / scale) * scale


def frac(input: Tensor) -> Tensor:
    """The fraction of each element, with its sign"""
    require_floating("frac", input)
    return sub(input, trunc(input))


def positive(input: Tensor) -> Tensor:
    """+input: the tensor itself"""
    if input.array.dtype.kind == "b":
        raise DTypeError("positive: a bool tensor has no sign; convert it with x.long()")
    return input


def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """NaN replaced by `nan` (0), infinity by `posinf` (the largest number), -infinity by `neginf` (the smallest)"""
    array = input.array
    if array.dtype.kind != "f":
        return clone(input)
    limits = np.finfo(array.dtype)
    result = where(wrap(np.asarray(np.isnan(array))), 0.0 if nan is None else nan, input)
    result = where(wrap(np.asarray(np.isposinf(array))), float(limits.max) if posinf is None else posinf, result)
    return where(wrap(np.asarray(np.isneginf(array))), float(limits.min) if neginf is None else neginf, result)

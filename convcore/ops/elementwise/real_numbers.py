"""Functions of complex numbers, for real tensors only: convcore has no complex dtypes.

The conjugate of a real number is the number itself; its angle is 0, or pi if it is negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcore.errors import DTypeError
from convcore.ops.core.dtypes import clone, floating, require_tensor
from convcore.ops.elementwise.ufuncs import step

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def real(input: Tensor) -> Tensor:
    """The tensor itself"""
    require_tensor("real", "input", input)
    return input


conj = resolve_conj = resolve_neg = real


def imag(input: Tensor) -> Tensor:
    """Refused, as by torch: real numbers have no imaginary part"""
    require_tensor("imag", "input", input)
    raise DTypeError(f"imag: needs complex numbers, got {input.array.dtype}")


def conj_physical(input: Tensor) -> Tensor:
    """A copy"""
    require_tensor("conj_physical", "input", input)
    return clone(input)


def _angle(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """pi below 0, NaN for NaN, else 0."""
    return np.add(np.where(x < 0, np.asarray(np.pi, x.dtype), 0), np.where(np.isnan(x), x, 0), out=out, dtype=x.dtype)


_angle_of_floats = step("angle", _angle, "pi below 0, else 0")


def angle(input: Tensor) -> Tensor:
    """pi where an element is negative, NaN where it is NaN, else 0"""
    require_tensor("angle", "input", input)
    return _angle_of_floats(floating("angle", input))


def is_complex(input: Tensor) -> bool:
    """False: there are no complex tensors"""
    require_tensor("is_complex", "input", input)
    return False

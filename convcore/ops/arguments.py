"""Reading the arguments of ops: integers and pairs, checked once, with errors that say what was given."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

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


def pair(op: str, name: str, value: int | Sequence[int], minimum: int) -> tuple[int, int]:
    """`value` as (height, width): one integer stands for both, a sequence gives them in this order."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) == 1:
            value = (value[0], value[0])
        if len(value) != 2:
            raise ShapeError(f"{op}: {name} must be one integer or two (height, width), got {tuple(value)}")
        return integer(op, f"{name}[0]", value[0], minimum), integer(op, f"{name}[1]", value[1], minimum)
    number = integer(op, name, value, minimum)
    return number, number

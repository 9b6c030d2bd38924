"""`dim` arguments: negative axes count from the last, as in NumPy and torch."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from convcore.errors import DTypeError, ShapeError


def axis(op: str, dim: int, ndim: int, name: str = "dim") -> int:
    """`dim` as an axis from 0 to ndim - 1. As in torch, a tensor without axes accepts 0 and -1.

    `name` is the name of the argument, for errors.
    """
    try:
        if isinstance(dim, bool):
            raise TypeError
        number = operator.index(dim)
    except TypeError:
        raise DTypeError(f"{op}: {name} must be an integer, got {dim!r} ({type(dim).__name__})") from None
    limit = max(ndim, 1)
    if not -limit <= number < limit:
        raise ShapeError(f"{op}: {name} must be from {-limit} to {limit - 1} for a tensor of {ndim} axes, got {number}")
    return number % limit


def axes(op: str, dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """`dim` as a tuple of distinct axes; None and () mean all axes."""
    if dim is None or (isinstance(dim, Sequence) and len(dim) == 0):
        return tuple(range(ndim))
    result = tuple([axis(op, d, ndim) for d in (dim if isinstance(dim, Sequence) else (dim,))])
    if len(set(result)) != len(result):
        raise ShapeError(f"{op}: dim names an axis twice: {dim}")
    return result if ndim else ()

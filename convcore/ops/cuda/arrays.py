"""What twins share: float32 arrays by size, and the orders in which kernels walk."""

from __future__ import annotations

from typing import Any

from convcore.engine.cuda.array import empty, full
from convcore.errors import UnsupportedError


def floats(size: int) -> Any:
    """A flat array for kernels; its numbers are not set."""
    return empty((size,))


def empty_channels_last(shape: tuple[int, ...]) -> Any:
    """An array of the logical shape (N, C, ..) that lies channels-last."""
    block = empty((shape[0], *shape[2:], shape[1]))
    return block.transpose(0, len(shape) - 1, *range(1, len(shape) - 1))


def channels_last(array: Any) -> Any:
    """The elements of (N, C, ..) with the channels last, flat."""
    return array.flat((0, *range(2, array.ndim), 1))


def numbers_or(value: float, array: Any, count: int) -> Any:
    """The array, flat; where it is None, one number so many times."""
    return full((count,), value) if array is None else array.flat()


def images_only(op: str, depth: Any) -> None:
    """Refuse volumes."""
    if depth is not None:
        raise UnsupportedError(f"{op}: volumes are not computed on cuda:0; use .cpu() first")

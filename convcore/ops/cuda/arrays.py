"""Helpers of the GPU implementations: float32 arrays, and the memory orders that kernels read."""

from __future__ import annotations

from typing import Any

from convcore.engine.cuda.array import empty, full
from convcore.errors import UnsupportedError


def floats(size: int) -> Any:
    """An uninitialised flat array for kernels."""
    return empty((size,))


def empty_channels_last(shape: tuple[int, ...]) -> Any:
    """An uninitialised array of the logical shape (N, C, ..), channels-last in memory."""
    block = empty((shape[0], *shape[2:], shape[1]))
    return block.transpose(0, len(shape) - 1, *range(1, len(shape) - 1))


def channels_last(array: Any) -> Any:
    """The elements of (N, C, ..) in channels-last order, flat."""
    return array.flat((0, *range(2, array.ndim), 1))


def values_or(value: float, array: Any, count: int) -> Any:
    """The array, flat; for None, an array of `count` times `value`."""
    return full((count,), value) if array is None else array.flat()


def images_only(op: str, depth: Any) -> None:
    """Refuse volumes."""
    if depth is not None:
        raise UnsupportedError(f"{op}: volumes are not computed on cuda:0; use .cpu() first")

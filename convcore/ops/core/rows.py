"""Arrays as matrices: the kernels of norms, softmax and losses work along contiguous rows."""

from __future__ import annotations

import math

import numpy as np

from convcore import memory


def rows_along(array: np.ndarray, axis: int) -> np.ndarray:
    """The matrix (all other axes, length of `axis`): a view if `axis` is the last in memory already, else a copy."""
    others = [a for a in range(array.ndim) if a != axis]
    block = array.transpose(*others, axis)
    if not block.flags.c_contiguous:
        copy = memory.empty(block.shape, block.dtype)
        np.copyto(copy, block)
        block = copy
    return block.reshape(math.prod(block.shape[:-1]), block.shape[-1])


def from_rows(rows: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """The inverse of `rows_along`: `rows` as a view of `shape`."""
    last = len(shape) - 1
    block = rows.reshape(*shape[:axis], *shape[axis + 1 :], shape[axis])
    return block.transpose(*range(axis), last, *range(axis, last))

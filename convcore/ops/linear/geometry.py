"""The sizes of a matrix product and the memory order of the operands: the choice of an algorithm depends on no more."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from convcore.ops.core.layout import contiguous

_NO_OFFSET = np.zeros(1, np.int64)  # of the only matrix of an operand


class MatmulGeometry(NamedTuple):
    """out (..., M, N) = a (..., M, K) times b (..., K, N), leading axes broadcast.

    Attributes:
        batch: the leading axes of out; none for the product of two matrices.
        itemsize: bytes of an element.
        a_row, a_column: elements from a row of a to the next, and from a column to the next, as kernels read a.
        a_by_rows, b_by_rows: whether the operand is C-contiguous.
        a_by_columns, b_by_columns: whether it is with its last two axes exchanged.
    """

    batch: tuple[int, ...]
    m: int
    k: int
    n: int
    itemsize: int
    a_row: int
    a_column: int
    a_by_rows: bool
    a_by_columns: bool
    b_by_rows: bool
    b_by_columns: bool

    @property
    def count(self) -> int:
        """How many matrices out has."""
        return math.prod(self.batch)

    @property
    def a_is_transposed(self) -> bool:
        """Whether the columns of a, not the rows, are contiguous in memory."""
        return self.a_column != 1

    @property
    def multiply_adds(self) -> int:
        """How many multiplications the definition takes, each with an addition."""
        return self.count * self.m * self.k * self.n


def geometry_of(a: np.ndarray, b: np.ndarray) -> MatmulGeometry:
    """The geometry of a times b, whose shapes fit."""
    # np.broadcast_shapes takes longer than the whole of a small product.
    batch = () if a.ndim == b.ndim == 2 else np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (m, k), n = a.shape[-2:], b.shape[-1]
    a_by_rows, a_by_columns = _orders(a)
    b_by_rows, b_by_columns = _orders(b)
    a_row, a_column = _steps(a, a_by_rows, a_by_columns) or (k, 1)  # without steps, kernels get a copy
    return MatmulGeometry(batch, m, k, n, a.itemsize, a_row, a_column, a_by_rows, a_by_columns, b_by_rows, b_by_columns)


def geometry_of_packed(rows: np.ndarray, n: int) -> MatmulGeometry:
    """The geometry of rows (M, K), C-contiguous, times a matrix (K, N) in panels."""
    m, k = rows.shape
    return MatmulGeometry((), m, k, n, rows.itemsize, k, 1, True, False, False, False)


def _orders(array: np.ndarray) -> tuple[bool, bool]:
    """Whether an array is C-contiguous, and whether it is with its last two axes exchanged."""
    flags = array.flags
    return flags.c_contiguous, (flags.f_contiguous if array.ndim == 2 else array.swapaxes(-1, -2).flags.c_contiguous)


def _steps(array: np.ndarray, by_rows: bool, by_columns: bool) -> tuple[int, int] | None:
    """Elements from row to row and from column to column, one of which is 1; None where kernels cannot read it."""
    rows, columns = array.shape[-2:]
    if by_rows:
        return columns, 1
    if by_columns:
        return 1, rows
    # For read-only memory the kernels would be compiled once more.
    usable = array.size and array.flags.writeable
    if usable and all(stride % array.itemsize == 0 <= stride for stride in array.strides):
        row, column = [stride // array.itemsize for stride in array.strides[-2:]]
        if min(row, column) == 1:  # heads of attention, for one: parts of longer rows
            return row, column
    return None


class Operand(NamedTuple):
    """A stack of matrices: matrix i has the element (r, c) at flat[offsets[i] + r * row + c * column]."""

    flat: np.ndarray
    offsets: np.ndarray
    row: int
    column: int


def operand(array: np.ndarray, batch: tuple[int, ...]) -> Operand:
    """(..., R, C), leading axes broadcast to `batch`, as kernels read it: without a copy where they can."""
    by_rows, by_columns = _orders(array)
    steps = _steps(array, by_rows, by_columns)
    if steps is None:
        return operand(contiguous(array), batch)
    *sizes, rows, columns = array.shape
    if by_rows or by_columns:
        flat = (array if by_rows else array.swapaxes(-1, -2)).reshape(-1)
        return Operand(flat, matrix_offsets(tuple(sizes), None, rows * columns, batch), *steps)
    elements = [stride // array.itemsize for stride in array.strides]
    last = sum((size - 1) * step for size, step in zip(array.shape, elements, strict=True))
    flat = np.lib.stride_tricks.as_strided(array, (last + 1,), (array.itemsize,))
    return Operand(flat, matrix_offsets(tuple(sizes), tuple(elements[:-2]), 0, batch), *steps)


@functools.lru_cache(maxsize=256)
def matrix_offsets(
    sizes: tuple[int, ...], steps: tuple[int, ...] | None, size: int, batch: tuple[int, ...]
) -> np.ndarray:
    """Where each matrix of the broadcast batch begins: by steps of the leading axes, or `size` from one to the next."""
    if not batch:
        return _NO_OFFSET
    if steps is None:
        starts = np.arange(math.prod(sizes)).reshape(sizes) * size
    else:
        starts = sum(np.arange(n).reshape(-1, *[1] * (len(sizes) - i - 1)) * steps[i] for i, n in enumerate(sizes))
    return np.broadcast_to(starts, batch).reshape(-1).copy()

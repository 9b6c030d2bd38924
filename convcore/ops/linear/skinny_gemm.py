"""Products of matrices of which one size is small, at the speed of reading (or writing) the large matrix once.

A linear layer of 3136 inputs and 512 outputs on one image is such a product, and so are its gradients:

    out     x (M, C) and weight (F, C), M small      rows with rows
    grad_x  grad_out (M, F) and weight (F, C)        rows with a matrix
    grad_w  grad_out^T (F, M) and x (M, C)           a sum of M outer products

A layer of few outputs is the same with the roles exchanged. Larger products are for the micro-kernel.
"""

from __future__ import annotations

import numpy as np

from convcore import memory
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.layout import contiguous, zeros
from convcore.ops.linear.algorithm import MatmulAlgorithm
from convcore.ops.linear.geometry import MatmulGeometry
from kernels.cpu.linear.skinny_gemm import gemm_skinny, linear_skinny

FEW = 16
# Beyond so many results of a few columns the micro-kernel is faster, for it reads the many rows once: with 64 terms and
# 10 columns of 4096 rows they were equal, with 16 terms and 16 columns of 12544 rows it took an eighth of the time.
MOST_OF_FEW_COLUMNS = 32 * 1024
ROWS_PER_CHUNK = 16
# Fewer columns are too few chunks where the sums are longer than this: the micro-kernel splits the sums.
MIN_COLUMNS = MAX_TERMS = 512
# Columns of a chunk: enough chunks for the threads, and the block of b or out that is used again stays in the L1 cache.
MIN_COLUMNS_PER_CHUNK, MAX_COLUMNS_PER_CHUNK, VALUES_PER_CHUNK = 256, 1024, 4096


def has_few_rows_or_columns(m: int, n: int) -> bool:
    """Whether M or N of a product of rows with rows is so small that it is one of these."""
    return m <= FEW or _has_few_columns(m, n)


def _has_few_columns(m: int, n: int) -> bool:
    return n <= FEW and m * n <= MOST_OF_FEW_COLUMNS


class Skinny(MatmulAlgorithm):
    """Kernels that go through the large matrix once, along its rows."""

    name, summary = "skinny", "the large matrix is read or written once, nothing is packed"

    def refuses(self, geometry: MatmulGeometry) -> str | None:
        """Two matrices, of which one size is small."""
        m, k, n = geometry.m, geometry.k, geometry.n
        if geometry.batch:
            return f"it multiplies two matrices, here are stacks of {geometry.batch}"
        if min(m, k, n) > FEW:
            return f"M, K or N must be at most {FEW}, they are {m}, {k} and {n}"
        return None

    def advises_against(self, geometry: MatmulGeometry) -> str | None:
        """No kernel reads these operands without a copy, or the product is too large for the one that does."""
        m, k, n, b_by_rows = geometry.m, geometry.k, geometry.n, geometry.b_by_rows
        if m <= FEW and (geometry.b_by_columns or (b_by_rows and (n >= MIN_COLUMNS or k <= MAX_TERMS))):
            return None
        if (_has_few_columns(m, n) and geometry.a_by_rows) or (k <= FEW and b_by_rows):
            return None
        if n <= FEW and geometry.a_by_rows:
            return f"slower: it pays up to {MOST_OF_FEW_COLUMNS} results of few columns, here are {m * n}"
        if m <= FEW and b_by_rows:
            return f"slower: {n} columns are too few chunks for sums of {k} terms; the micro-kernel splits the sums"
        return "slower: the large operand would be copied first, it is not contiguous along its rows"

    def multiply(
        self,
        a: np.ndarray,
        prepared: tuple[np.ndarray, np.ndarray | None],
        geometry: MatmulGeometry,
        epilogue: Epilogue = NO_EPILOGUE,
    ) -> np.ndarray:
        """a b + bias, then the epilogue."""
        b, bias = prepared
        m, k, n = geometry.m, geometry.k, geometry.n
        out = memory.empty((m, n), a.dtype)
        if m <= FEW and geometry.b_by_columns:
            linear_skinny(contiguous(a), b.T, zeros(n, a.dtype) if bias is None else contiguous(bias), out)
            bias = None
        elif _has_few_columns(m, n) and geometry.a_by_rows:
            linear_skinny(contiguous(b.T), a, zeros(m, a.dtype), out.T)
        elif m <= FEW:
            gemm_skinny(contiguous(a), contiguous(b), out, m, min(_columns(m), MAX_COLUMNS_PER_CHUNK))
        elif k <= FEW:
            gemm_skinny(contiguous(a), contiguous(b), out, ROWS_PER_CHUNK, _columns(k))
        else:
            linear_skinny(contiguous(b.T), contiguous(a), zeros(m, a.dtype), out.T)
        if bias is not None:
            np.add(out, bias, out=out)
        epilogue.apply(out)
        return out


def _columns(height: int) -> int:
    return max(VALUES_PER_CHUNK // height, MIN_COLUMNS_PER_CHUNK)


SKINNY = Skinny()

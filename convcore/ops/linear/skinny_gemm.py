"""Products of matrices of which one size is small, at the speed of reading (or writing) the large matrix once.

A linear layer of 3136 inputs and 512 outputs on one image is such a product, and so are its gradients:

    out     x (M, C) and weight (F, C), M small      rows with rows
    grad_x  grad_out (M, F) and weight (F, C)        rows with a matrix
    grad_w  grad_out^T (F, M) and x (M, C)           a sum of M outer products

A layer of few outputs is the same with the roles exchanged. Larger products are for the micro-kernel.
"""

from __future__ import annotations

import numpy as np

from convcore.ops.core.layout import contiguous, zeros
from kernels.cpu.linear.skinny_gemm import gemm_skinny, linear_skinny

FEW = 16
# Beyond so many results of a few columns the micro-kernel is faster, for it reads the many rows once: with 64 terms and
# 10 columns of 4096 rows they were equal, with 16 terms and 16 columns of 12544 rows it took an eighth of the time.
MOST_OF_FEW_COLUMNS = 32 * 1024
ROWS_PER_TASK = 16
# Fewer columns are too few tasks where the sums are longer than this: the micro-kernel splits the sums.
MIN_COLUMNS = MAX_TERMS = 512
# Columns of a task: enough tasks for the threads, and the block of b or out that is used again stays in the L1 cache.
MIN_COLUMNS_PER_TASK, MAX_COLUMNS_PER_TASK, VALUES_PER_TASK = 256, 1024, 4096


def is_of_few(m: int, n: int) -> bool:
    """Whether M or N of a product of rows with rows is so small that it is one of these."""
    return m <= FEW or _is_of_few_columns(m, n)


def _is_of_few_columns(m: int, n: int) -> bool:
    return n <= FEW and m * n <= MOST_OF_FEW_COLUMNS


def product_few_rows(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None, out: np.ndarray) -> bool:
    """Whether a (M, K) times b (K, N), plus bias (N,), is one of these products; if so it is written to out (M, N)."""
    if a.ndim != 2 or b.ndim != 2:
        return False
    (m, k), n = a.shape, b.shape[1]
    if min(m, n, k) > FEW:
        return False
    if m <= FEW and b.T.flags.c_contiguous:
        linear_skinny(contiguous(a), b.T, zeros(n, a.dtype) if bias is None else contiguous(bias), out)
        return True
    if _is_of_few_columns(m, n) and a.flags.c_contiguous:
        linear_skinny(contiguous(b.T), a, zeros(m, a.dtype), out.T)
    elif m <= FEW and (n >= MIN_COLUMNS or k <= MAX_TERMS) and b.flags.c_contiguous:
        gemm_skinny(contiguous(a), b, out, m, min(_columns(m), MAX_COLUMNS_PER_TASK))
    elif k <= FEW and b.flags.c_contiguous:
        gemm_skinny(contiguous(a), b, out, ROWS_PER_TASK, _columns(k))
    else:
        return False
    if bias is not None:
        np.add(out, bias, out=out)
    return True


def _columns(height: int) -> int:
    return max(VALUES_PER_TASK // height, MIN_COLUMNS_PER_TASK)

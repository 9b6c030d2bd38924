"""Softmax and its logarithm along the rows of a matrix."""

import math

from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.cpu.ordered import fenced
from kernels.jit import inline, kernel, prange


@inline
def row_maximum(x, r):
    """The largest element of row r. A NaN may or may not win; exp carries it into the sum either way."""
    maximum = x[r, 0]
    for k in range(1, x.shape[1]):
        if x[r, k] > maximum:
            maximum = x[r, k]
    return maximum


@kernel
def softmax_forward(x, out, rows_per_chunk):
    """Softmax of every row.

    Computes   out[r, k] = exp(x[r, k] - m) / sum_l exp(x[r, l] - m), m = max_l x[r, l].
    Requires   x (rows, K) C-contiguous, K >= 1.
    Writes     out (rows, K).
    Parallel   over chunks of rows.
    Why        a row stays in the L1 cache for its three passes; exp runs once per element. Subtracting the maximum
               changes nothing in exact arithmetic and keeps exp from overflowing.
    """
    rows, length = x.shape
    for chunk in prange((rows + rows_per_chunk - 1) // rows_per_chunk):
        mode = flush_denormals()
        first = chunk * rows_per_chunk
        for r in range(first, min(first + rows_per_chunk, rows)):
            maximum = row_maximum(x, r)
            total = 0.0
            for k in range(length):
                power = math.exp(x[r, k] - maximum)
                out[r, k] = power
                total += power
            divisor = x.dtype.type(total)
            for k in range(length):
                out[r, k] /= divisor
        restore_denormals(mode)


@kernel
def log_softmax_forward(x, out, rows_per_chunk):
    """Logarithm of the softmax of every row.

    Computes   out[r, k] = (x[r, k] - m) - log sum_l exp(x[r, l] - m), m = max_l x[r, l].
    Requires   x (rows, K) C-contiguous, K >= 1.
    Writes     out (rows, K).
    Parallel   over chunks of rows.
    Why        as softmax_forward. The logarithm of a finished softmax would be -inf wherever that underflows.
    """
    rows, length = x.shape
    for chunk in prange((rows + rows_per_chunk - 1) // rows_per_chunk):
        mode = flush_denormals()
        first = chunk * rows_per_chunk
        for r in range(first, min(first + rows_per_chunk, rows)):
            maximum = row_maximum(x, r)
            total = 0.0
            for k in range(length):
                total += math.exp(x[r, k] - maximum)
            log_total = x.dtype.type(math.log(total))
            for k in range(length):
                out[r, k] = fenced(x[r, k] - maximum) - log_total
        restore_denormals(mode)

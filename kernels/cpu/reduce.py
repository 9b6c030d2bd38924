"""Sums over a batch: parts are summed on their own, then the parts in a fixed order.

The number of parts depends on the shape and never on the threads, so the result is bitwise the same for any number of
threads; and sums of sums lose less to rounding than one long sum.
"""

import numpy as np

from kernels.cpu.vector.chunk import begin_chunk, end_chunk
from kernels.jit import kernel, prange


@kernel
def column_sums(rows, partials, rows_per_part):
    """Sum the rows of a matrix, in parts: the gradient of a bias.

    Computes   partials[i, c] = sum of rows[j, c] over the rows j of part i, in float64.
    Requires   rows (count, C) C-contiguous; partials (parts, C) float64.
    Writes     all of partials.
    Parallel   over parts.
    Why        rows are read once, in order; short runs are summed in the rows' own precision, where a vector holds
               most values, and the runs in float64.
    """
    count, columns = rows.shape
    for part in prange(partials.shape[0]):
        mode = begin_chunk()
        run = np.empty(columns, rows.dtype)
        for c in range(columns):
            partials[part, c] = 0
        end = min((part + 1) * rows_per_part, count)
        for first in range(part * rows_per_part, end, 64):
            for c in range(columns):
                run[c] = 0
            for j in range(first, min(first + 64, end)):
                for c in range(columns):
                    run[c] += rows[j, c]
            for c in range(columns):
                partials[part, c] += run[c]
        end_chunk(mode)

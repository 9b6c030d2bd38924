"""Sums over a batch: parts are summed on their own, then the parts in a fixed order.

The number of parts depends on the shape and never on the threads, so the result is bitwise the same for any number of
threads; and sums of sums lose less to rounding than one long sum.
"""

import numpy as np

from kernels.jit import inline
from kernels.launch import kernel


@inline
def _parts(partials):
    return partials.shape[0]


@kernel(_parts)
def column_sums(chunk, rows, partials, rows_per_part):
    """Sum the rows of a matrix, in parts: the gradient of a bias.

    Computes   partials[i, c] = sum of rows[j, c] over the rows j of part i, in float64.
    Requires   rows (count, C) C-contiguous; partials (parts, C) float64.
    Writes     all of partials.
    Parallel   over parts.
    Why        rows are read once, in order; short runs are summed in the rows' own precision, where a vector holds
               most values, and the runs in float64.
    """
    count, columns = rows.shape
    run = np.empty(columns, rows.dtype)
    for c in range(columns):
        partials[chunk, c] = 0
    end = min((chunk + 1) * rows_per_part, count)
    for first in range(chunk * rows_per_part, end, 64):
        for c in range(columns):
            run[c] = 0
        for j in range(first, min(first + 64, end)):
            for c in range(columns):
                run[c] += rows[j, c]
        for c in range(columns):
            partials[chunk, c] += run[c]


@kernel(1)
def sum_chunks(chunk, workspace, sums):
    """Add what each chunk of another kernel has summed.

    Computes   sums[i, c] = sum_j workspace[i, j, c], in the order of the chunks j.
    Requires   workspace float64 (sums, chunks, C or more), of which the first C columns count; sums float64 (sums, C).
    Writes     all of sums.
    Parallel   not at all: one chunk adds all others.
    Why        a few numbers for each chunk.
    Reference  the last step of `batch_norm_grads`, `layer_norm_grads`, `cross_entropy_forward`.
    """
    for i in range(sums.shape[0]):
        for c in range(sums.shape[1]):
            sums[i, c] = 0.0
        for part in range(workspace.shape[1]):
            for c in range(sums.shape[1]):
                sums[i, c] += workspace[i, part, c]

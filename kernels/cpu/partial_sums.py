"""Sums over a batch: parts are summed on their own, then the parts in a fixed order.

The number of parts depends on the problem and never on the threads, so the result is bitwise the same for every
thread count; and sums of sums lose less to rounding than one long sum.
"""

import numpy as np

from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.jit import kernel, prange


@kernel
def sum_filter_partials(partials, grad_weight):
    """Add up the parts of a filter gradient and bring it into the filters' layout.

    Computes   grad_weight[g * K + k, c, r, s] = sum over i of partials[i, g, r, s * C + c, k].
    Requires   partials (parts, groups, k_h, k_w * C, K) C-contiguous.
    Writes     all of grad_weight (groups * K, C, k_h, k_w), of any strides.
    Parallel   over groups, filter rows and channels.
    Why        the parts are read in order, one row of K values at a time.
    """
    parts, groups, k_h, run, filters = partials.shape
    for task in prange(groups * k_h * run):
        mode = flush_denormals()
        g, r, m = task // (k_h * run), task // run % k_h, task % run
        channels = grad_weight.shape[1]
        s, c = m // channels, m % channels
        for k in range(filters):
            total = partials[0, g, r, m, k]
            for i in range(1, parts):
                total += partials[i, g, r, m, k]
            grad_weight[g * filters + k, c, r, s] = total
        restore_denormals(mode)


@kernel
def column_sums(rows, partials, rows_per_part):
    """Sum the rows of a matrix, in parts: the gradient of a bias.

    Computes   partials[i, c] = sum of rows[j, c] over the rows j of part i, in float64.
    Requires   rows (count, C) C-contiguous; partials (parts, C) float64.
    Writes     all of partials.
    Parallel   over parts.
    Why        rows are read once, in order; short runs are summed in the rows' own precision, where a vector holds
               most, and the runs in float64.
    """
    count, columns = rows.shape
    for part in prange(partials.shape[0]):
        mode = flush_denormals()
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
        restore_denormals(mode)

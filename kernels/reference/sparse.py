"""Product of a sparse matrix and a dense one, in float64."""

import numpy as np


def csr_matmul(starts, columns, values, x):
    """Row i of the result is the sum of values[e] * x[columns[e]] over the entries e of row i, starts[i] onwards."""
    x = np.asarray(x, np.float64)
    out = np.zeros((len(starts) - 1, x.shape[1]))
    for i in range(len(out)):
        for e in range(starts[i], starts[i + 1]):
            out[i] += values[e] * x[columns[e]]
    return out

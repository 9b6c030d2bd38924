"""Products of matrices, dense and sparse, in float64."""

import numpy as np


def gemm(a, b):
    """a (..., M, K) times b (..., K, N): sum over k of a[..., m, k] * b[..., k, n]."""
    return np.einsum("...mk,...kn->...mn", np.asarray(a, np.float64), np.asarray(b, np.float64))


def linear(x, weight, bias):
    """out (..., F) = x (..., C) times weight (F, C) transposed, plus bias (F,), which may be None."""
    out = np.einsum("...c,fc->...f", np.asarray(x, np.float64), np.asarray(weight, np.float64))
    return out if bias is None else out + np.asarray(bias, np.float64)


def csr_matmul(starts, columns, values, x):
    """Row i of the result is the sum of values[e] * x[columns[e]] over the entries e of row i, starts[i] onwards."""
    x = np.asarray(x, np.float64)
    out = np.zeros((len(starts) - 1, x.shape[1]))
    for i in range(len(out)):
        for e in range(starts[i], starts[i + 1]):
            out[i] += values[e] * x[columns[e]]
    return out

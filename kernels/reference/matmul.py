"""Matrix products in float64."""

import numpy as np


def matmul(a, b):
    """a (..., M, K) times b (..., K, N), by the definition: sum over k of a[..., m, k] * b[..., k, n]."""
    return np.einsum("...mk,...kn->...mn", np.asarray(a, np.float64), np.asarray(b, np.float64))


def linear(x, weight, bias):
    """out (..., F) = x (..., C) times weight (F, C) transposed, plus bias (F,), which may be None."""
    out = np.einsum("...c,fc->...f", np.asarray(x, np.float64), np.asarray(weight, np.float64))
    return out if bias is None else out + np.asarray(bias, np.float64)

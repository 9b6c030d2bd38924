"""A linear map along one axis, as a matrix that is written out."""

import numpy as np


def resample_axis(x, first, sources, weights):
    """out[a, o, b] = sum over s of matrix[o, s] * x[a, s, b], in float64; the arguments are those of the kernel."""
    matrix = np.zeros((len(first) - 1, x.shape[1]))
    for o in range(len(matrix)):
        for e in range(first[o], first[o + 1]):
            matrix[o, sources[e]] += weights[e]
    return np.einsum("os,asb->aob", matrix, np.asarray(x, np.float64))

"""Sums by their definition, in float64."""

import numpy as np


def column_sums(x):
    """out[c] = sum of x[r, c] over the rows r."""
    return np.asarray(x, np.float64).sum(0)


def sum_all(x):
    """The sum of all elements."""
    return np.asarray(x, np.float64).sum()

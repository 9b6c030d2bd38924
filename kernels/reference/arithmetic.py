"""Sums and products of two arrays, in float64."""

import numpy as np


def add(a, b):
    """a[i] + b[i]"""
    return np.asarray(a, np.float64) + np.asarray(b, np.float64)


def multiply(a, b):
    """a[i] * b[i]"""
    return np.asarray(a, np.float64) * np.asarray(b, np.float64)


def multiply_channels(x, factors):
    """x[n, p, c] * factors[n, c], or factors[0, c] for all images."""
    return multiply(x, np.asarray(factors)[:, None])

"""Functions of one value, and sums and products of two arrays, by their definition."""

import math

import numpy as np


def relu_forward(x: np.ndarray) -> np.ndarray:
    """out = x where x > 0, else 0; NaN stays NaN."""
    x = np.asarray(x, np.float64)
    return np.where(np.isnan(x) | (x > 0), x, 0.0)


def relu_grad_input(grad_out: np.ndarray, out: np.ndarray) -> np.ndarray:
    """grad_x = grad_out where out > 0 or out is NaN, else 0."""
    grad_out, out = np.asarray(grad_out, np.float64), np.asarray(out, np.float64)
    return np.where(np.isnan(out) | (out > 0), grad_out, 0.0)


def exp_forward(x):
    """e to the power of x; the precision is x's."""
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(x)


def tanh_forward(x):
    """(e^x - e^-x) / (e^x + e^-x); the precision is x's."""
    return np.tanh(x)


def sigmoid_forward(x):
    """1 / (1 + e^-x); the precision is x's."""
    with np.errstate(over="ignore", under="ignore"):
        return 1 / (1 + np.exp(-x))


def erf_forward(x):
    """2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x, in float64."""
    return np.array([math.erf(value) for value in np.ravel(x)]).reshape(np.shape(x))


# Two arrays


def add(a, b):
    """a[i] + b[i]"""
    return np.asarray(a, np.float64) + np.asarray(b, np.float64)


def multiply(a, b):
    """a[i] * b[i]"""
    return np.asarray(a, np.float64) * np.asarray(b, np.float64)


def multiply_channels(x, factors):
    """x[n, p, c] * factors[n, c], or factors[0, c] for all images."""
    return multiply(x, np.asarray(factors)[:, None])

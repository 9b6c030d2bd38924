"""Activations by their definition, in float64."""

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

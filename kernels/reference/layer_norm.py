"""Normalisation of rows by its definition, in float64."""

import numpy as np


def _normalised(x, eps, centered):
    """xhat of every row, and 1 / sqrt(variance + eps)."""
    x = x.astype(np.float64)
    deviation = x - x.mean(1, keepdims=True) if centered else x
    invstd = 1 / np.sqrt((deviation * deviation).mean(1, keepdims=True) + eps)
    return deviation * invstd, invstd


def layer_norm_forward(x, weight, bias, eps, centered):
    """out[r] = (x[r] - mean) / sqrt(variance + eps) * weight + bias; without `centered` the mean counts as 0."""
    return _normalised(x, eps, centered)[0] * weight + bias


def layer_norm_grads(x, grad_out, weight, eps, centered):
    """grad_x, grad_weight, grad_bias: xhat of a row changes with all of its elements, through mean and variance."""
    xhat, invstd = _normalised(x, eps, centered)
    g = grad_out.astype(np.float64)
    h = g * weight
    grad_xhat = h - xhat * (h * xhat).mean(1, keepdims=True)
    if centered:
        grad_xhat -= h.mean(1, keepdims=True)
    return invstd * grad_xhat, (g * xhat).sum(0), g.sum(0)

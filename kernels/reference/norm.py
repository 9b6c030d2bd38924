"""Normalisation by its definition, in float64."""

import numpy as np

# Batch normalisation: channels are axis 1


def _per_channel(values, x):
    """Shape (C,) to (1, C, 1, ...), to go with an x whose channels are axis 1."""
    return np.asarray(values, np.float64).reshape(1, -1, *[1] * (x.ndim - 2))


def batch_norm_statistics(x):
    """Mean and biased variance of every channel of x (N, C, ...)."""
    axes = (0, *range(2, x.ndim))
    x = x.astype(np.float64)
    return x.mean(axes), x.var(axes)


def batch_norm_forward(x, mean, variance, weight, bias, eps):
    """out = (x - mean) / sqrt(variance + eps) * weight + bias, each (C,) and the same for all of a channel."""
    mean, variance, weight, bias = (_per_channel(values, x) for values in (mean, variance, weight, bias))
    return (x.astype(np.float64) - mean) / np.sqrt(variance + eps) * weight + bias


def batch_norm_running(running, batch, momentum):
    """The running statistic after a batch: an average in which older batches weigh less and less."""
    return (1 - momentum) * np.asarray(running, np.float64) + momentum * np.asarray(batch, np.float64)


def batch_norm_grads(x, grad_out, mean, variance, weight, eps, statistics_from_x):
    """grad_x, grad_weight, grad_bias (Ioffe & Szegedy 2015, section 3), step by step as the paper has them.

    With `statistics_from_x`, mean and variance depend on x and pass gradients on to it; else they are constants.
    """
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]
    x, grad_out = x.astype(np.float64), grad_out.astype(np.float64)
    mean, variance, weight = (_per_channel(values, x) for values in (mean, variance, weight))
    invstd = 1 / np.sqrt(variance + eps)
    grad_weight = (grad_out * (x - mean) * invstd).sum(axes)
    grad_bias = grad_out.sum(axes)
    grad_normalised = grad_out * weight
    grad_x = grad_normalised * invstd
    if statistics_from_x:
        grad_variance = _per_channel((grad_normalised * (x - mean) * -0.5 * invstd**3).sum(axes), x)
        grad_mean = _per_channel((-grad_normalised * invstd).sum(axes), x)
        grad_x = grad_x + grad_variance * 2 * (x - mean) / count + grad_mean / count
    return grad_x, grad_weight, grad_bias


# Layer normalisation: rows of a matrix


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

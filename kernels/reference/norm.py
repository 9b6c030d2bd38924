"""Batch normalisation by its definition, in float64."""

import numpy as np


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


def batch_norm_backward(x, grad_out, mean, variance, weight, eps, statistics_from_x):
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

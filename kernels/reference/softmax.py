"""Softmax and its logarithm by their definition, in float64."""

import numpy as np


def softmax_forward(x):
    """exp(x) / sum of exp(x) over the last axis. The maximum is subtracted so that exp cannot overflow."""
    x = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        power = np.exp(x - x.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


def log_softmax_forward(x):
    """x - log of the sum of exp(x) over the last axis."""
    x = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def softmax_backward(out, grad_out):
    """grad_x[k] = sum_l grad_out[l] * d out[l] / d x[k], with d out[l] / d x[k] = out[l] * ([k == l] - out[k])."""
    out, grad_out = out.astype(np.float64), grad_out.astype(np.float64)
    return out * (grad_out - (grad_out * out).sum(-1, keepdims=True))


def log_softmax_backward(out, grad_out):
    """grad_x[k] = sum_l grad_out[l] * d out[l] / d x[k], with d out[l] / d x[k] = [k == l] - exp(out[k])."""
    out, grad_out = out.astype(np.float64), grad_out.astype(np.float64)
    return grad_out - np.exp(out) * grad_out.sum(-1, keepdims=True)

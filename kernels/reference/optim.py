"""Optimizer steps by definition, in float64. Each returns the new parameter and the new state; nothing is changed."""

import numpy as np


def sgd_step(param, grad, lr, weight_decay, maximize):
    """One step of stochastic gradient descent: param - lr * g with g = (+-)grad + weight_decay * param."""
    param, grad = np.float64(param), np.float64(grad)
    return param - lr * direction(param, grad, weight_decay, maximize)


def sgd_momentum_step(param, grad, momentum_buffer, lr, momentum, dampening, weight_decay, nesterov, maximize, first):
    """SGD with momentum; returns (param, momentum_buffer).

    b' = momentum * b + (1 - dampening) * g, or g itself at the first step; param' = param - lr * d with d = b', and
    d = g + momentum * b' for Nesterov's form. Source: I. Sutskever et al., "On the importance of initialization and
    momentum in deep learning" (2013), section 2, with the learning rate outside of the buffer.
    """
    param, grad = np.float64(param), np.float64(grad)
    g = direction(param, grad, weight_decay, maximize)
    buffer = g if first else momentum * np.float64(momentum_buffer) + (1 - dampening) * g
    step = g + momentum * buffer if nesterov else buffer
    return param - lr * step, buffer


def adam_step(param, grad, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    """Adam, and with `decoupled` AdamW; returns (param, exp_avg, exp_avg_sq). `step` counts from 1.

    m' = beta1 * m + (1 - beta1) * g,  v' = beta2 * v + (1 - beta2) * g^2,
    param' = param - lr * (m' / (1 - beta1^step)) / (sqrt(v' / (1 - beta2^step)) + eps).
    Sources: D. Kingma and J. Ba, "Adam" (2015), algorithm 1; I. Loshchilov and F. Hutter, "Decoupled Weight Decay
    Regularization" (2019), algorithm 2.
    """
    param, m, v = _adam_moments(param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, weight_decay, decoupled, maximize)
    return _adam_update(param, m, v, step, lr, beta1, beta2, eps), m, v


def adam_amsgrad_step(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize
):
    """Adam whose denominator never falls; returns (param, exp_avg, exp_avg_sq, max_exp_avg_sq).

    As `adam_step`, with the largest v' so far instead of v'. Source: S. Reddi et al., "On the Convergence of Adam and
    Beyond" (2018), algorithm 2.
    """
    param, m, v = _adam_moments(param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, weight_decay, decoupled, maximize)
    largest = np.maximum(np.float64(max_exp_avg_sq), v)
    return _adam_update(param, m, largest, step, lr, beta1, beta2, eps), m, v, largest


def direction(param, grad, weight_decay, maximize):
    """The gradient to descend along: (+-)grad + weight_decay * param."""
    g = -np.float64(grad) if maximize else np.float64(grad)
    return g + weight_decay * np.float64(param) if weight_decay else g


def _adam_moments(param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, weight_decay, decoupled, maximize):
    param, grad = np.float64(param), np.float64(grad)
    if decoupled:
        param = param * (1 - lr * weight_decay)
        g = direction(param, grad, 0, maximize)
    else:
        g = direction(param, grad, weight_decay, maximize)
    m = beta1 * np.float64(exp_avg) + (1 - beta1) * g
    v = beta2 * np.float64(exp_avg_sq) + (1 - beta2) * g * g
    return param, m, v


def _adam_update(param, m, v, step, lr, beta1, beta2, eps):
    return param - lr * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps)

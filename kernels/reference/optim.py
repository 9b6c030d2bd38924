"""Optimizer steps by their definition, in float64: each returns the new parameter and the new state.

Nothing is changed in place. The sources are cited in the kernels of the same names.
"""

import numpy as np

# Gradient descent and Adam


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


def unscale(grad, inverse):
    """grad * inverse, and how many of these values are not finite."""
    grad = np.float64(grad) * inverse
    return grad, np.count_nonzero(~np.isfinite(grad))


# A history for each weight: in each, g is (+-)grad + weight_decay * param


def mean(decay, old, new):
    """One step of a running mean."""
    return decay * np.float64(old) + (1 - decay) * new


def rmsprop_step(param, grad, square_avg, grad_avg, momentum_buffer, lr, alpha, eps, weight_decay, maximize, momentum):
    """Returns (param, square_avg, grad_avg, momentum_buffer); the last two may be None for "without"."""
    g = direction(param, grad, weight_decay, maximize)
    spread = square_avg = mean(alpha, square_avg, g * g)
    if grad_avg is not None:
        grad_avg = mean(alpha, grad_avg, g)
        spread = square_avg - grad_avg**2
    step = g / (np.sqrt(spread) + eps)
    if momentum_buffer is not None:
        step = momentum_buffer = momentum * np.float64(momentum_buffer) + step
    return param - lr * step, square_avg, grad_avg, momentum_buffer


def adagrad_step(param, grad, total, step, lr, lr_decay, eps, weight_decay, maximize):
    """Returns (param, total). `step` counts from 1."""
    g = direction(param, grad, weight_decay, maximize)
    total = total + g * g
    return param - lr / (1 + (step - 1) * lr_decay) * g / (np.sqrt(total) + eps), total


def adadelta_step(param, grad, square_avg, acc_delta, lr, rho, eps, weight_decay, maximize):
    """Returns (param, square_avg, acc_delta)."""
    g = direction(param, grad, weight_decay, maximize)
    square_avg = mean(rho, square_avg, g * g)
    delta = np.sqrt(np.float64(acc_delta) + eps) / np.sqrt(square_avg + eps) * g
    return param - lr * delta, square_avg, mean(rho, acc_delta, delta * delta)


def adamax_step(param, grad, exp_avg, exp_inf, step, lr, beta1, beta2, eps, weight_decay, maximize):
    """Returns (param, exp_avg, exp_inf). `step` counts from 1."""
    g = direction(param, grad, weight_decay, maximize)
    exp_avg = mean(beta1, exp_avg, g)
    exp_inf = np.maximum(beta2 * np.float64(exp_inf), np.abs(g) + eps)
    return param - lr / (1 - beta1**step) * exp_avg / exp_inf, exp_avg, exp_inf


def nadam_step(
    param, grad, exp_avg, exp_avg_sq, mu_product, step,
    lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled, maximize,
):  # fmt: skip
    """Returns (param, exp_avg, exp_avg_sq, mu_product). `step` counts from 1, `mu_product` begins with 1."""
    param = np.float64(param) * (1 - lr * weight_decay) if decoupled else np.float64(param)
    g = direction(param, grad, 0 if decoupled else weight_decay, maximize)
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    next_mu = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    mu_product = mu_product * mu
    exp_avg = mean(beta1, exp_avg, g)
    exp_avg_sq = mean(beta2, exp_avg_sq, g * g)
    ahead = (1 - mu) * g / (1 - mu_product) + next_mu * exp_avg / (1 - mu_product * next_mu)
    root = np.sqrt(exp_avg_sq / (1 - beta2**step)) + eps
    return param - lr * ahead / root, exp_avg, exp_avg_sq, mu_product


def radam_step(param, grad, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    """Returns (param, exp_avg, exp_avg_sq). `step` counts from 1."""
    param = np.float64(param) * (1 - lr * weight_decay) if decoupled else np.float64(param)
    g = direction(param, grad, 0 if decoupled else weight_decay, maximize)
    exp_avg = mean(beta1, exp_avg, g)
    exp_avg_sq = mean(beta2, exp_avg_sq, g * g)
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / (1 - beta2**step)
    update = exp_avg / (1 - beta1**step)
    if length > 5:
        rectification = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        update = update * np.sqrt(rectification * (1 - beta2**step)) / (np.sqrt(exp_avg_sq) + eps)
    return param - lr * update, exp_avg, exp_avg_sq


def rprop_step(param, grad, prev, step_size, eta_minus, eta_plus, smallest, largest, maximize):
    """Returns (param, prev, step_size)."""
    g = direction(param, grad, 0, maximize)
    agreement = np.sign(g * prev)
    factor = np.where(agreement > 0, eta_plus, np.where(agreement < 0, eta_minus, 1.0))
    step_size = np.clip(factor * step_size, smallest, largest)
    g = np.where(agreement < 0, 0, g)
    return param - np.sign(g) * step_size, g, step_size

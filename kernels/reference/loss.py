"""Losses by their definition, in float64, one example after another."""

import numpy as np

from kernels.reference.activation import log_softmax_forward


def cross_entropy_forward(x, target, weight, label_smoothing, ignore_index):
    """The loss of every row of x (rows, K), 0 where ignored, and the weight with which it counts in the mean."""
    rows, classes = x.shape
    log_probability = log_softmax_forward(x)
    weight = weight.astype(np.float64)
    loss, counted = np.zeros(rows), np.zeros(rows)
    for r in range(rows):
        if target[r] == ignore_index:
            continue
        hit = -weight[target[r]] * log_probability[r, target[r]]
        loss[r] = (1 - label_smoothing) * hit
        if label_smoothing > 0:
            loss[r] += label_smoothing / classes * -(weight * log_probability[r]).sum()
        counted[r] = weight[target[r]]
    return loss, counted


def cross_entropy_grad_input(x, target, weight, grad_loss, label_smoothing, ignore_index):
    """The gradient of sum_r grad_loss[r] * loss[r].

    Row r is a loss against the distribution q[k] = (1 - e) * weight[t] * [k == t] + e / K * weight[k], which need not
    sum to 1; its gradient is softmax(x) * sum(q) - q.
    """
    rows, classes = x.shape
    probability = np.exp(log_softmax_forward(x))
    grad_x = np.zeros((rows, classes))
    for r in range(rows):
        if target[r] == ignore_index:
            continue
        q = label_smoothing / classes * weight.astype(np.float64)
        q[target[r]] += (1 - label_smoothing) * weight[target[r]]
        grad_x[r] = grad_loss[r] * (probability[r] * q.sum() - q)
    return grad_x


def nll_loss_forward(log_probability, target, weight, ignore_index):
    """Minus the weighted log-probability of every row's label, 0 where ignored, and the row's weight in the mean."""
    rows = log_probability.shape[0]
    loss, counted = np.zeros(rows), np.zeros(rows)
    for r in range(rows):
        if target[r] != ignore_index:
            counted[r] = weight[target[r]]
            loss[r] = -counted[r] * float(log_probability[r, target[r]])
    return loss, counted


def mse_loss_forward(x, target):
    """Squared difference of every element."""
    return (x.astype(np.float64) - target.astype(np.float64)) ** 2

"""Activations, softmax and dropout by their definition, in float64."""

import math

import numpy as np

from kernels.reference.elementwise import erf_forward, sigmoid_forward

# Functions of one value: f(x, *settings) and its derivative; the settings are those of the kernels.


def elu(x, alpha, scale, inner):
    """scale * x above 0, scale * alpha * (e^(inner x) - 1) below."""
    return np.where(x > 0, scale * x, scale * alpha * np.expm1(inner * np.where(x > 0, 0, x)))


def elu_derivative(x, alpha, scale, inner):
    """scale above 0, scale * alpha * inner * e^(inner x) below."""
    return np.where(x > 0, scale, scale * alpha * inner * np.exp(inner * np.where(x > 0, 0, x)))


def gelu(x):
    """x * Phi(x)."""
    return x * 0.5 * (1 + erf_forward(x / math.sqrt(2)))


def gelu_derivative(x):
    """Phi(x) + x * Phi'(x)."""
    return 0.5 * (1 + erf_forward(x / math.sqrt(2))) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def gelu_tanh(x):
    """x * (1 + tanh u) / 2, u = sqrt(2 / pi) * (x + 0.044715 x^3)."""
    return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_tanh_derivative(x):
    """By the rules for products and chains."""
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    slope = 4 * sigmoid_forward(2 * u) * sigmoid_forward(-2 * u)  # 1 - tanh^2 u
    return 0.5 * (1 + np.tanh(u)) + 0.5 * x * slope * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)


def hardsigmoid(x):
    """min(max(x + 3, 0), 6) / 6."""
    return np.clip(x + 3, 0, 6) / 6


def hardsigmoid_derivative(x):
    """1 / 6 between -3 and 3."""
    return np.where(np.abs(x) < 3, 1 / 6, 0)


def hardswish(x):
    """x * min(max(x + 3, 0), 6) / 6."""
    return x * np.clip(x + 3, 0, 6) / 6


def hardswish_derivative(x):
    """0 up to -3, 1 from 3 on, (2 x + 3) / 6 between."""
    return np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6))


def hardtanh(x, low, high):
    """min(max(x, low), high)."""
    return np.clip(x, low, high)


def hardtanh_derivative(x, low, high):
    """1 between the limits."""
    return np.where((x <= low) | (x >= high), 0, 1)


def leaky_relu(x, slope):
    """x above 0, slope * x below."""
    return np.where(x > 0, x, slope * x)


def leaky_relu_derivative(x, slope):
    """1 above 0, slope below."""
    return np.where(x > 0, 1, slope)


def logsigmoid(x):
    """-log(1 + e^-x)."""
    return -np.logaddexp(0, -x)


def logsigmoid_derivative(x):
    """1 / (1 + e^x)."""
    return sigmoid_forward(-x)


def mish(x):
    """x * tanh(log(1 + e^x))."""
    return x * np.tanh(np.logaddexp(0, x))


def mish_derivative(x):
    """By the rules for products and chains."""
    u = np.logaddexp(0, x)
    return np.tanh(u) + x * 4 * sigmoid_forward(2 * u) * sigmoid_forward(-2 * u) * sigmoid_forward(x)


def silu(x):
    """x / (1 + e^-x)."""
    return x * sigmoid_forward(x)


def silu_derivative(x):
    """s + x s (1 - s)."""
    return sigmoid_forward(x) + x * sigmoid_forward(x) * sigmoid_forward(-x)


def softplus(x, beta, threshold):
    """log(1 + e^(beta x)) / beta; x where beta * x exceeds the threshold."""
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


def softplus_derivative(x, beta, threshold):
    """1 / (1 + e^(-beta x)); 1 where beta * x exceeds the threshold."""
    return np.where(beta * x > threshold, 1, sigmoid_forward(beta * x))


# Softmax and its logarithm


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


def softmax_grad_input(out, grad_out):
    """grad_x[k] = sum_l grad_out[l] * d out[l] / d x[k], with d out[l] / d x[k] = out[l] * ([k == l] - out[k])."""
    out, grad_out = out.astype(np.float64), grad_out.astype(np.float64)
    return out * (grad_out - (grad_out * out).sum(-1, keepdims=True))


def log_softmax_grad_input(out, grad_out):
    """grad_x[k] = sum_l grad_out[l] * d out[l] / d x[k], with d out[l] / d x[k] = [k == l] - exp(out[k])."""
    out, grad_out = out.astype(np.float64), grad_out.astype(np.float64)
    return grad_out - np.exp(out) * grad_out.sum(-1, keepdims=True)


# Dropout and its random numbers, in Python integers of unlimited size


def philox4x32(counter, key, rounds=10):
    """The four 32-bit words of a 128-bit counter under a 64-bit key (Salmon et al. 2011, section 4.3)."""
    c = [(counter >> 32 * i) & 0xFFFFFFFF for i in range(4)]
    k = [(key >> 32 * i) & 0xFFFFFFFF for i in range(2)]
    for _ in range(rounds):
        product_0, product_1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (product_1 >> 32) ^ c[1] ^ k[0],
            product_1 & 0xFFFFFFFF,
            (product_0 >> 32) ^ c[3] ^ k[1],
            product_0 & 0xFFFFFFFF,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def dropout_mask(size, p, seed, offset):
    """Which elements dropout keeps: element i where word i % 4 of counter offset + i // 4 is at least p * 2^32."""
    threshold = round(p * 2**32)
    return np.array([philox4x32(offset + i // 4, seed)[i % 4] >= threshold for i in range(size)], bool)


def dropout_forward(x, p, seed, offset):
    """x / (1 - p) where the mask keeps it, x * 0 elsewhere; x is flat."""
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return x.astype(np.float64) * np.where(dropout_mask(x.size, p, seed, offset), scale, 0.0)

"""Activations by their definition, in float64: of each the value and the derivative."""

import math

import numpy as np

from kernels.reference.elementwise import erf_forward, sigmoid_forward

# For each: f(x, *settings) and f'(x, *settings), for arrays of float64; the settings are those of kernels/cpu.


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

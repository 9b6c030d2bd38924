"""Optimizer steps: one pass over parameter, gradient and state, all of them flat, in place.

The settings come as scalars of the arrays' dtype, so that float32 stays float32 and the loops vectorise.
"""

import math

from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.jit import kernel, prange

CHUNK = 16384  # elements of one parallel chunk: 64 KiB of float32 per array, so that small parameters use one thread


@kernel
def sgd_step(param, grad, lr, weight_decay, sign):
    """Plain gradient descent.

    Computes   param[i] -= lr * (sign * grad[i] + weight_decay * param[i]); sign is -1 to maximize, else 1.
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype.
    Writes     param.
    Parallel   over chunks of CHUNK elements.
    Why fast   one read of each array and one write; the branch on weight_decay is hoisted out of the loop.
    """
    size = param.size
    for chunk in prange((size + CHUNK - 1) // CHUNK):
        mode = flush_denormals()
        for i in range(chunk * CHUNK, min(size, (chunk + 1) * CHUNK)):
            g = sign * grad[i]
            if weight_decay != 0:
                g += weight_decay * param[i]
            param[i] -= lr * g
        restore_denormals(mode)


@kernel
def sgd_momentum_step(param, grad, momentum_buffer, lr, momentum, share, weight_decay, sign, nesterov):
    """Gradient descent with momentum.

    Computes   g = sign * grad + weight_decay * param;  buffer = momentum * buffer + share * g;
               param -= lr * (g + momentum * buffer if nesterov else buffer).
               `share` is 1 - dampening; the first step passes a zeroed buffer and share 1.
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype; nesterov a bool.
    Writes     param, momentum_buffer.
    Parallel   over chunks of CHUNK elements.
    Why fast   one read of three arrays and one write of two, the least that can be.
    Source     Sutskever et al. (2013), section 2.
    """
    size = param.size
    for chunk in prange((size + CHUNK - 1) // CHUNK):
        mode = flush_denormals()
        for i in range(chunk * CHUNK, min(size, (chunk + 1) * CHUNK)):
            g = sign * grad[i]
            if weight_decay != 0:
                g += weight_decay * param[i]
            buffer = momentum * momentum_buffer[i] + share * g
            momentum_buffer[i] = buffer
            if nesterov:
                g += momentum * buffer
            else:
                g = buffer
            param[i] -= lr * g
        restore_denormals(mode)


@kernel
def adam_step(
    param, grad, exp_avg, exp_avg_sq, keep, weight_decay, sign, beta1, rest1, beta2, rest2, step_size, scale, eps
):
    """Adam and AdamW.

    Computes   p = keep * param;  g = sign * grad + weight_decay * p;  m = beta1 * m + rest1 * g;
               v = beta2 * v + rest2 * g^2;  param = p - step_size * m / (scale * sqrt(v) + eps).
               With step t: rest = 1 - beta, computed in float64; step_size = lr / (1 - beta1^t);
               scale = 1 / sqrt(1 - beta2^t). Adam has keep = 1, AdamW keep = 1 - lr * decay and weight_decay = 0.
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype.
    Writes     param, exp_avg (m), exp_avg_sq (v).
    Parallel   over chunks of CHUNK elements.
    Why fast   one read of four arrays and one write of three; square root and division are vector instructions.
    Source     Kingma and Ba (2015), algorithm 1; Loshchilov and Hutter (2019), algorithm 2.
    """
    size = param.size
    for chunk in prange((size + CHUNK - 1) // CHUNK):
        mode = flush_denormals()
        for i in range(chunk * CHUNK, min(size, (chunk + 1) * CHUNK)):
            p = keep * param[i]
            g = sign * grad[i]
            if weight_decay != 0:
                g += weight_decay * p
            m = beta1 * exp_avg[i] + rest1 * g
            v = beta2 * exp_avg_sq[i] + rest2 * g * g
            exp_avg[i] = m
            exp_avg_sq[i] = v
            param[i] = p - step_size * m / (scale * math.sqrt(v) + eps)
        restore_denormals(mode)


@kernel
def adam_amsgrad_step(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq,
    keep, weight_decay, sign, beta1, rest1, beta2, rest2, step_size, scale, eps,
):  # fmt: skip
    """Adam and AdamW with a denominator that never falls.

    Computes   as `adam_step`, with w = max(w, v) in the place of v under the square root.
    Requires   as `adam_step`.
    Writes     param, exp_avg (m), exp_avg_sq (v), max_exp_avg_sq (w).
    Parallel   over chunks of CHUNK elements.
    Why fast   as `adam_step`.
    Source     Reddi et al. (2018), algorithm 2.
    """
    size = param.size
    for chunk in prange((size + CHUNK - 1) // CHUNK):
        mode = flush_denormals()
        for i in range(chunk * CHUNK, min(size, (chunk + 1) * CHUNK)):
            p = keep * param[i]
            g = sign * grad[i]
            if weight_decay != 0:
                g += weight_decay * p
            m = beta1 * exp_avg[i] + rest1 * g
            v = beta2 * exp_avg_sq[i] + rest2 * g * g
            w = max_exp_avg_sq[i]
            if not v <= w and w == w:  # a NaN on either side stays
                w = v
            exp_avg[i] = m
            exp_avg_sq[i] = v
            max_exp_avg_sq[i] = w
            param[i] = p - step_size * m / (scale * math.sqrt(w) + eps)
        restore_denormals(mode)

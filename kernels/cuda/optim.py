"""Optimizer steps: one pass over flat parameter, gradient and state, in place; and the unscaling of gradients."""

from __future__ import annotations

import math

from kernels.cuda.jit import Count, Floats, Number, cuda, device, f32, kernel, u32
from kernels.cuda.reduce import THREADS, tree_sum

PER_BLOCK = 16 * THREADS  # elements of a gradient that one block unscales


@device
def _gradient(grad, param, sign, weight_decay):
    """sign * grad + weight_decay * param; without decay an infinite parameter adds no NaN."""
    g = sign * grad
    return g if weight_decay == f32(0) else g + weight_decay * param


@kernel(threads=THREADS, registers=32)
def sgd_step(param: Floats, grad: Floats, size: Count, lr: Number, weight_decay: Number, sign: Number):
    """Plain gradient descent.

    Computes   param[i] -= lr * (sign * grad[i] + weight_decay * param[i]); sign is -1 to maximize, else 1.
    Requires   param, grad (size).
    Writes     param.
    Parallel   over elements: grid ceil(size / 256).
    Why        one read of each array and one write.
    """
    i = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if i < size:
        param[i] -= lr * _gradient(grad[i], param[i], sign, weight_decay)


@kernel(threads=THREADS, registers=32)
def sgd_momentum_step(
    param: Floats, grad: Floats, momentum_buffer: Floats, size: Count,
    lr: Number, momentum: Number, share: Number, weight_decay: Number, sign: Number, nesterov: Count,
):  # fmt: skip
    """Gradient descent with momentum.

    Computes   g = sign * grad + weight_decay * param;  buffer = momentum * buffer + share * g;
               param -= lr * (g + momentum * buffer if nesterov else buffer).
               `share` is 1 - dampening; the first step passes a zeroed buffer and share 1.
    Requires   param, grad, momentum_buffer (size).
    Writes     param, momentum_buffer.
    Parallel   over elements: grid ceil(size / 256).
    Why        one read of three arrays and one write of two, the least that can be.
    Source     Sutskever et al. (2013), section 2.
    """
    i = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if i < size:
        g = _gradient(grad[i], param[i], sign, weight_decay)
        buffer = momentum * momentum_buffer[i] + share * g
        momentum_buffer[i] = buffer
        param[i] -= lr * (g + momentum * buffer if nesterov != u32(0) else buffer)


@kernel(threads=THREADS, registers=40)
def adam_step(
    param: Floats, grad: Floats, exp_avg: Floats, exp_avg_sq: Floats, size: Count,
    keep: Number, weight_decay: Number, sign: Number, beta1: Number, rest1: Number, beta2: Number, rest2: Number,
    step_size: Number, scale: Number, eps: Number,
):  # fmt: skip
    """Adam and AdamW.

    Computes   p = keep * param;  g = sign * grad + weight_decay * p;  m = beta1 * m + rest1 * g;
               v = beta2 * v + rest2 * g^2;  param = p - step_size * m / (scale * sqrt(v) + eps).
               With step t: rest = 1 - beta, computed in float64; step_size = lr / (1 - beta1^t);
               scale = 1 / sqrt(1 - beta2^t). Adam has keep = 1, AdamW keep = 1 - lr * decay and weight_decay = 0.
    Requires   param, grad, exp_avg, exp_avg_sq (size).
    Writes     param, exp_avg (m), exp_avg_sq (v).
    Parallel   over elements: grid ceil(size / 256).
    Why        one read of four arrays and one write of three.
    Source     Kingma and Ba (2015), algorithm 1; Loshchilov and Hutter (2019), algorithm 2.
    """
    i = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if i < size:
        p = keep * param[i]
        g = _gradient(grad[i], p, sign, weight_decay)
        m = beta1 * exp_avg[i] + rest1 * g
        v = beta2 * exp_avg_sq[i] + rest2 * g * g
        exp_avg[i] = m
        exp_avg_sq[i] = v
        param[i] = p - step_size * m / (scale * f32(math.sqrt(v)) + eps)


@kernel(threads=THREADS, registers=32, shared=4 * THREADS)
def unscale(grad: Floats, counts: Floats, place: Count, size: Count, inverse: Number):
    """Divide a gradient by the scale of the loss, and count what overflowed.

    Computes   grad[i] *= inverse; counts[place + b] = how many of the PER_BLOCK results of block b are not finite.
    Requires   grad (size), counts (place + blocks, at least).
    Writes     grad, the blocks' places in counts.
    Parallel   over blocks of elements: grid ceil(size / PER_BLOCK).
    Why        one read and one write; whether a step is taken follows from one value, the sum of all counts.
    """
    found = cuda.shared.array(THREADS, f32)
    thread = u32(cuda.threadIdx.x)
    first = u32(u32(cuda.blockIdx.x) * u32(PER_BLOCK))
    count = f32(0)
    for part in range(PER_BLOCK // THREADS):
        i = u32(first + thread + u32(part * THREADS))
        if i < size:
            value = grad[i] * inverse
            grad[i] = value
            if value - value != f32(0):  # NaN is unequal to all; infinity minus itself is NaN
                count += f32(1)
    found[thread] = count
    tree_sum(found, thread, u32(1))
    if thread == u32(0):
        counts[u32(place + u32(cuda.blockIdx.x))] = found[u32(0)]

"""Optimizer steps: one pass over parameter, gradient and state, all of them flat, in place.

The settings come as scalars of the arrays' dtype. The loops are written with vectors: LLVM would have to prove that
four arrays do not overlap, and does not try.
"""

from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import load_lanes, store_lanes, vlanes, vmax, vmuladd, vsplat, vsqrt
from kernels.jit import inline
from kernels.launch import kernel

CHUNK = 16384  # elements of one parallel chunk: 64 KiB of float32 per array, so that small parameters use one thread


@inline
def gradient(grad, param, i, count, sign, weight_decay):
    """sign * grad + weight_decay * param, a vector; without decay an infinite parameter adds no NaN."""
    g = vsplat(grad, sign) * load_lanes(grad, i, count)
    if weight_decay != 0:
        g = vmuladd(vsplat(grad, weight_decay), param, g)
    return g


@inline
def moments(
    param, grad, exp_avg, exp_avg_sq, i, count, keep, weight_decay, sign, beta1, rest1, beta2, rest2
):  # fmt: skip
    """The first step of Adam and its variants, in vectors: p = keep * param, g, and the new means m and v of g and g^2.

    m and v are stored.
    """
    p = vsplat(param, keep) * load_lanes(param, i, count)
    g = gradient(grad, p, i, count, sign, weight_decay)
    m = vmuladd(vsplat(param, rest1), g, vsplat(param, beta1) * load_lanes(exp_avg, i, count))
    v = vmuladd(vsplat(param, rest2) * g, g, vsplat(param, beta2) * load_lanes(exp_avg_sq, i, count))
    store_lanes(m, exp_avg, i, count)
    store_lanes(v, exp_avg_sq, i, count)
    return p, g, m, v


@inline
def chunks_of(param):
    """How many chunks of CHUNK elements a parameter has."""
    return ceil_div(param.size, CHUNK)


@kernel(chunks_of)
def sgd_step(chunk, param, grad, lr, weight_decay, sign):
    """Plain gradient descent.

    Computes   param[i] -= lr * (sign * grad[i] + weight_decay * param[i]); sign is -1 to maximize, else 1.
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype.
    Writes     param.
    Parallel   over chunks of CHUNK elements.
    Why fast   one read of each array and one write.
    """
    size = param.size
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p = load_lanes(param, i, end - i)
        g = gradient(grad, p, i, end - i, sign, weight_decay)
        store_lanes(vmuladd(vsplat(param, -lr), g, p), param, i, end - i)


@kernel(chunks_of)
def sgd_momentum_step(chunk, param, grad, momentum_buffer, lr, momentum, share, weight_decay, sign, nesterov):
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
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p = load_lanes(param, i, end - i)
        g = gradient(grad, p, i, end - i, sign, weight_decay)
        buffer = vsplat(param, momentum) * load_lanes(momentum_buffer, i, end - i)
        buffer = vmuladd(vsplat(param, share), g, buffer)
        store_lanes(buffer, momentum_buffer, i, end - i)
        g = vmuladd(vsplat(param, momentum), buffer, g) if nesterov else buffer
        store_lanes(vmuladd(vsplat(param, -lr), g, p), param, i, end - i)


@kernel(chunks_of)
def adam_step(
    chunk, param, grad, exp_avg, exp_avg_sq, keep, weight_decay, sign, beta1, rest1, beta2, rest2, step_size, scale, eps
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
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p, _, m, v = moments(
            param, grad, exp_avg, exp_avg_sq, i, end - i, keep, weight_decay, sign, beta1, rest1, beta2, rest2
        )
        root = vmuladd(vsplat(param, scale), vsqrt(v), vsplat(param, eps))
        store_lanes(p - vsplat(param, step_size) * m / root, param, i, end - i)


@kernel(chunks_of)
def adam_amsgrad_step(
    chunk, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq,
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
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p, _, m, v = moments(
            param, grad, exp_avg, exp_avg_sq, i, end - i, keep, weight_decay, sign, beta1, rest1, beta2, rest2
        )
        w = vmax(load_lanes(max_exp_avg_sq, i, end - i), v)
        store_lanes(w, max_exp_avg_sq, i, end - i)
        root = vmuladd(vsplat(param, scale), vsqrt(w), vsplat(param, eps))
        store_lanes(p - vsplat(param, step_size) * m / root, param, i, end - i)

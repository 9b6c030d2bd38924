"""Optimizer steps that scale each weight's step by the history of its gradient: RMSprop, Adagrad, Adadelta and others.

As in `kernels.cpu.optim.sgd_adam`: one pass over flat arrays, in place, with the settings as scalars of the arrays'
dtype.
"""

from kernels.cpu.optim.sgd_adam import CHUNK, chunks_of, gradient, moments
from kernels.cpu.vector.values import (
    load_lanes,
    store_lanes,
    vabs,
    vgreater,
    vlanes,
    vmax,
    vmuladd,
    vselect,
    vsplat,
    vsqrt,
)
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _mean(grad, decay, rest, old, new):
    """decay * old + rest * new, vectors: one step of a running mean."""
    return vmuladd(vsplat(grad, rest), new, vsplat(grad, decay) * old)


@kernel(chunks_of)
def rmsprop_step(
    chunk, param, grad, square_avg, grad_avg, momentum_buffer, lr, alpha, rest, eps, weight_decay, sign, momentum,
):  # fmt: skip
    """RMSprop, plain, centred and with momentum.

    Computes   g = sign * grad + weight_decay * param;  v = alpha * v + rest * g^2;  with a grad_avg
               a = alpha * a + rest * g and s = v - a^2, else s = v;  d = g / (sqrt(s) + eps);
               with a momentum_buffer b = momentum * b + d and param -= lr * b, else param -= lr * d.
    Requires   flat contiguous arrays of one dtype and length, grad_avg and momentum_buffer perhaps of length 0 for
               "without"; scalars of that dtype; rest = 1 - alpha, computed in float64.
    Writes     param, square_avg (v), grad_avg (a), momentum_buffer (b).
    Parallel   over chunks of CHUNK elements.
    Why fast   every array is read once and written once.
    Source     A. Graves, "Generating Sequences With Recurrent Neural Networks" (2013), equations 38 to 45.
    """
    size = param.size
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p = load_lanes(param, i, end - i)
        g = gradient(grad, p, i, end - i, sign, weight_decay)
        v = _mean(param, alpha, rest, load_lanes(square_avg, i, end - i), g * g)
        store_lanes(v, square_avg, i, end - i)
        if grad_avg.size > 0:
            a = _mean(param, alpha, rest, load_lanes(grad_avg, i, end - i), g)
            store_lanes(a, grad_avg, i, end - i)
            v = v - a * a
        d = g / (vsqrt(v) + vsplat(param, eps))
        if momentum_buffer.size > 0:
            d = vmuladd(vsplat(param, momentum), load_lanes(momentum_buffer, i, end - i), d)
            store_lanes(d, momentum_buffer, i, end - i)
        store_lanes(vmuladd(vsplat(param, -lr), d, p), param, i, end - i)


@kernel(chunks_of)
def adagrad_step(chunk, param, grad, total, lr, eps, weight_decay, sign):
    """Adagrad.

    Computes   g = sign * grad + weight_decay * param;  total += g^2;  param -= lr * g / (sqrt(total) + eps).
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype; lr already decayed.
    Writes     param, total.
    Parallel   over chunks of CHUNK elements.
    Why fast   every array is read once and written once.
    Source     Duchi, Hazan and Singer (2011), figure 1, with the diagonal of the matrix.
    """
    size = param.size
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p = load_lanes(param, i, end - i)
        g = gradient(grad, p, i, end - i, sign, weight_decay)
        s = vmuladd(g, g, load_lanes(total, i, end - i))
        store_lanes(s, total, i, end - i)
        d = g / (vsqrt(s) + vsplat(param, eps))
        store_lanes(vmuladd(vsplat(param, -lr), d, p), param, i, end - i)


@kernel(chunks_of)
def adadelta_step(chunk, param, grad, square_avg, acc_delta, lr, rho, rest, eps, weight_decay, sign):
    """Adadelta.

    Computes   g = sign * grad + weight_decay * param;  v = rho * v + rest * g^2;
               d = g * sqrt(u + eps) / sqrt(v + eps);  u = rho * u + rest * d^2;  param -= lr * d.
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype; rest = 1 - rho.
    Writes     param, square_avg (v), acc_delta (u).
    Parallel   over chunks of CHUNK elements.
    Why fast   every array is read once and written once.
    Source     Zeiler (2012), algorithm 1.
    """
    size = param.size
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p = load_lanes(param, i, end - i)
        g = gradient(grad, p, i, end - i, sign, weight_decay)
        v = _mean(param, rho, rest, load_lanes(square_avg, i, end - i), g * g)
        u = load_lanes(acc_delta, i, end - i)
        d = vsqrt(u + vsplat(param, eps)) / vsqrt(v + vsplat(param, eps)) * g
        store_lanes(v, square_avg, i, end - i)
        store_lanes(_mean(param, rho, rest, u, d * d), acc_delta, i, end - i)
        store_lanes(vmuladd(vsplat(param, -lr), d, p), param, i, end - i)


@kernel(chunks_of)
def adamax_step(chunk, param, grad, exp_avg, exp_inf, step_size, beta1, rest1, beta2, eps, weight_decay, sign):
    """Adamax.

    Computes   g = sign * grad + weight_decay * param;  m = beta1 * m + rest1 * g;
               w = max(beta2 * w, |g| + eps);  param -= step_size * m / w.
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype; rest1 = 1 - beta1;
               step_size = lr / (1 - beta1^t).
    Writes     param, exp_avg (m), exp_inf (w).
    Parallel   over chunks of CHUNK elements.
    Why fast   every array is read once and written once.
    Source     Kingma and Ba (2015), algorithm 2.
    """
    size = param.size
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p = load_lanes(param, i, end - i)
        g = gradient(grad, p, i, end - i, sign, weight_decay)
        m = _mean(param, beta1, rest1, load_lanes(exp_avg, i, end - i), g)
        w = vmax(vsplat(param, beta2) * load_lanes(exp_inf, i, end - i), vabs(g) + vsplat(param, eps))
        store_lanes(m, exp_avg, i, end - i)
        store_lanes(w, exp_inf, i, end - i)
        store_lanes(p - vsplat(param, step_size) * (m / w), param, i, end - i)


@kernel(chunks_of)
def nadam_step(
    chunk, param, grad, exp_avg, exp_avg_sq,
    keep, weight_decay, sign, beta1, rest1, beta2, rest2, grad_size, moment_size, scale, eps,
):  # fmt: skip
    """NAdam: Adam with Nesterov's look ahead.

    Computes   p = keep * param;  g = sign * grad + weight_decay * p;  m = beta1 * m + rest1 * g;
               v = beta2 * v + rest2 * g^2;  param = p - (grad_size * g + moment_size * m) / (scale * sqrt(v) + eps).
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype; rest = 1 - beta;
               scale = 1 / sqrt(1 - beta2^t); the two sizes as `convcore.optim.NAdam` derives them.
    Writes     param, exp_avg (m), exp_avg_sq (v).
    Parallel   over chunks of CHUNK elements.
    Why fast   every array is read once and written once.
    Source     Dozat (2016), algorithm 2.
    """
    size = param.size
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p, g, m, v = moments(
            param, grad, exp_avg, exp_avg_sq, i, end - i, keep, weight_decay, sign, beta1, rest1, beta2, rest2
        )
        ahead = vmuladd(vsplat(param, moment_size), m, vsplat(param, grad_size) * g)
        root = vmuladd(vsplat(param, scale), vsqrt(v), vsplat(param, eps))
        store_lanes(p - ahead / root, param, i, end - i)


@kernel(chunks_of)
def radam_step(
    chunk, param, grad, exp_avg, exp_avg_sq,
    keep, weight_decay, sign, beta1, rest1, beta2, rest2, step_size, eps, rectified,
):  # fmt: skip
    """RAdam: Adam without its denominator until that is worth trusting.

    Computes   p = keep * param;  g = sign * grad + weight_decay * p;  m = beta1 * m + rest1 * g;
               v = beta2 * v + rest2 * g^2;  param = p - step_size * (m / (sqrt(v) + eps) if rectified else m).
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype, rectified a bool; rest = 1 - beta;
               step_size with all corrections, as `convcore.optim.RAdam` derives it.
    Writes     param, exp_avg (m), exp_avg_sq (v).
    Parallel   over chunks of CHUNK elements.
    Why fast   every array is read once and written once.
    Source     Liu et al. (2020), algorithm 2.
    """
    size = param.size
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    for i in range(chunk * CHUNK, end, lanes):
        p, _, m, v = moments(
            param, grad, exp_avg, exp_avg_sq, i, end - i, keep, weight_decay, sign, beta1, rest1, beta2, rest2
        )
        if rectified:
            m = m / (vsqrt(v) + vsplat(param, eps))
        store_lanes(p - vsplat(param, step_size) * m, param, i, end - i)


@kernel(chunks_of)
def rprop_step(chunk, param, grad, prev, step_size, eta_minus, eta_plus, smallest, largest, sign):
    """Rprop: steps whose size depends on the signs of gradients alone.

    Computes   g = sign * grad;  the step size times eta_plus where g and prev agree in sign, times eta_minus where they
               differ (there g becomes 0), limited to [smallest, largest];  param -= sign(g) * step_size;  prev = g.
    Requires   flat contiguous arrays of one dtype and length; scalars of that dtype.
    Writes     param, prev, step_size.
    Parallel   over chunks of CHUNK elements.
    Why fast   signs are masks, choices are blends: no branch.
    Source     Riedmiller and Braun (1993), section 3.
    """
    size = param.size
    lanes = vlanes(param)
    end = min(size, (chunk + 1) * CHUNK)
    zero, one = vsplat(param, 0), vsplat(param, 1)
    for i in range(chunk * CHUNK, end, lanes):
        g = vsplat(param, sign) * load_lanes(grad, i, end - i)
        agreement = g * load_lanes(prev, i, end - i)
        differs = vgreater(zero, agreement)
        factor = vselect(differs, vsplat(param, eta_minus), one)
        factor = vselect(vgreater(agreement, zero), vsplat(param, eta_plus), factor)
        step = vmax(factor * load_lanes(step_size, i, end - i), vsplat(param, smallest))
        step = vselect(vgreater(step, vsplat(param, largest)), vsplat(param, largest), step)
        g = vselect(differs, zero, g)
        direction = vselect(vgreater(g, zero), one, vselect(vgreater(zero, g), zero - one, zero))
        store_lanes(g, prev, i, end - i)
        store_lanes(step, step_size, i, end - i)
        store_lanes(load_lanes(param, i, end - i) - direction * step, param, i, end - i)

"""Cross-entropy from logits, forward and gradient, without a probability matrix in between.

One block works on one row: its threads share the classes, and a tree joins their results.
"""

from __future__ import annotations

import math

from kernels.cuda.jit import Count, Floats, Labels, Number, Offset, cuda, device, f32, i32, kernel, u32

THREADS = 128


@device
def _tree(values, thread, largest):
    """values[0] = the sum of all THREADS values in shared memory, or their maximum, NaN if there is one."""
    half = u32(THREADS // 2)
    while half > u32(0):
        cuda.syncthreads()
        if thread < half:
            mine, other = values[thread], values[u32(thread + half)]
            if largest:
                values[thread] = other if other > mine or other != other else mine
            else:
                values[thread] = mine + other
        half = u32(half // u32(2))
    cuda.syncthreads()


@kernel(threads=THREADS, registers=48, shared=12 * THREADS)
def cross_entropy_forward(
    x: Floats, target: Labels, weight: Floats, loss: Floats, counted: Floats, maxima: Floats, sums: Floats,
    classes: Count, label_smoothing: Number, ignore_index: Offset,
):  # fmt: skip
    """Cross-entropy of every row with its label.

    Computes   with l[k] = log softmax(x[r])[k], t = target[r] and e = label_smoothing
               loss[r] = -(1 - e) * weight[t] * l[t] - e/K * sum_k weight[k] * l[k], counted[r] = weight[t];
               both 0 where t == ignore_index. The loss is NaN where t is neither that nor a class.
    Requires   x (rows, K); target (rows); weight (K).
    Writes     loss, counted (rows); maxima, sums (rows), max_k x[r, k] and sum_k exp(x[r, k] - maximum), for the
               gradient.
    Parallel   over rows: grid rows.
    Why        a row is read twice, the second time from the L1 cache; nothing of size (rows, K) is written.
    """
    values = cuda.shared.array(THREADS, f32)
    powers = cuda.shared.array(THREADS, f32)
    shares = cuda.shared.array(THREADS, f32)
    thread = u32(cuda.threadIdx.x)
    row = u32(cuda.blockIdx.x)
    first = u32(row * classes)
    largest = f32(-math.inf)
    k = thread
    while k < classes:
        value = x[u32(first + k)]
        largest = value if value > largest or value != value else largest
        k = u32(k + u32(THREADS))
    values[thread] = largest
    _tree(values, thread, True)
    maximum = values[u32(0)]
    total, smooth = f32(0), f32(0)
    k = thread
    while k < classes:
        shifted = x[u32(first + k)] - maximum
        total += f32(math.exp(shifted))
        smooth += weight[k] * shifted
        k = u32(k + u32(THREADS))
    powers[thread] = total
    shares[thread] = smooth
    _tree(powers, thread, False)
    _tree(shares, thread, False)
    if thread == u32(0):
        t = i32(target[row])
        log_total = f32(math.log(powers[u32(0)]))
        value, share = f32(0), f32(0)
        if t != ignore_index and u32(t) >= classes:
            value = f32(math.nan)
        elif t != ignore_index:
            share = weight[u32(t)]
            value = (f32(1) - label_smoothing) * share * (log_total - (x[u32(first + u32(t))] - maximum))
            if label_smoothing > f32(0):
                all_weights = f32(0)
                for c in range(classes):
                    all_weights += weight[u32(c)]
                value += label_smoothing / f32(classes) * (all_weights * log_total - shares[u32(0)])
        loss[row], counted[row] = value, share
        maxima[row], sums[row] = maximum, powers[u32(0)]


@kernel(threads=THREADS, registers=40, shared=4 * THREADS)
def cross_entropy_grad_input(
    x: Floats, target: Labels, weight: Floats, maxima: Floats, sums: Floats, grad_loss: Floats, grad_x: Floats,
    classes: Count, label_smoothing: Number, ignore_index: Offset,
):  # fmt: skip
    """Gradient of cross-entropy with respect to the logits.

    Computes   with p = softmax(x[r]), t = target[r], e = label_smoothing and g = grad_loss[r], 0
               where t is ignored or no class,
               grad_x[r, k] = g * ((1-e) * weight[t] * (p[k] - [k == t]) + e/K * (p[k] * sum_l weight[l] - weight[k])).
    Requires   x, target, weight as in the forward, maxima and sums from it; grad_loss (rows).
    Writes     grad_x (rows, K).
    Parallel   over rows: grid rows.
    Why        one pass; the softmax is made again from the row's maximum and sum instead of being kept.
    """
    values = cuda.shared.array(THREADS, f32)
    thread = u32(cuda.threadIdx.x)
    row = u32(cuda.blockIdx.x)
    first = u32(row * classes)
    t = i32(target[row])
    total = f32(0)
    k = thread
    while k < classes:
        total += weight[k]
        k = u32(k + u32(THREADS))
    values[thread] = total
    _tree(values, thread, False)
    # An ignored row keeps its factor 0, so that a NaN in it still shows in its gradient.
    hit, spread = f32(0), f32(0)
    if t != ignore_index and u32(t) < classes:
        hit = grad_loss[row] * (f32(1) - label_smoothing) * weight[u32(t)]
        spread = grad_loss[row] * label_smoothing / f32(classes)
    factor = (hit + spread * values[u32(0)]) / sums[row]
    maximum = maxima[row]
    k = thread
    while k < classes:
        value = f32(math.exp(x[u32(first + k)] - maximum)) * factor - spread * weight[k]
        grad_x[u32(first + k)] = value - hit if i32(k) == t else value
        k = u32(k + u32(THREADS))

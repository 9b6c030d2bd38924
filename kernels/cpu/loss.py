"""Cross-entropy from logits, forward and gradient, without a probability matrix in between."""

import math

from kernels.cpu.activation.softmax import row_maximum, sum_of_exponentials
from kernels.cpu.vector.fence import fenced
from kernels.cpu.vector.math import vexp
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import load_lanes, store_lanes, vlanes, vmuladd, vsplat
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _chunks(x, rows_per_chunk):
    return ceil_div(x.shape[0], rows_per_chunk)


@kernel(_chunks)
def cross_entropy_forward(
    chunk, x, target, weight, loss, maxima, sums, workspace, label_smoothing, ignore_index, rows_per_chunk
):
    """Cross-entropy of every row with its label, and the sums that the mean is made of.

    Computes   with l[k] = log softmax(x[r])[k], t = target[r] and e = label_smoothing
               loss[r] = -(1 - e) * weight[t] * l[t] - e/K * sum_k weight[k] * l[k], and 0 where t == ignore_index;
               workspace[:, i, 0] = (sum_r loss[r], sum_r weight[t] over the rows not ignored) of chunk i.
    Requires   x (rows, K) C-contiguous; target (rows,) int64 in [0, K) or ignore_index; weight (K,) of x's dtype;
               workspace float64 (2, chunks, 1).
    Writes     loss (rows,); maxima, sums (rows,) of x's dtype, max_k x[r, k] and sum_k exp(x[r, k] - maximum), for the
               gradient; workspace.
    Parallel   over chunks of rows; `sum_chunks` adds their sums.
    Why        one pass over a row that stays in the L1 cache; nothing of size (rows, K) is written.
    """
    rows, classes = x.shape
    flat_x = x.reshape(-1)
    first = chunk * rows_per_chunk
    chunk_loss = 0.0
    chunk_weight = 0.0
    for r in range(first, min(first + rows_per_chunk, rows)):
        maximum = row_maximum(flat_x, r * classes, classes)
        total = sum_of_exponentials(flat_x, r * classes, classes, maximum, flat_x[:0])
        maxima[r] = maximum
        sums[r] = total
        loss[r] = 0.0
        t = target[r]
        if t != ignore_index:
            log_total = math.log(total)
            row_loss = (1.0 - label_smoothing) * weight[t] * (log_total - fenced(x[r, t] - maximum))
            if label_smoothing > 0.0:
                smooth = 0.0
                for k in range(classes):
                    smooth += weight[k] * (log_total - fenced(x[r, k] - maximum))
                row_loss += label_smoothing / classes * smooth
            loss[r] = row_loss
            chunk_loss += row_loss
            chunk_weight += weight[t]
    workspace[0, chunk, 0] = chunk_loss
    workspace[1, chunk, 0] = chunk_weight


@kernel(_chunks)
def cross_entropy_grad_input(
    chunk, x, target, weight, maxima, sums, grad_loss, grad_x, label_smoothing, ignore_index, rows_per_chunk
):
    """Gradient of cross-entropy with respect to the logits.

    Computes   with p = softmax(x[r]), t = target[r], e = label_smoothing and g = grad_loss[r] (0 where t is ignored)
               grad_x[r, k] = g * ((1-e) * weight[t] * (p[k] - [k == t]) + e/K * (p[k] * sum_l weight[l] - weight[k])).
    Requires   x, target, weight as in the forward, maxima and sums from it; grad_loss (rows,) of x's dtype.
    Writes     grad_x (rows, K).
    Parallel   over chunks of rows.
    Why        one pass; the softmax is made again from the row's maximum and sum instead of being kept.
    """
    rows, classes = x.shape
    flat_x, flat_grad_x = x.reshape(-1), grad_x.reshape(-1)
    lanes = vlanes(x)
    total_weight = 0.0
    for k in range(classes):
        total_weight += weight[k]
    smooth = label_smoothing / classes
    first = chunk * rows_per_chunk
    for r in range(first, min(first + rows_per_chunk, rows)):
        t = target[r]
        # An ignored row keeps its factor 0, so that a NaN in it still shows in its gradient, as in PyTorch.
        hit = 0.0
        spread = 0.0
        if t != ignore_index:
            hit = grad_loss[r] * (1.0 - label_smoothing) * weight[t]
            spread = grad_loss[r] * smooth
        factor, shift = vsplat(x, (hit + spread * total_weight) / sums[r]), vsplat(x, maxima[r])
        share = vsplat(x, -spread)
        for k in range(0, classes, lanes):
            at, count = r * classes + k, classes - k
            power = vexp(x, load_lanes(flat_x, at, count) - shift)
            value = vmuladd(load_lanes(weight, k, count), share, power * factor)
            store_lanes(value, flat_grad_x, at, count)
        if t != ignore_index:
            grad_x[r, t] -= hit

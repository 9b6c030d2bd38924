"""Normalisation of the rows of a matrix: layer norm, RMS norm and, row = channels of a group, group norm.

A row is read from memory once and stays in the L1 or L2 cache for three passes: the mean, the variance about the mean,
and the result. Sums are taken in x's own precision for RUN values, and these in float64. For the mean, the distances
from the row's first value are summed, so that a large mean costs no digits; the digits that are lost when the mean is
rounded to x's precision are restored in the shift.
"""

import math

import numpy as np

from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import (
    load_lanes,
    store_lanes,
    vfenced,
    vfirst,
    vlanes,
    vload,
    vmuladd,
    vselect,
    vsplat,
    vsum,
)
from kernels.jit import inline
from kernels.launch import kernel

RUN = 1024  # values that are added up in their own dtype
ROWS = 64  # rows whose products are added up in their own dtype, for the gradients of weight and bias


@inline
def _sum_of_deviations(x, first, length, center):
    """The sum of x[k] - center along a row of the flat x, in float64."""
    lanes = vlanes(x)
    shift, zero = vsplat(x, center), vsplat(x, 0)
    total = 0.0
    for begin in range(0, length, RUN):
        end = min(begin + RUN, length)
        whole = end - (end - begin) % (2 * lanes)
        sum_0 = sum_1 = zero
        for k in range(begin, whole, 2 * lanes):
            sum_0 += vfenced(vload(x, first + k) - shift)
            sum_1 += vfenced(vload(x, first + k + lanes) - shift)
        for k in range(whole, end, lanes):
            sum_0 += vselect(vfirst(x, end - k), load_lanes(x, first + k, end - k) - shift, zero)
        total += vsum(sum_0 + sum_1)
    return total


@inline
def _sum_of_squares(x, first, length, center):
    """The sum of (x[k] - center)^2 along a row of the flat x, in float64."""
    lanes = vlanes(x)
    shift, zero = vsplat(x, center), vsplat(x, 0)
    total = 0.0
    for begin in range(0, length, RUN):
        end = min(begin + RUN, length)
        whole = end - (end - begin) % (2 * lanes)
        sum_0 = sum_1 = zero
        for k in range(begin, whole, 2 * lanes):
            deviation_0 = vfenced(vload(x, first + k) - shift)
            deviation_1 = vfenced(vload(x, first + k + lanes) - shift)
            sum_0 = vmuladd(deviation_0, deviation_0, sum_0)
            sum_1 = vmuladd(deviation_1, deviation_1, sum_1)
        for k in range(whole, end, lanes):
            deviation = vselect(vfirst(x, end - k), load_lanes(x, first + k, end - k) - shift, zero)
            sum_0 = vmuladd(deviation, deviation, sum_0)
        total += vsum(sum_0 + sum_1)
    return total


@inline
def _chunks(x, rows_per_chunk):
    return ceil_div(x.shape[0], rows_per_chunk)


@kernel(_chunks)
def layer_norm_forward(chunk, x, weight, bias, eps, centered, out, mean, invstd, rows_per_chunk):
    """Normalise every row, then scale and shift its elements.

    Computes   out[r, k] = (x[r, k] - mean[r]) * invstd[r] * weight[k] + bias[k], with the row's mean (0 unless
               `centered`) and invstd = 1 / sqrt(mean_k (x[r, k] - mean[r])^2 + eps).
    Requires   x (rows, K) C-contiguous, K >= 1; weight, bias (K,) of x's dtype, or both empty for 1 and 0.
    Writes     out (rows, K); mean, invstd, float64 (rows,), for the gradient.
    Parallel   over chunks of rows.
    Why        one read and one write of memory; the passes between run in the L1 cache, on vectors.
    """
    rows, length = x.shape
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    lanes = vlanes(x)
    affine = weight.size > 0
    first = chunk * rows_per_chunk
    for r in range(first, min(first + rows_per_chunk, rows)):
        at = r * length
        middle = 0.0
        if centered:
            start = flat_x[at]
            start = start if start - start == 0 else x.dtype.type(0)  # from infinity all would be NaN
            middle = start + _sum_of_deviations(flat_x, at, length, start) / length
        center = x.dtype.type(middle)
        lost = middle - center
        variance = _sum_of_squares(flat_x, at, length, center) / length - lost * lost
        variance = 0.0 if variance < 0 else variance
        scale = 1 / math.sqrt(variance + eps)
        mean[r] = middle
        invstd[r] = scale
        v_center, v_scale, v_shift = vsplat(x, center), vsplat(x, scale), vsplat(x, -lost * scale)
        for k in range(0, length, lanes):
            count = length - k
            value = vmuladd(vfenced(load_lanes(flat_x, at + k, count) - v_center), v_scale, v_shift)
            if affine:
                value = vmuladd(value, load_lanes(weight, k, count), load_lanes(bias, k, count))
            store_lanes(value, flat_out, at + k, count)


@kernel(_chunks)
def layer_norm_grads(chunk, x, grad_out, weight, mean, invstd, centered, grad_x, workspace, rows_per_chunk):
    """All gradients of layer norm.

    Computes   with xhat = (x - mean[r]) * invstd[r] and h = grad_out * weight (grad_out if weight is empty)
               grad_x[r, k] = invstd[r] * (h[r, k] - mean_l h[r, l] - xhat[r, k] * mean_l (h[r, l] * xhat[r, l])),
               without the second term unless `centered`; if weight is not empty, workspace[0, i, k] = sum_r
               grad_out[r, k] * xhat[r, k] and workspace[1, i, k] = sum_r grad_out[r, k] over the rows r of chunk i.
    Requires   x, grad_out (rows, K) C-contiguous, mean and invstd from the forward; workspace (2, chunks, K) float64.
    Writes     grad_x (rows, K), workspace.
    Parallel   over chunks of rows; `sum_chunks` adds their sums.
    Why        two reads and one write of memory; the second pass over a row finds it in the cache, and the sums over
               rows are taken in the first.
    """
    rows, length = x.shape
    flat_x, flat_grad, flat_grad_x = x.reshape(-1), grad_out.reshape(-1), grad_x.reshape(-1)
    lanes = vlanes(x)
    affine = weight.size > 0
    columns = weight.size
    first = chunk * rows_per_chunk
    last = min(first + rows_per_chunk, rows)
    weight_run, bias_run = np.zeros(columns, x.dtype), np.zeros(columns, x.dtype)
    for k in range(columns):
        workspace[0, chunk, k] = 0.0
        workspace[1, chunk, k] = 0.0
    for r in range(first, last):
        at = r * length
        scale = invstd[r]
        center = x.dtype.type(mean[r])
        v_center, v_scale, v_shift = vsplat(x, center), vsplat(x, scale), vsplat(x, (center - mean[r]) * scale)
        sum_h, sum_h_xhat = 0.0, 0.0
        for begin in range(0, length, RUN):
            end = min(begin + RUN, length)
            run_h = run_h_xhat = vsplat(x, 0)
            for k in range(begin, end, lanes):
                count = end - k
                g = load_lanes(flat_grad, at + k, count)
                xhat = vmuladd(vfenced(load_lanes(flat_x, at + k, count) - v_center), v_scale, v_shift)
                h = g
                if affine:
                    h = g * load_lanes(weight, k, count)
                    store_lanes(vmuladd(g, xhat, load_lanes(weight_run, k, count)), weight_run, k, count)
                    store_lanes(g + load_lanes(bias_run, k, count), bias_run, k, count)
                run_h += h
                run_h_xhat = vmuladd(h, xhat, run_h_xhat)
            sum_h += vsum(run_h)
            sum_h_xhat += vsum(run_h_xhat)
        less = sum_h / length if centered else 0.0
        v_less, v_slope = vsplat(x, -less * scale), vsplat(x, -sum_h_xhat / length * scale)
        for k in range(0, length, lanes):
            count = length - k
            h = load_lanes(flat_grad, at + k, count)
            if affine:
                h = h * load_lanes(weight, k, count)
            xhat = vmuladd(vfenced(load_lanes(flat_x, at + k, count) - v_center), v_scale, v_shift)
            store_lanes(vmuladd(h, v_scale, vmuladd(xhat, v_slope, v_less)), flat_grad_x, at + k, count)
        if (r - first) % ROWS == ROWS - 1 or r == last - 1:
            for k in range(columns):
                workspace[0, chunk, k] += weight_run[k]
                workspace[1, chunk, k] += bias_run[k]
                weight_run[k] = 0
                bias_run[k] = 0

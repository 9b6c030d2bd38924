"""Softmax and its logarithm along the rows of a matrix."""

import math

import numpy as np

from kernels.cpu.vector.math import vexp
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import (
    load_lanes,
    store_lanes,
    vfenced,
    vfirst,
    vlanes,
    vlargest,
    vload,
    vmax,
    vmuladd,
    vselect,
    vsplat,
    vstore,
    vsum,
)
from kernels.jit import inline
from kernels.launch import kernel

RUN = 1024  # exponentials that are added up in their own dtype; the runs are added in float64


@inline
def _load_or_lowest(x, index, count):
    """`count` values of x, and in the other lanes -inf, which changes neither a maximum nor a sum of exponentials."""
    return vselect(vfirst(x, count), load_lanes(x, index, count), vsplat(x, -np.inf))


@inline
def row_maximum(x, first, length):
    """The largest of x[first] to x[first + length - 1], NaN if one of them is NaN; x is flat."""
    lanes = vlanes(x)
    whole = length - length % (2 * lanes)
    largest_0 = largest_1 = vsplat(x, -np.inf)
    for k in range(first, first + whole, 2 * lanes):
        largest_0, largest_1 = vmax(largest_0, vload(x, k)), vmax(largest_1, vload(x, k + lanes))
    for k in range(whole, length, lanes):
        largest_0 = vmax(largest_0, _load_or_lowest(x, first + k, length - k))
    return vlargest(vmax(largest_0, largest_1))


@inline
def sum_of_exponentials(x, first, length, maximum, out):
    """The sum of exp(x[k] - maximum) along a row, in float64; out, if not empty, gets the powers. Both are flat."""
    lanes = vlanes(x)
    shift = vsplat(x, maximum)
    total = 0.0
    for begin in range(0, length, RUN):
        end = min(begin + RUN, length)
        whole = end - (end - begin) % (2 * lanes)
        sum_0 = sum_1 = vsplat(x, 0)
        for k in range(begin, whole, 2 * lanes):
            power_0 = vexp(x, vload(x, first + k) - shift)
            power_1 = vexp(x, vload(x, first + k + lanes) - shift)
            sum_0, sum_1 = sum_0 + power_0, sum_1 + power_1
            if out.size > 0:
                vstore(power_0, out, first + k)
                vstore(power_1, out, first + k + lanes)
        for k in range(whole, end, lanes):
            power = vexp(x, _load_or_lowest(x, first + k, end - k) - shift)
            sum_0 += power
            if out.size > 0:
                store_lanes(power, out, first + k, end - k)
        total += vsum(sum_0 + sum_1)
    return total


@inline
def _chunks(out, rows_per_chunk):
    return ceil_div(out.shape[0], rows_per_chunk)


@kernel(_chunks)
def softmax_forward(chunk, x, out, rows_per_chunk):
    """Softmax of every row.

    Computes   out[r, k] = exp(x[r, k] - m) / sum_l exp(x[r, l] - m), m = max_l x[r, l].
    Requires   x (rows, K) C-contiguous, K >= 1.
    Writes     out (rows, K).
    Parallel   over chunks of rows.
    Why        a row stays in the L1 cache for its three passes; exp runs once per element, on vectors. Subtracting the
               maximum changes nothing in exact arithmetic and keeps exp from overflowing.
    """
    rows, length = x.shape
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    lanes = vlanes(x)
    first = chunk * rows_per_chunk
    for r in range(first, min(first + rows_per_chunk, rows)):
        at = r * length
        total = sum_of_exponentials(flat_x, at, length, row_maximum(flat_x, at, length), flat_out)
        share = vsplat(x, 1.0 / total)
        for k in range(0, length, lanes):
            store_lanes(load_lanes(flat_out, at + k, length - k) * share, flat_out, at + k, length - k)


@kernel(_chunks)
def log_softmax_forward(chunk, x, out, rows_per_chunk):
    """Logarithm of the softmax of every row.

    Computes   out[r, k] = (x[r, k] - m) - log sum_l exp(x[r, l] - m), m = max_l x[r, l].
    Requires   x (rows, K) C-contiguous, K >= 1.
    Writes     out (rows, K).
    Parallel   over chunks of rows.
    Why        as softmax_forward. The logarithm of a finished softmax would be -inf wherever that underflows.
    """
    rows, length = x.shape
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    lanes = vlanes(x)
    first = chunk * rows_per_chunk
    for r in range(first, min(first + rows_per_chunk, rows)):
        at = r * length
        maximum = row_maximum(flat_x, at, length)
        log_total = math.log(sum_of_exponentials(flat_x, at, length, maximum, flat_out[:0]))
        shift, less = vsplat(x, maximum), vsplat(x, log_total)
        for k in range(0, length, lanes):
            value = vfenced(load_lanes(flat_x, at + k, length - k) - shift)
            store_lanes(value - less, flat_out, at + k, length - k)


@kernel(_chunks)
def softmax_grad_input(chunk, grad_out, out, grad_x, rows_per_chunk):
    """Gradient of softmax.

    Computes   grad_x[r, k] = out[r, k] * (grad_out[r, k] - sum_l grad_out[r, l] * out[r, l]).
    Requires   all (rows, K) C-contiguous; out from `softmax_forward`.
    Writes     grad_x.
    Parallel   over chunks of rows.
    Why        a row stays in the L1 cache for its two passes.
    """
    rows, length = out.shape
    flat_grad, flat_out, flat_grad_x = grad_out.reshape(-1), out.reshape(-1), grad_x.reshape(-1)
    lanes = vlanes(out)
    first = chunk * rows_per_chunk
    for r in range(first, min(first + rows_per_chunk, rows)):
        at = r * length
        total = 0.0
        for begin in range(0, length, RUN):
            run = vsplat(out, 0)
            for k in range(begin, min(begin + RUN, length), lanes):
                count = length - k
                run = vmuladd(load_lanes(flat_grad, at + k, count), load_lanes(flat_out, at + k, count), run)
            total += vsum(run)
        mean = vsplat(out, total)
        for k in range(0, length, lanes):
            count = length - k
            value = load_lanes(flat_out, at + k, count) * (load_lanes(flat_grad, at + k, count) - mean)
            store_lanes(value, flat_grad_x, at + k, count)


@kernel(_chunks)
def log_softmax_grad_input(chunk, grad_out, out, grad_x, rows_per_chunk):
    """Gradient of the logarithm of softmax.

    Computes   grad_x[r, k] = grad_out[r, k] - exp(out[r, k]) * sum_l grad_out[r, l].
    Requires   all (rows, K) C-contiguous; out from `log_softmax_forward`.
    Writes     grad_x.
    Parallel   over chunks of rows.
    Why        a row stays in the L1 cache for its two passes.
    """
    rows, length = out.shape
    flat_grad, flat_out, flat_grad_x = grad_out.reshape(-1), out.reshape(-1), grad_x.reshape(-1)
    lanes = vlanes(out)
    first = chunk * rows_per_chunk
    for r in range(first, min(first + rows_per_chunk, rows)):
        at = r * length
        total = 0.0
        for begin in range(0, length, RUN):
            run = vsplat(out, 0)
            for k in range(begin, min(begin + RUN, length), lanes):
                run += load_lanes(flat_grad, at + k, length - k)
            total += vsum(run)
        less = vsplat(out, -total)
        for k in range(0, length, lanes):
            count = length - k
            power = vexp(out, load_lanes(flat_out, at + k, count))
            store_lanes(vmuladd(power, less, load_lanes(flat_grad, at + k, count)), flat_grad_x, at + k, count)

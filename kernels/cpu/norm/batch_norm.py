"""Batch normalisation over the rows of a matrix: row = one pixel of one image, column = one channel.

A channels-last batch (N, H, W, C) is the matrix (N*H*W, C) without a copy. In memory the channels repeat every C
values, so vectors need not end where rows do: the kernels take steps of `wide` values, a multiple of C and of the
vector's length (`wide_columns`), and see any number of channels, 3 as well as 64, as full vectors.

    C = 3, VL = 4      | c0 c1 c2 c0 | c1 c2 c0 c1 | c2 c0 c1 c2 |      wide = 12: three vectors, four rows

The coefficients of the channels are given as a matrix `coefficients` of such lines, in which the channels are repeated
up to `wide`:

    0 center    1 scale    2 shift             out    = (x - center) * scale + shift
    3 scale     4 slope    5 shift             grad_x = scale * grad_out + slope * (x - center) + shift

A ReLU on top is `lowest` = 0: values that are not above `lowest` become `lowest`, and let no gradient pass. With
`lowest` = NaN, which compares false with everything, there is no ReLU. So batch norm with and without ReLU are the same
kernels, and the mask of the ReLU is not kept but computed again from x, by the same instructions.

Where a vector of coefficients or sums is used for many lines, a block of lines is processed column by column: the
vector stays in a register for all lines of the block. Each access prefetches the same place of the next block, because
the CPU's own prefetcher sees one stream for each line (benchmarks/NOTES.md, "Zen 5").

Long sums are taken in three steps: short runs in x's own precision, where a vector holds most values; the runs of a
chunk of rows in float64; the chunks in order. All of this follows from the shape, not from the number of threads.
"""

import math

import numpy as np

from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.target import STREAM_BYTES, lanes
from kernels.cpu.vector.values import (
    prefetch,
    vfma,
    vlanes,
    vless_equal,
    vload,
    vload_part,
    vselect,
    vsplat,
    vstore,
    vstore_part,
    vstream,
)
from kernels.jit import inline
from kernels.launch import kernel

RUN = 64  # values that one lane sums up in x's own precision
BLOCK = 2048  # values of x in a block: with grad_out, and with the prefetched next block, 32 KiB in L1
LEAST_WIDE = 128  # values: enough independent sums to hide the latency of an addition


def wide_columns(channels: int, itemsize: int) -> int:
    """The length of a step: the smallest multiple of the channels and the vector's length from LEAST_WIDE on."""
    wide = math.lcm(channels, lanes(itemsize))
    return wide * -(-LEAST_WIDE // wide)


@inline
def _block_size(wide):
    """The size of a block: as many whole lines as fit into BLOCK values, at least one."""
    return max(BLOCK // wide, 1) * wide


@inline
def _whole_lines(first, last, wide):
    """Where the last whole line of [first, last) ends."""
    return last - (last - first) % wide


@inline
def three_lines(coefficients, line, j):
    """The vectors from j on of three lines of coefficients: center, scale, shift or scale, slope, shift."""
    at = line * coefficients.shape[1] + j
    return (
        vload(coefficients, at),
        vload(coefficients, at + coefficients.shape[1]),
        vload(coefficients, at + 2 * coefficients.shape[1]),
    )


@inline
def normalise(x, first, last, coefficients, lowest, out, out_first):
    """out = (x - center) * scale + shift, not below `lowest`, for x[first:last], which begins with channel 0."""
    lanes = vlanes(x)
    wide = coefficients.shape[1]
    limit, stream = vsplat(x, lowest), out.size * out.itemsize >= STREAM_BYTES
    whole = _whole_lines(first, last, wide)
    to = out_first - first
    for block in range(first, whole, _block_size(wide)):
        for j in range(0, wide, lanes):
            center, scale, shift = three_lines(coefficients, 0, j)
            for at in range(block + j, min(block + _block_size(wide), whole), wide):
                prefetch(x, at + BLOCK)
                value = vfma(vload(x, at) - center, scale, shift)
                vstream(vselect(vless_equal(value, limit), limit, value), out, at + to, stream)
    for j in range(0, last - whole, lanes):
        count = min(lanes, last - whole - j)
        center, scale, shift = three_lines(coefficients, 0, j)
        value = vfma(vload_part(x, whole + j, count) - center, scale, shift)
        vstore_part(vselect(vless_equal(value, limit), limit, value), out, whole + j + to, count)


@inline
def add_gradients(x, first, last, grad_out, grad_first, coefficients, lowest, sums):
    """sums[0] += g and sums[1] += g * (x - center) for x[first:last]; g is grad_out where the ReLU lets it pass."""
    lanes = vlanes(x)
    wide = coefficients.shape[1]
    limit, zero = vsplat(x, lowest), vsplat(x, x.dtype.type(0))
    whole = _whole_lines(first, last, wide)
    to = grad_first - first
    for block in range(first, whole, _block_size(wide)):
        for j in range(0, wide, lanes):
            center, scale, shift = three_lines(coefficients, 0, j)
            total, product = vload(sums, j), vload(sums, wide + j)
            for at in range(block + j, min(block + _block_size(wide), whole), wide):
                prefetch(x, at + BLOCK)
                prefetch(grad_out, at + to + BLOCK)
                deviation = vload(x, at) - center
                value = vfma(deviation, scale, shift)
                gradient = vselect(vless_equal(value, limit), zero, vload(grad_out, at + to))
                total = total + gradient
                product = vfma(gradient, deviation, product)
            vstore(total, sums, j)
            vstore(product, sums, wide + j)
    for j in range(0, last - whole, lanes):  # lanes that are not loaded must add 0: there the center is 0, too
        count = min(lanes, last - whole - j)
        _, scale, shift = three_lines(coefficients, 0, j)
        deviation = vload_part(x, whole + j, count) - vload_part(coefficients, j, count)
        value = vfma(deviation, scale, shift)
        gradient = vselect(vless_equal(value, limit), zero, vload_part(grad_out, whole + j + to, count))
        vstore(vload(sums, j) + gradient, sums, j)
        vstore(vfma(gradient, deviation, vload(sums, wide + j)), sums, wide + j)


@inline
def _combined(deviation, gradient, coefficients, j, limit, zero, frozen):
    """One vector of grad_x, for the places from j on of a line."""
    _, scale, shift = three_lines(coefficients, 0, j)
    gradient = vselect(vless_equal(vfma(deviation, scale, shift), limit), zero, gradient)
    scale, slope, shift = three_lines(coefficients, 3, j)
    if frozen:
        return scale * gradient
    return vfma(scale, gradient, vfma(slope, deviation, shift))


@inline
def combine_gradients(x, first, last, grad_out, grad_first, coefficients, lowest, frozen, grad_x):
    """grad_x[first:last] from the sums' coefficients; `frozen` statistics do not depend on x and leave scale * g."""
    lanes = vlanes(x)
    wide = coefficients.shape[1]
    limit, zero = vsplat(x, lowest), vsplat(x, x.dtype.type(0))
    stream = grad_x.size * grad_x.itemsize >= STREAM_BYTES
    to = grad_first - first
    for block in range(first, last, wide):
        count = min(wide, last - block)
        full = count // lanes * lanes
        for j in range(0, full, lanes):
            at = block + j
            prefetch(x, at + BLOCK)
            prefetch(grad_out, at + to + BLOCK)
            deviation = vload(x, at) - vload(coefficients, j)
            gradient = vload(grad_out, at + to)
            vstream(_combined(deviation, gradient, coefficients, j, limit, zero, frozen), grad_x, at, stream)
        if full < count:
            at, rest = block + full, count - full
            deviation = vload_part(x, at, rest) - vload(coefficients, full)
            gradient = vload_part(grad_out, at + to, rest)
            vstore_part(_combined(deviation, gradient, coefficients, full, limit, zero, frozen), grad_x, at, rest)


@inline
def add_run(run, totals):
    """Move the sums of a run to the float64 sums and begin a new one."""
    for i in range(run.shape[0]):
        for j in range(run.shape[1]):
            totals[i, j] += run[i, j]
            run[i, j] = 0


@inline
def fold(totals, channels):
    """Add up the repetitions of each channel; the sums are then in the first `channels` places."""
    for j in range(channels, totals.shape[0]):
        totals[j % channels] += totals[j]


@inline
def _add_powers(x, first, last, center, squared, sums):
    """sums[0] += x - center for x[first:last], or the square of that."""
    lanes = vlanes(x)
    wide = center.shape[0]
    whole = _whole_lines(first, last, wide)
    for block in range(first, whole, _block_size(wide)):
        for j in range(0, wide, lanes):
            total, origin = vload(sums, j), vload(center, j)
            for at in range(block + j, min(block + _block_size(wide), whole), wide):
                prefetch(x, at + BLOCK)
                total = _with_power(vload(x, at) - origin, squared, total)
            vstore(total, sums, j)
    for j in range(0, last - whole, lanes):
        count = min(lanes, last - whole - j)
        deviation = vload_part(x, whole + j, count) - vload_part(center, j, count)
        vstore(_with_power(deviation, squared, vload(sums, j)), sums, j)


@inline
def _with_power(deviation, squared, total):
    """total + deviation, or total + deviation^2."""
    return vfma(deviation, deviation, total) if squared else total + deviation


@inline
def _chunks(x, rows_per_chunk):
    return ceil_div(x.shape[0], rows_per_chunk)


@kernel(_chunks)
def batch_norm_chunk_statistics(chunk, x, workspace, rows_per_chunk):
    """Mean and sum of squared deviations of every column, for each chunk of rows.

    Computes   workspace[0, i, c] = the mean of x[r, c] over the rows r of chunk i;  workspace[1, i, c] = the sum of
               (x[r, c] - workspace[0, i, c])^2 over them.
    Requires   x (rows, C) C-contiguous, rows >= 1; workspace float64 (2, chunks, wide), where chunks =
               ceil(rows / rows_per_chunk); rows_per_chunk * C a multiple of wide.
    Writes     all of workspace; what lies behind the first C columns is scratch.
    Parallel   over chunks of rows.
    Why        x comes from memory once. A chunk fits into the L2 cache, so its deviations from its own mean are taken
               there, in a second pass, and a large mean costs no digits. In the first pass the chunk's first values
               take the place of the mean: the terms are small, and float32 suffices for short runs.
    Reference  a step of `batch_norm_statistics`.
    """
    rows, channels = x.shape
    wide = workspace.shape[2]
    first = chunk * rows_per_chunk * channels
    last = min(first + rows_per_chunk * channels, rows * channels)
    count = (last - first) // channels
    center = np.zeros(wide, x.dtype)
    run = np.zeros((1, wide), x.dtype)
    totals = workspace[:1, chunk]
    squares = workspace[1:, chunk]
    for j in range(wide):
        totals[0, j] = 0
        squares[0, j] = 0
    for j in range(min(wide, last - first)):
        value = x[first // channels + j // channels, j % channels]
        center[j] = value if value - value == 0 else 0  # from infinity everything would deviate by NaN
    for begin in range(first, last, RUN * wide):
        _add_powers(x, begin, min(begin + RUN * wide, last), center, False, run)
        add_run(run, totals)
    for j in range(wide):
        totals[0, j] += np.float64(center[j]) * ceil_div(last - first - j, wide)
    fold(totals[0], channels)
    for c in range(channels):
        totals[0, c] /= count
    for j in range(wide):
        center[j] = totals[0, j % channels]
    for begin in range(first, last, RUN * wide):
        _add_powers(x, begin, min(begin + RUN * wide, last), center, True, run)
        add_run(run, squares)
    fold(squares[0], channels)
    for c in range(channels):
        rounding = totals[0, c] - center[c]
        total = squares[0, c] - count * rounding * rounding
        squares[0, c] = 0.0 if total < 0 else total


@kernel(1)
def batch_norm_statistics(chunk, workspace, rows, rows_per_chunk, mean, variance):
    """Mean and biased variance of every column, from those of the chunks.

    Computes   mean[c] = sum_r x[r, c] / rows;  variance[c] = sum_r (x[r, c] - mean[c])^2 / rows, from the results of
               `batch_norm_chunk_statistics`: the sum of squares is the sum over the chunks of their own sums of squares
               + own rows * (own mean - mean)^2.
    Requires   workspace as `batch_norm_chunk_statistics` wrote it; rows and rows_per_chunk as there.
    Writes     mean, variance, float64 (C,).
    Parallel   not at all: one chunk adds all others in their order.
    Why        a few numbers for each chunk and column.
    Source     T. Chan, G. Golub and R. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
               Variances" (1979).
    """
    chunks, channels = workspace.shape[1], mean.shape[0]
    for c in range(channels):
        mean[c] = 0.0
        variance[c] = 0.0
    for part in range(chunks):
        count = min(rows_per_chunk, rows - part * rows_per_chunk)
        for c in range(channels):
            mean[c] += count * workspace[0, part, c]
    for c in range(channels):
        mean[c] /= rows
    for part in range(chunks):
        count = min(rows_per_chunk, rows - part * rows_per_chunk)
        for c in range(channels):
            deviation = workspace[0, part, c] - mean[c]
            variance[c] += workspace[1, part, c] + count * deviation * deviation
    for c in range(channels):
        variance[c] /= rows


@kernel(_chunks)
def batch_norm_forward(chunk, x, coefficients, lowest, out, rows_per_chunk):
    """An affine map of every column, with or without a ReLU on top.

    Computes   out[r, c] = (x[r, c] - center[c]) * scale[c] + shift[c]; `lowest` where that is not above `lowest`.
    Requires   x (rows, C) C-contiguous; coefficients (3 or more, wide), C-contiguous, and lowest of its dtype;
               rows_per_chunk * C a multiple of wide.
    Writes     out (rows, C).
    Parallel   over chunks of rows.
    Why        one read, one write. x - center is exact for x near the mean, so that a large mean costs no digits,
               and the subtraction is free beside the memory traffic.
    """
    rows, channels = x.shape
    first = chunk * rows_per_chunk * channels
    last = min(first + rows_per_chunk * channels, rows * channels)
    normalise(x, first, last, coefficients, lowest, out, first)


@kernel(_chunks)
def batch_norm_grad_sums(chunk, x, grad_out, coefficients, lowest, workspace, rows_per_chunk):
    """The two sums per column that all gradients of batch norm need, for each chunk of rows.

    Computes   workspace[0, i, c] = sum_r g[r, c];  workspace[1, i, c] = sum_r g[r, c] * (x[r, c] - center[c]) over the
               rows r of chunk i, where g is grad_out, but 0 where (x - center) * scale + shift is not above `lowest`.
    Requires   x, grad_out (rows, C) C-contiguous; coefficients and lowest as for `batch_norm_forward`; workspace
               float64 (2, chunks, wide).
    Writes     all of workspace; what lies behind the first C columns is scratch.
    Parallel   over chunks of rows; `sum_chunks` adds them.
    Why        both sums in one reading of x and grad_out, and the gradient of the ReLU in the same reading.
    """
    rows, channels = x.shape
    wide = workspace.shape[2]
    first = chunk * rows_per_chunk * channels
    last = min(first + rows_per_chunk * channels, rows * channels)
    run = np.zeros((2, wide), x.dtype)
    totals = workspace[:, chunk]
    for j in range(wide):
        totals[0, j] = 0
        totals[1, j] = 0
    for begin in range(first, last, RUN * wide):
        end = min(begin + RUN * wide, last)
        add_gradients(x, begin, end, grad_out, begin, coefficients, lowest, run)
        add_run(run, totals)
    fold(totals[0], channels)
    fold(totals[1], channels)


@kernel(_chunks)
def batch_norm_grad_input(chunk, x, grad_out, coefficients, lowest, frozen, grad_x, rows_per_chunk):
    """The gradient of the input, as a map of grad_out and x that is affine in every column.

    Computes   grad_x[r, c] = scale[c] * g[r, c] + slope[c] * (x[r, c] - center[c]) + shift[c], with g as in
               `batch_norm_grad_sums`; only the first term if the statistics are `frozen`.
    Requires   x, grad_out (rows, C) C-contiguous; coefficients (6, wide), lowest and rows_per_chunk as for
               `batch_norm_forward`.
    Writes     grad_x (rows, C).
    Parallel   over chunks of rows.
    Why        two reads, one write; all that is constant in a column is in the coefficients.
    """
    rows, channels = x.shape
    first = chunk * rows_per_chunk * channels
    last = min(first + rows_per_chunk * channels, rows * channels)
    combine_gradients(x, first, last, grad_out, first, coefficients, lowest, frozen, grad_x)

"""Batch normalisation over the rows of a matrix: row = one pixel of one image, column = one channel.

A channels-last batch (N, H, W, C) is the matrix (N*H*W, C) without a copy. A block has 32 columns and 8 rows of
threads: a warp reads 32 neighbours, and the values of a channel stay in the registers of its threads.

A ReLU on top is `lowest` = 0: values that are not above `lowest` become `lowest`, and let no gradient pass. With
`lowest` = NaN, which compares false with everything, there is no ReLU. The mask of the ReLU is not kept but computed
again from x, by the same instructions.

Every sum is taken in three steps, in an order that follows from the shape alone: a thread's own rows, one after
another; a tree of the block's eight threads for each column; the parts of the rows, in their order.
"""

from __future__ import annotations

import math

from kernels.cuda.jit import Count, Floats, Number, cuda, device, f32, kernel, u32
from kernels.cuda.reduce import COLUMNS, ROWS, THREADS, tree_sum


@device
def _place(rows, rows_per_part):
    """This thread's column, its first row, and the end of its block's rows."""
    thread = u32(cuda.threadIdx.x)
    first = u32(u32(cuda.blockIdx.y) * rows_per_part)
    last = u32(first + rows_per_part)
    column = u32(u32(cuda.blockIdx.x) * u32(COLUMNS) + thread % u32(COLUMNS))
    return column, u32(first + thread // u32(COLUMNS)), last if last < rows else rows


@device
def _joined(count, mean, square, other_count, other_mean, other_square):
    """Count, mean and sum of squared deviations of two sets of values together."""
    total = count + other_count
    if total == f32(0):
        return total, mean, square
    deviation = other_mean - mean
    share = other_count / total
    return total, mean + deviation * share, square + other_square + deviation * deviation * count * share


@kernel(threads=THREADS, registers=40, shared=12 * THREADS)
def batch_norm_statistics(x: Floats, means: Floats, squares: Floats, rows: Count, columns: Count, rows_per_part: Count):
    """Mean and squared deviations of every column, in parts.

    Computes   means[p, c] = the mean of x[r, c] over the rows r of part p;
               squares[p, c] = sum of (x[r, c] - means[p, c])^2 over them.
    Requires   x (rows, columns), means and squares (ceil(rows / rows_per_part), columns), to be joined by
               `join_statistics`.
    Writes     all of means and squares.
    Parallel   over columns by 32 and parts: grid (ceil(columns / 32), parts).
    Why        x is read once. Each thread updates its mean with every row, so that a large mean costs no digits
               (Welford 1962); threads are joined in a tree (Chan, Golub & LeVeque 1979).
    """
    counts = cuda.shared.array(THREADS, f32)
    own_means = cuda.shared.array(THREADS, f32)
    own_squares = cuda.shared.array(THREADS, f32)
    thread = u32(cuda.threadIdx.x)
    column, row, last = _place(rows, rows_per_part)
    count, mean, square = f32(0), f32(0), f32(0)
    if column < columns:
        while row < last:
            value = x[u32(row * columns + column)]
            count += f32(1)
            deviation = value - mean
            mean += deviation / count
            square += deviation * (value - mean)
            row = u32(row + u32(ROWS))
    counts[thread], own_means[thread], own_squares[thread] = count, mean, square
    half = u32(THREADS // 2)
    while half >= u32(COLUMNS):
        cuda.syncthreads()
        if thread < half:
            other = u32(thread + half)
            count, mean, square = _joined(count, mean, square, counts[other], own_means[other], own_squares[other])
            counts[thread], own_means[thread], own_squares[thread] = count, mean, square
        half = u32(half // u32(2))
    if thread < u32(COLUMNS) and column < columns:
        at = u32(u32(cuda.blockIdx.y) * columns + column)
        means[at], squares[at] = mean, square


@kernel(threads=THREADS, registers=40)
def join_statistics(
    means: Floats, squares: Floats, mean: Floats, variance: Floats, running_mean: Floats, running_var: Floats,
    rows: Count, columns: Count, rows_per_part: Count, momentum: Number,
):  # fmt: skip
    """Mean and variance of every column from those of its parts, and the running statistics from them.

    Computes   mean[c], and variance[c] = sum of all squared deviations / rows;
               running = running + momentum * (new - running), with new = mean, or variance * rows / (rows - 1).
    Requires   means and squares from `batch_norm_statistics`; running_mean and running_var (columns), or empty.
    Writes     mean, variance (columns), running_mean, running_var.
    Parallel   over columns: grid ceil(columns / 256).
    Why        the running statistics never leave the device.
    Reference  a step of `batch_norm_statistics`.
    """
    c = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if c < columns:
        count, center, square = f32(0), f32(0), f32(0)
        first, part = u32(0), u32(0)
        while first < rows:
            left = u32(rows - first)
            here = f32(left if left < rows_per_part else rows_per_part)
            at = u32(part * columns + c)
            count, center, square = _joined(count, center, square, here, means[at], squares[at])
            first, part = u32(first + rows_per_part), u32(part + u32(1))
        mean[c] = center
        variance[c] = square / count
        if running_mean.size > 0:
            running_mean[c] += momentum * (center - running_mean[c])
            running_var[c] += momentum * (square / (count - f32(1)) - running_var[c])


@kernel(threads=THREADS, registers=40)
def batch_norm_forward(
    x: Floats, mean: Floats, variance: Floats, weight: Floats, bias: Floats, out: Floats,
    rows: Count, columns: Count, rows_per_part: Count, eps: Number, lowest: Number,
):  # fmt: skip
    """Normalise every column, with or without a ReLU on top.

    Computes   out[r, c] = (x[r, c] - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]; `lowest` where
               that is not above `lowest`.
    Requires   x, out (rows, columns); mean, variance, weight, bias (columns).
    Writes     out; it may be x.
    Parallel   over columns by 32 and parts of the rows: grid (ceil(columns / 32), ceil(rows / rows_per_part)).
    Why        one read, one write; a thread takes its channel's root once. x - mean comes first: for a large mean
               x * scale + shift would lose the digits that matter.
    """
    column, row, last = _place(rows, rows_per_part)
    if column < columns:
        center, factor, shift = mean[column], weight[column], bias[column]
        invstd = f32(1) / f32(math.sqrt(variance[column] + eps))
        while row < last:
            at = u32(row * columns + column)
            value = (x[at] - center) * invstd * factor + shift
            out[at] = lowest if value <= lowest else value
            row = u32(row + u32(ROWS))


@kernel(threads=THREADS, registers=48, shared=8 * THREADS)
def batch_norm_grad_sums(
    x: Floats, grad_out: Floats, mean: Floats, variance: Floats, weight: Floats, bias: Floats, partials: Floats,
    rows: Count, columns: Count, rows_per_part: Count, eps: Number, lowest: Number,
):  # fmt: skip
    """The two sums per column that all gradients of batch norm need, those of bias and weight, in parts.

    Computes   partials[p, 0, c] = sum of g[r, c] over the rows of part p, and partials[p, 1, c] = sum of g[r, c] *
               (x[r, c] - mean[c]) / sqrt(variance[c] + eps); g is grad_out, but 0 where the output is not above
               `lowest`.
    Requires   x, grad_out (rows, columns); partials (ceil(rows / rows_per_part), 2, columns), to be added by
               `sum_parts`.
    Writes     all of partials.
    Parallel   over columns by 32 and parts: grid (ceil(columns / 32), parts).
    Why        both sums in one reading of x and grad_out, and the gradient of the ReLU in the same reading.
    """
    shifts = cuda.shared.array(THREADS, f32)
    scales = cuda.shared.array(THREADS, f32)
    thread = u32(cuda.threadIdx.x)
    column, row, last = _place(rows, rows_per_part)
    total, product = f32(0), f32(0)
    if column < columns:
        center, factor, shift = mean[column], weight[column], bias[column]
        invstd = f32(1) / f32(math.sqrt(variance[column] + eps))
        while row < last:
            at = u32(row * columns + column)
            normalised = (x[at] - center) * invstd
            g = f32(0) if normalised * factor + shift <= lowest else grad_out[at]
            total += g
            product += g * normalised
            row = u32(row + u32(ROWS))
    shifts[thread], scales[thread] = total, product
    tree_sum(shifts, thread, u32(COLUMNS))
    tree_sum(scales, thread, u32(COLUMNS))
    if thread < u32(COLUMNS) and column < columns:
        at = u32(u32(cuda.blockIdx.y) * u32(2) * columns + column)
        partials[at] = shifts[thread]
        partials[u32(at + columns)] = scales[thread]


@kernel(threads=THREADS, registers=48)
def batch_norm_grad_input(
    x: Floats, grad_out: Floats, mean: Floats, variance: Floats, weight: Floats, bias: Floats, sums: Floats,
    grad_x: Floats, rows: Count, columns: Count, rows_per_part: Count, eps: Number, lowest: Number, frozen: Count,
):  # fmt: skip
    """The gradient of the input.

    Computes   grad_x[r, c] = scale[c] * (g[r, c] - sums[0, c] / rows - y[r, c] * sums[1, c] / rows), with
               y = (x - mean) / sqrt(variance + eps), scale = weight / sqrt(variance + eps) and g as in
               `batch_norm_grad_sums`; only scale * g if the statistics are `frozen`.
    Requires   x, grad_out, grad_x (rows, columns); sums (2, columns), the gradients of bias and weight.
    Writes     grad_x; it may be grad_out.
    Parallel   over columns by 32 and parts of the rows: grid (ceil(columns / 32), ceil(rows / rows_per_part)).
    Why        two reads, one write; all that is constant in a column stays in registers.
    Source     Ioffe & Szegedy (2015), section 3.
    """
    column, row, last = _place(rows, rows_per_part)
    if column < columns:
        center, factor, shift = mean[column], weight[column], bias[column]
        invstd = f32(1) / f32(math.sqrt(variance[column] + eps))
        share = f32(0) if frozen != u32(0) else f32(1) / f32(rows)
        level, slope = sums[column] * share, sums[u32(columns + column)] * share
        while row < last:
            at = u32(row * columns + column)
            normalised = (x[at] - center) * invstd
            g = f32(0) if normalised * factor + shift <= lowest else grad_out[at]
            grad_x[at] = factor * invstd * (g - level - normalised * slope)
            row = u32(row + u32(ROWS))

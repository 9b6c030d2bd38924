"""Batch normalisation, ReLU and max pooling in one pass, forward and backward: the normalised image is never written.

Between the convolution's output x and the pooled image there are two images of x's size, the normalised one and the
rectified one, that only the next operation reads. Here they exist one vector at a time. The backward pass computes them
again from x, which batch norm keeps anyway, and the gradient that the pooling distributes over its windows exists one
row of pixels at a time, in the L1 cache.

Coefficients and `lowest` are those of `kernels.cpu.norm.batch_norm`, tables of windows and the meaning of positions
those of `kernels.cpu.pool`, with two differences: positions are bytes whose channels are padded to whole vectors, and a
position is NOWHERE where the ReLU lets no gradient pass. (ReLU is monotonic, so it may come after the maximum: the
values are the same, and where the maxima differ in position, below 0, no gradient passes.)
"""

import numpy as np

from kernels.cpu.norm.batch_norm import RUN, add_gradients, add_run, combine_gradients, fold, three_lines
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.target import lanes
from kernels.cpu.vector.values import (
    prefetch,
    vequal,
    vfma,
    vgreater,
    vis_nan,
    vlanes,
    vless_equal,
    vload,
    vload_bytes,
    vload_part,
    vselect,
    vsplat,
    vstore,
    vstore_bytes,
    vstore_part,
)
from kernels.jit import inline
from kernels.launch import kernel

NOWHERE = 255  # so a window may have up to 255 taps


def position_channels(channels: int, itemsize: int) -> int:
    """The channels of `positions`, padded to whole vectors."""
    return -(-channels // lanes(itemsize)) * lanes(itemsize)


@inline
def _taps(start, stop, dilation):
    """How many taps a window has along an axis; a division would take as long as a whole window of vectors."""
    count = max(stop - start, 0)
    return count if dilation == 1 else ceil_div(count, dilation)


@inline
def _load(array, at, count):
    """A vector whose first `count` lanes are loaded; the others may be 0."""
    if count >= vlanes(array):
        return vload(array, at)
    return vload_part(array, at, count)


@inline
def _store(value, array, at, count):
    if count >= vlanes(array):
        vstore(value, array, at)
    else:
        vstore_part(value, array, at, count)


@inline
def _out_rows(out):
    return out.shape[0] * out.shape[1]


@kernel(_out_rows)
def batch_norm_max_pool2d_forward(
    chunk, x, coefficients, lowest, out, positions, h_start, h_stop, w_start, w_stop, dil_h, dil_w, k_w
):  # fmt: skip
    """The largest normalised value of every window, and its position.

    Computes   out and positions of `max_pool2d_forward` for (x - center) * scale + shift, not below `lowest`;
               positions are NOWHERE where the value is not above `lowest`.
    Requires   x (N, H, W, C) and out (N, H', W', C) C-contiguous; positions uint8 (N, H', W', position_channels), or
               empty: then they are not kept. No more than 255 taps.
    Writes     all of out and positions.
    Parallel   over the rows of out.
    Why        x is read once, out is written once, and a window's maximum and position stay in registers.
    Reference  `batch_norm_forward`, then `max_pool2d_forward`.
    """
    h_in, w_in, channels = x.shape[1], x.shape[2], x.shape[3]
    h_out, w_out = out.shape[1], out.shape[2]
    keep_positions = positions.size > 0
    lanes = vlanes(x)
    i, oh = chunk // h_out, chunk % h_out
    rows = _taps(h_start[oh], h_stop[oh], dil_h)
    zero, one = vsplat(x, x.dtype.type(0)), vsplat(x, x.dtype.type(1))
    nowhere, lowest_value = vsplat(x, x.dtype.type(NOWHERE)), vsplat(x, x.dtype.type(-np.inf))
    for ow in range(w_out):
        columns = _taps(w_start[ow], w_stop[ow], dil_w)
        limit = vsplat(x, lowest if rows * columns else x.dtype.type(np.nan))  # a maximum of nothing stays -inf
        pixel = chunk * w_out + ow
        for j in range(0, channels, lanes):
            count = channels - j
            center, scale, shift = three_lines(coefficients, 0, j)
            largest, position = lowest_value, zero
            row_number = zero
            for r in range(rows):
                at = ((i * h_in + h_start[oh] + r * dil_h) * w_in + w_start[ow]) * channels + j
                number = row_number
                for s in range(columns):
                    value = vfma(_load(x, at + s * dil_w * channels, count) - center, scale, shift)
                    larger = vgreater(value, largest) | vis_nan(value)
                    largest = vselect(larger, value, largest)
                    position = vselect(larger, number, position)
                    number = number + one
                row_number = row_number + vsplat(x, x.dtype.type(k_w))
            stopped = vless_equal(largest, limit)
            _store(vselect(stopped, limit, largest), out, pixel * channels + j, count)
            if keep_positions:
                vstore_bytes(vselect(stopped, nowhere, position), positions, pixel * positions.shape[3] + j)


@inline
def _row_length(size, lanes):
    """Whole vectors, and one more: the last pixel's vectors may end beyond the row."""
    return (size // lanes + 2) * lanes


@inline
def _collect_row(
    grad_out, positions, x, i, h, row, channels, h_start, w_start, w_stop, oh_start, oh_stop, dil_h, dil_w, k_w, once
):  # fmt: skip
    """row[w * channels + c] = the gradient that the windows send to pixel (i, h, w).

    `once`: every column lies in exactly one window. Prefetches the same row of x, which the caller reads next.
    """
    lanes = vlanes(row)
    h_out, w_out = grad_out.shape[1], grad_out.shape[2]
    next_row = (i * x.shape[1] + h) * x.shape[2] * channels
    zero, one = vsplat(row, row.dtype.type(0)), vsplat(row, row.dtype.type(1))
    only = once and oh_stop[h] - oh_start[h] == 1 and dil_h == 1
    if not only:
        for at in range(0, row.shape[0], lanes):
            vstore(zero, row, at)
    for oh in range(oh_start[h], oh_stop[h]):
        r = (h - h_start[oh]) // dil_h
        if h_start[oh] + r * dil_h == h:
            number = vsplat(row, row.dtype.type(r * k_w))
            for ow in range(w_out):
                taps = _taps(w_start[ow], w_stop[ow], dil_w)
                at, pixel = w_start[ow] * channels, (i * h_out + oh) * w_out + ow
                for j in range(0, channels, lanes):
                    gradient = _load(grad_out, pixel * channels + j, channels - j)
                    position = vload_bytes(positions, pixel * positions.shape[3] + j, gradient)
                    place = at + j
                    tap = number
                    for _ in range(taps):
                        prefetch(x, next_row + place)
                        here = vselect(vequal(position, tap), gradient, zero)
                        if only:
                            _store(here, row, place, channels - j)
                        else:
                            vstore(vload(row, place) + here, row, place)  # beyond the channels it adds 0
                        place += dil_w * channels
                        tap = tap + one


@inline
def _chunks(x, rows_per_chunk):
    return ceil_div(x.shape[0] * x.shape[1], rows_per_chunk)


@kernel(_chunks)
def batch_norm_max_pool2d_grad_sums(
    chunk, x, grad_out, positions, coefficients, workspace, rows_per_chunk,
    h_start, w_start, w_stop, oh_start, oh_stop, dil_h, dil_w, k_w, once,
):  # fmt: skip
    """The two sums per channel that all gradients of batch norm need, where a max pooling follows, for each chunk.

    Computes   the workspace of `batch_norm_grad_sums` for g = max_pool2d_grad_input(grad_out, positions).
    Requires   x (N, H, W, C), grad_out (N, H', W', C), positions as written by the forward kernel, all C-contiguous;
               workspace float64 (2, chunks, wide), chunks = ceil(N * H / rows_per_chunk);
               `once`: every column of x lies in exactly one window.
    Writes     all of workspace; what lies behind the first C columns is scratch.
    Parallel   over chunks of rows of pixels; `sum_chunks` adds them.
    Why        reads x once and the pooled gradient as often as windows overlap a row; g is a row in the L1 cache.
    Reference  `max_pool2d_grad_input`, then `batch_norm_grads`.
    """
    n, h_in, w_in, channels = x.shape
    wide = workspace.shape[2]
    row = np.zeros(_row_length(w_in * channels, vlanes(x)), x.dtype)
    run = np.zeros((2, wide), x.dtype)
    totals = workspace[:, chunk]
    for j in range(wide):
        totals[0, j] = 0
        totals[1, j] = 0
    size = w_in * channels
    for image_row in range(chunk * rows_per_chunk, min((chunk + 1) * rows_per_chunk, n * h_in)):
        i, h = image_row // h_in, image_row % h_in
        _collect_row(
            grad_out, positions, x, i, h, row, channels,
            h_start, w_start, w_stop, oh_start, oh_stop, dil_h, dil_w, k_w, once,
        )  # fmt: skip
        first = image_row * size
        for begin in range(0, size, RUN * wide):
            end = min(begin + RUN * wide, size)
            add_gradients(x, first + begin, first + end, row, begin, coefficients, x.dtype.type(np.nan), run)
            add_run(run, totals)
    fold(totals[0], channels)
    fold(totals[1], channels)


@kernel(_chunks)
def batch_norm_max_pool2d_grad_input(
    chunk, x, grad_out, positions, coefficients, frozen, grad_x, rows_per_chunk,
    h_start, w_start, w_stop, oh_start, oh_stop, dil_h, dil_w, k_w, once,
):  # fmt: skip
    """The gradient of the input of batch norm, where a max pooling follows.

    Computes   grad_x of `batch_norm_grad_input` for g = max_pool2d_grad_input(grad_out, positions).
    Requires   as for `batch_norm_max_pool2d_grad_sums`; coefficients (6, wide).
    Writes     all of grad_x.
    Parallel   over chunks of rows of pixels.
    Why        reads x once, writes grad_x once; g is a row in the L1 cache.
    Reference  `max_pool2d_grad_input`, then `batch_norm_grads`.
    """
    n, h_in, w_in, channels = x.shape
    row = np.zeros(_row_length(w_in * channels, vlanes(x)), x.dtype)
    size = w_in * channels
    for image_row in range(chunk * rows_per_chunk, min((chunk + 1) * rows_per_chunk, n * h_in)):
        i, h = image_row // h_in, image_row % h_in
        _collect_row(
            grad_out, positions, x, i, h, row, channels,
            h_start, w_start, w_stop, oh_start, oh_stop, dil_h, dil_w, k_w, once,
        )  # fmt: skip
        first = image_row * size
        combine_gradients(
            x, first, first + size, row, 0, coefficients, x.dtype.type(np.nan), frozen, grad_x,
        )  # fmt: skip

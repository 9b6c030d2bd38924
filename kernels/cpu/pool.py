"""Pooling kernels: the maximum and the average of windows, and their gradients.

A window is a box: rows h_start[oh], h_start[oh] + dil_h, ... below h_stop[oh], and columns likewise. These tables are
already clipped to the image, so no kernel here knows of strides, padding or rounding, and ordinary and adaptive pooling
are the same kernels. Windows follow each other along an axis, so those that reach over input row h are neighbours:
oh_start[h] to oh_stop[h] - 1, and ow_start[w] to ow_stop[w] - 1 over column w. With dilation a window may step over a
row that it reaches over.

The lanes of a vector are channels, which are neighbours in memory: one comparison or addition works on VL channels, and
the result of a window stays in a register until it is written, once. Two vectors are taken through the taps together,
which halves the cost of counting taps; the last two of a pixel overlap those before them if the channels do not fill
whole pairs of vectors. Fewer channels than two vectors are processed one vector at a time, the last one in part.
"""

import numpy as np

from kernels.cpu.vector.integers import (
    load_integer_lanes,
    store_integer_lanes,
    viequal,
    viload,
    visplat,
    vistore,
)
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import load_lanes, store_lanes, vexceeds, vlanes, vload, vmuladd, vselect, vsplat, vstore
from kernels.jit import inline
from kernels.launch import kernel

# A sum of up to this many taps is taken in one register, in the dtype of x. More taps are summed in runs of this
# length.
RUN = 16
# Channels that one chunk of a large average sums up: 4 KiB in float64 and 2 KiB of a run stay in the L1 cache.
CHANNEL_BLOCK = 512


@inline
def _largest_of_two(x, first, rows, row_step, columns, column_step, k_w):
    """The largest values of a window and their positions, for two vectors of channels; x is flat."""
    lanes = vlanes(x)
    one = visplat(x, 1)
    largest_0 = largest_1 = vsplat(x, -np.inf)
    place_0 = place_1 = visplat(x, 0)
    for r in range(rows):
        at = first + r * row_step
        place = visplat(x, r * k_w)
        for _ in range(columns):
            value_0, value_1 = vload(x, at), vload(x, at + lanes)
            exceeds_0, exceeds_1 = vexceeds(value_0, largest_0), vexceeds(value_1, largest_1)
            largest_0, largest_1 = vselect(exceeds_0, value_0, largest_0), vselect(exceeds_1, value_1, largest_1)
            place_0, place_1 = vselect(exceeds_0, place, place_0), vselect(exceeds_1, place, place_1)
            place += one
            at += column_step
    return largest_0, place_0, largest_1, place_1


@inline
def _largest_of_part(x, first, rows, row_step, columns, column_step, k_w, count):
    """As `_largest_of_two`, for the first `count` lanes of one vector."""
    one = visplat(x, 1)
    largest = vsplat(x, -np.inf)
    place_of_largest = visplat(x, 0)
    for r in range(rows):
        at = first + r * row_step
        place = visplat(x, r * k_w)
        for _ in range(columns):
            value = load_lanes(x, at, count)
            exceeds = vexceeds(value, largest)
            largest = vselect(exceeds, value, largest)
            place_of_largest = vselect(exceeds, place, place_of_largest)
            place += one
            at += column_step
    return largest, place_of_largest


@inline
def _rows(out):
    return out.shape[0] * out.shape[1]


@kernel(_rows)
def max_pool2d_forward(chunk, x, out, positions, h_start, h_stop, w_start, w_stop, dil_h, dil_w, k_w):
    """The largest value of every window, and its position.

    Computes   out[n, oh, ow, c] = max over the window's taps (r, s) of
               x[n, h_start[oh] + r * dil_h, w_start[ow] + s * dil_w, c], and positions[n, oh, ow, c] = r * k_w + s of
               that tap. Of equal values the first counts, of NaNs (larger than any number) the last, as in torch. A
               window without taps has -inf and position 0.
    Requires   x (N, H, W, C) and out (N, H', W', C) C-contiguous; positions like out, of an integer type that holds
               every r * k_w + s, or empty, to keep none.
    Writes     all of out and positions.
    Parallel   over the rows of out.
    Why        the maximum and its place stay in registers while the taps are compared, a vector of channels at a time.
    """
    _, h_in, w_in, c_in = x.shape
    h_out, w_out = out.shape[1], out.shape[2]
    flat_x, flat_out, flat_positions = x.reshape(-1), out.reshape(-1), positions.reshape(-1)
    lanes = vlanes(x)
    keep_positions = positions.size > 0
    row_step, column_step = dil_h * w_in * c_in, dil_w * c_in
    i, oh = chunk // h_out, chunk % h_out
    rows = ceil_div(h_stop[oh] - h_start[oh], dil_h)
    for ow in range(w_out):
        columns = w_stop[ow] - w_start[ow]
        if dil_w > 1:
            columns = ceil_div(columns, dil_w)
        first = ((i * h_in + h_start[oh]) * w_in + w_start[ow]) * c_in
        to = (chunk * w_out + ow) * c_in
        if c_in >= 2 * lanes:
            for block in range(0, c_in, 2 * lanes):
                c = min(block, c_in - 2 * lanes)
                largest_0, place_0, largest_1, place_1 = _largest_of_two(
                    flat_x, first + c, rows, row_step, columns, column_step, k_w
                )
                vstore(largest_0, flat_out, to + c)
                vstore(largest_1, flat_out, to + c + lanes)
                if keep_positions:
                    vistore(place_0, flat_positions, to + c)
                    vistore(place_1, flat_positions, to + c + lanes)
        else:
            for c in range(0, c_in, lanes):
                largest, place = _largest_of_part(
                    flat_x, first + c, rows, row_step, columns, column_step, k_w, c_in - c
                )
                store_lanes(largest, flat_out, to + c, c_in - c)
                if keep_positions:
                    store_integer_lanes(place, flat_positions, to + c, c_in - c, x)


@inline
def _most_windows(start, stop):
    """How many windows reach over one position of an axis, at most."""
    most = 0
    for i in range(start.size):
        most = max(most, stop[i] - start[i])
    return most


@inline
def _grad_rows(grad_x):
    return grad_x.shape[0] * grad_x.shape[1]


@kernel(_grad_rows)
def max_pool2d_grad_input(
    chunk, grad_out, positions, grad_x, h_start, w_start, oh_start, oh_stop, ow_start, ow_stop, dil_h, dil_w, k_w
):  # fmt: skip
    """Send the gradient of every maximum to the position of the maximum.

    Computes   grad_x[n, h, w, c] = sum of grad_out[n, oh, ow, c] over the windows (oh, ow) that hold (h, w) as their
               tap (r, s) with positions[n, oh, ow, c] = r * k_w + s.
    Requires   grad_out and positions (N, H', W', C), grad_x (N, H, W, C), all C-contiguous.
    Writes     all of grad_x.
    Parallel   over the rows of grad_x: each pixel collects from the windows above it, so no two chunks write to one
               place, and the sums are always taken in the order of the windows.
    Why        collecting compares positions for a vector of channels at a time, where scattering would address every
               channel on its own; and every value of grad_x is written once.
    """
    _, h_in, w_in, c_in = grad_x.shape
    h_out, w_out = grad_out.shape[1], grad_out.shape[2]
    flat_grad_out, flat_grad_x, flat_positions = grad_out.reshape(-1), grad_x.reshape(-1), positions.reshape(-1)
    lanes = vlanes(grad_x)
    most_rows, most_columns = _most_windows(oh_start, oh_stop), _most_windows(ow_start, ow_stop)
    i, h = chunk // h_in, chunk % h_in
    # The windows that hold (h, w): the place of each in grad_out, and which tap of the window is at (h, w).
    windows = np.empty(most_rows * most_columns, np.int64)
    taps = np.empty(most_rows * most_columns, np.int64)
    zero = vsplat(grad_x, 0)
    for w in range(w_in):
        held = 0
        for oh in range(oh_start[h], oh_stop[h]):
            r = (h - h_start[oh]) // dil_h if dil_h > 1 else h - h_start[oh]
            for ow in range(ow_start[w], ow_stop[w]):
                s = (w - w_start[ow]) // dil_w if dil_w > 1 else w - w_start[ow]
                if h_start[oh] + r * dil_h == h and w_start[ow] + s * dil_w == w:
                    windows[held] = ((i * h_out + oh) * w_out + ow) * c_in
                    taps[held] = r * k_w + s
                    held += 1
        to = (chunk * w_in + w) * c_in
        if c_in >= 2 * lanes:
            for block in range(0, c_in, 2 * lanes):
                c = min(block, c_in - 2 * lanes)
                total_0 = total_1 = zero
                for k in range(held):
                    tap, at = visplat(grad_x, taps[k]), windows[k] + c
                    here_0 = viequal(viload(flat_positions, at, grad_x), tap)
                    here_1 = viequal(viload(flat_positions, at + lanes, grad_x), tap)
                    total_0 += vselect(here_0, vload(flat_grad_out, at), zero)
                    total_1 += vselect(here_1, vload(flat_grad_out, at + lanes), zero)
                vstore(total_0, flat_grad_x, to + c)
                vstore(total_1, flat_grad_x, to + c + lanes)
        else:
            for c in range(0, c_in, lanes):
                total = zero
                for k in range(held):
                    place = load_integer_lanes(flat_positions, windows[k] + c, c_in - c, grad_x)
                    here = viequal(place, visplat(grad_x, taps[k]))
                    total += vselect(here, load_lanes(flat_grad_out, windows[k] + c, c_in - c), zero)
                store_lanes(total, flat_grad_x, to + c, c_in - c)


@inline
def _sum_of_window(x, first, rows, row_step, columns, column_step, out, to, c_first, c_end, divisor):
    """out[to + c] = (sum of x[first + c] and what lies steps apart) / divisor, for channels c_first to c_end - 1."""
    lanes = vlanes(x)
    share = vsplat(x, 1.0 / divisor)
    if c_end - c_first >= 2 * lanes:
        for block in range(c_first, c_end, 2 * lanes):
            c = min(block, c_end - 2 * lanes)
            total_0 = total_1 = vsplat(x, 0)
            for r in range(rows):
                at = first + r * row_step + c
                for _ in range(columns):
                    total_0 += vload(x, at)
                    total_1 += vload(x, at + lanes)
                    at += column_step
            vstore(total_0 * share, out, to + c)
            vstore(total_1 * share, out, to + c + lanes)
    else:
        for c in range(c_first, c_end, lanes):
            total = vsplat(x, 0)
            for r in range(rows):
                at = first + r * row_step + c
                for _ in range(columns):
                    total += load_lanes(x, at, c_end - c)
                    at += column_step
            store_lanes(total * share, out, to + c, c_end - c)


@inline
def _blocks(x, out):
    return out.shape[0] * out.shape[1] * ceil_div(x.shape[3], CHANNEL_BLOCK)


@kernel(_blocks)
def avg_pool2d_forward(chunk, x, out, h_start, h_stop, h_count, w_start, w_stop, w_count):
    """The average of every window.

    Computes   out[n, oh, ow, c] = (sum of x[n, h, w, c] over the window) / (h_count[oh] * w_count[ow]).
    Requires   x (N, H, W, C) and out (N, H', W', C) C-contiguous.
    Writes     all of out.
    Parallel   over the rows of out and blocks of channels, so that a single window over a whole image is shared too.
    Why        x is read once, in order, and summed in registers. Windows of more than RUN taps add up runs of pixels,
               which are neighbours in memory, in float64: exact enough for windows of any size.
    """
    _, h_in, w_in, c_in = x.shape
    h_out, w_out = out.shape[1], out.shape[2]
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    blocks = ceil_div(c_in, CHANNEL_BLOCK)
    row, c_first = chunk // blocks, chunk % blocks * CHANNEL_BLOCK
    i, oh = row // h_out, row % h_out
    c_end = min(c_first + CHANNEL_BLOCK, c_in)
    sums, run = np.empty(CHANNEL_BLOCK, np.float64), np.empty(CHANNEL_BLOCK, x.dtype)
    rows = h_stop[oh] - h_start[oh]
    for ow in range(w_out):
        columns = w_stop[ow] - w_start[ow]
        divisor = h_count[oh] * w_count[ow]
        if rows * columns <= RUN:
            first = ((i * h_in + h_start[oh]) * w_in + w_start[ow]) * c_in
            to = (row * w_out + ow) * c_in
            _sum_of_window(flat_x, first, rows, w_in * c_in, columns, c_in, flat_out, to, c_first, c_end, divisor)
        else:
            for c in range(c_end - c_first):
                sums[c] = 0
            for h in range(h_start[oh], h_stop[oh]):
                for w in range(w_start[ow], w_stop[ow], RUN):
                    first, length = ((i * h_in + h) * w_in + w) * c_in, min(RUN, w_stop[ow] - w)
                    _sum_of_window(flat_x, first, 1, 0, length, c_in, run, -c_first, c_first, c_end, 1)
                    for c in range(c_end - c_first):
                        sums[c] += run[c]
            for c in range(c_first, c_end):
                out[i, oh, ow, c] = sums[c - c_first] / divisor


@kernel(_grad_rows)
def avg_pool2d_grad_input(chunk, grad_out, grad_x, oh_start, oh_stop, h_count, ow_start, ow_stop, w_count):
    """Distribute the gradient of every average evenly over its window.

    Computes   grad_x[n, h, w, c] = sum of grad_out[n, oh, ow, c] / (h_count[oh] * w_count[ow]) over the windows
               (oh, ow) that hold (h, w).
    Requires   grad_out (N, H', W', C) and grad_x (N, H, W, C) C-contiguous.
    Writes     all of grad_x.
    Parallel   over the rows of grad_x: each pixel collects from the windows above it, always in the same order.
    Why        a value of grad_x is summed in a register and written once.
    """
    _, h_in, w_in, c_in = grad_x.shape
    h_out, w_out = grad_out.shape[1], grad_out.shape[2]
    flat_grad_out, flat_grad_x = grad_out.reshape(-1), grad_x.reshape(-1)
    lanes = vlanes(grad_x)
    i, h = chunk // h_in, chunk % h_in
    first_window = oh_start[h]
    shares = np.empty((oh_stop[h] - first_window, w_out), grad_x.dtype)
    for oh in range(first_window, oh_stop[h]):
        for ow in range(w_out):
            shares[oh - first_window, ow] = 1.0 / (h_count[oh] * w_count[ow])
    for w in range(w_in):
        to = (chunk * w_in + w) * c_in
        if c_in >= 2 * lanes:
            for block in range(0, c_in, 2 * lanes):
                c = min(block, c_in - 2 * lanes)
                total_0 = total_1 = vsplat(grad_x, 0)
                for oh in range(oh_start[h], oh_stop[h]):
                    at = ((i * h_out + oh) * w_out + ow_start[w]) * c_in + c
                    for ow in range(ow_start[w], ow_stop[w]):
                        share = vsplat(grad_x, shares[oh - first_window, ow])
                        total_0 = vmuladd(vload(flat_grad_out, at), share, total_0)
                        total_1 = vmuladd(vload(flat_grad_out, at + lanes), share, total_1)
                        at += c_in
                vstore(total_0, flat_grad_x, to + c)
                vstore(total_1, flat_grad_x, to + c + lanes)
        else:
            for c in range(0, c_in, lanes):
                total = vsplat(grad_x, 0)
                for oh in range(oh_start[h], oh_stop[h]):
                    at = ((i * h_out + oh) * w_out + ow_start[w]) * c_in + c
                    for ow in range(ow_start[w], ow_stop[w]):
                        share = vsplat(grad_x, shares[oh - first_window, ow])
                        total = vmuladd(load_lanes(flat_grad_out, at, c_in - c), share, total)
                        at += c_in
                store_lanes(total, flat_grad_x, to + c, c_in - c)

"""Pooling: the maximum and the average of windows, and their gradients.

A window is a box: rows h_start[oh], h_start[oh] + dil_h, ... below h_stop[oh], and columns likewise. These tables are
already clipped to the image, so no kernel here knows of strides, padding or rounding, and ordinary and adaptive pooling
are the same kernels. The windows that reach over input row h are oh_start[h] to oh_stop[h] - 1, and likewise for
columns.

A thread makes one element. Neighbouring threads are neighbouring channels, so they read neighbouring memory.
"""

from __future__ import annotations

import math

from kernels.cuda.jit import Count, Floats, Integers, cuda, device, f32, i32, kernel, u32

THREADS = 256


@device
def _pixel(element, channels, width, height):
    """The image, row, column and channel of an element of a batch."""
    pixel = u32(element // channels)
    line = u32(pixel // width)
    image = u32(line // height)
    return image, u32(line - image * height), u32(pixel - line * width), u32(element - pixel * channels)


@kernel(threads=THREADS, registers=40)
def max_pool2d_forward(
    x: Floats, out: Floats, positions: Integers,
    h_start: Integers, h_stop: Integers, w_start: Integers, w_stop: Integers,
    size: Count, h_in: Count, w_in: Count, h_out: Count, w_out: Count, c_in: Count, dil_h: Count, dil_w: Count,
):  # fmt: skip
    """The largest value of every window, and its position.

    Computes   out[n, oh, ow, c] = max over the window's taps (r, s) of x[n, h, w, c], with h = h_start[oh] + r * dil_h
               and w = w_start[ow] + s * dil_w, and positions[n, oh, ow, c] = h * w_in + w of that tap. Of equal values
               the first counts, of NaNs (larger than any number) the last, as in torch. A window without taps has -inf
               and position -1.
    Requires   x (N, h_in, w_in, C), out and positions (N, h_out, w_out, C), size elements; positions may be empty, to
               keep none.
    Writes     all of out and positions.
    Parallel   over the elements of out: grid ceil(size / 256).
    Why        the maximum and its place stay in registers; overlapping windows are read from the L1 cache.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if e < size:
        n, oh, ow, c = _pixel(e, c_in, w_out, h_out)
        largest, position = f32(-math.inf), i32(-1)
        h, h_end, w_end = u32(h_start[oh]), u32(h_stop[oh]), u32(w_stop[ow])
        while h < h_end:
            w = u32(w_start[ow])
            while w < w_end:
                value = x[u32(((n * h_in + h) * w_in + w) * c_in + c)]
                if value > largest or value != value or position < i32(0):
                    largest, position = value, i32(h * w_in + w)
                w = u32(w + dil_w)
            h = u32(h + dil_h)
        out[e] = largest
        if positions.size > 0:
            positions[e] = position


@kernel(threads=THREADS, registers=40)
def max_pool2d_grad_input(
    grad_out: Floats, positions: Integers, grad_x: Floats,
    oh_start: Integers, oh_stop: Integers, ow_start: Integers, ow_stop: Integers,
    size: Count, h_in: Count, w_in: Count, h_out: Count, w_out: Count, c_in: Count,
):  # fmt: skip
    """Send the gradient of every maximum to the position of the maximum.

    Computes   grad_x[n, h, w, c] = sum of grad_out[n, oh, ow, c] over the windows (oh, ow) that reach over (h, w) and
               have positions[n, oh, ow, c] = h * w_in + w.
    Requires   grad_out and positions (N, h_out, w_out, C), grad_x (N, h_in, w_in, C) with size elements.
    Writes     all of grad_x.
    Parallel   over the elements of grad_x, which collect from the windows above them: grid ceil(size / 256).
    Why        collecting needs no atomic additions, and the sums are taken in the order of the windows. Positions are
               pixels, not taps, which saves a division by the dilation here.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if e < size:
        n, h, w, c = _pixel(e, c_in, w_in, h_in)
        here = i32(h * w_in + w)
        total = f32(0)
        oh, oh_end, ow_end = u32(oh_start[h]), u32(oh_stop[h]), u32(ow_stop[w])
        while oh < oh_end:
            ow = u32(ow_start[w])
            while ow < ow_end:
                at = u32(((n * h_out + oh) * w_out + ow) * c_in + c)
                if positions[at] == here:
                    total += grad_out[at]
                ow = u32(ow + u32(1))
            oh = u32(oh + u32(1))
        grad_x[e] = total


@kernel(threads=THREADS, registers=48)
def avg_pool2d_forward(
    x: Floats, out: Floats, h_start: Integers, h_stop: Integers, h_count: Integers,
    w_start: Integers, w_stop: Integers, w_count: Integers,
    size: Count, h_in: Count, w_in: Count, h_out: Count, w_out: Count, c_in: Count,
):  # fmt: skip
    """The average of every window.

    Computes   out[n, oh, ow, c] = (sum of x[n, h, w, c] over the window) / (h_count[oh] * w_count[ow]).
    Requires   x (N, h_in, w_in, C), out (N, h_out, w_out, C) with size elements.
    Writes     all of out.
    Parallel   over the elements of out: grid ceil(size / 256).
    Why        rows are summed on their own and then added, so that large windows lose few digits.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if e < size:
        n, oh, ow, c = _pixel(e, c_in, w_out, h_out)
        total = f32(0)
        for h in range(h_start[oh], h_stop[oh]):
            row = f32(0)
            for w in range(w_start[ow], w_stop[ow]):
                row += x[u32(((n * h_in + u32(h)) * w_in + u32(w)) * c_in + c)]
            total += row
        out[e] = total / f32(i32(h_count[oh] * w_count[ow]))


@kernel(threads=THREADS, registers=56)
def avg_pool2d_grad_input(
    grad_out: Floats, grad_x: Floats, oh_start: Integers, oh_stop: Integers, h_count: Integers,
    ow_start: Integers, ow_stop: Integers, w_count: Integers,
    size: Count, h_in: Count, w_in: Count, h_out: Count, w_out: Count, c_in: Count,
):  # fmt: skip
    """Distribute the gradient of every average evenly over its window.

    Computes   grad_x[n, h, w, c] = sum of grad_out[n, oh, ow, c] / (h_count[oh] * w_count[ow]) over the windows
               (oh, ow) that hold (h, w).
    Requires   grad_out (N, h_out, w_out, C), grad_x (N, h_in, w_in, C) with size elements.
    Writes     all of grad_x.
    Parallel   over the elements of grad_x, which collect from the windows above them: grid ceil(size / 256).
    Why        no atomic additions; a fixed order.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if e < size:
        n, h, w, c = _pixel(e, c_in, w_in, h_in)
        total = f32(0)
        for oh in range(oh_start[h], oh_stop[h]):
            for ow in range(ow_start[w], ow_stop[w]):
                share = f32(i32(h_count[u32(oh)] * w_count[u32(ow)]))
                total += grad_out[u32(((n * h_out + u32(oh)) * w_out + u32(ow)) * c_in + c)] / share
        grad_x[e] = total

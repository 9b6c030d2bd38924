"""Pooling kernels: the maximum and the average of windows, and their gradients.

A window is a box: rows h_start[oh], h_start[oh] + dil_h, ... below h_stop[oh], and columns likewise. These tables are
already clipped to the image, so no kernel here knows of strides, padding or rounding, and ordinary and adaptive pooling
are the same kernels. Windows follow each other along an axis, so those that reach over input row h are neighbours:
oh_start[h] to oh_stop[h] - 1. With dilation a window may step over a row that it reaches over.

Every innermost loop runs over the channels, which lie side by side in memory: one comparison or addition there works
on a whole vector of channels, and no window needs special treatment however small it is.
"""

import numpy as np

from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.jit import kernel, prange

# Channels that one task of the average sums up: 2 KiB in float64, which stay in the L1 cache.
CHANNEL_BLOCK = 256


@kernel
def max_pool2d_forward(x, out, positions, h_start, h_stop, w_start, w_stop, dil_h, dil_w, k_w):
    """The largest value of every window, and where it stood.

    Computes   out[n, oh, ow, c] = max over the window's taps (r, s) of
               x[n, h_start[oh] + r * dil_h, w_start[ow] + s * dil_w, c], and positions[n, oh, ow, c] = r * k_w + s of
               that tap. Of equal values the first counts, of NaNs (larger than any number) the last, as in torch. A
               window without taps has -inf and position 0.
    Requires   x (N, H, W, C) and out (N, H', W', C) C-contiguous; positions like out, of an integer type that holds
               every r * k_w + s, or empty: then they are not kept.
    Writes     all of out and positions.
    Parallel   over the rows of out.
    Why        a row of out stays in the L1 cache while its taps are compared with it, a vector of channels at a time.
    """
    n, h_out, w_out, c_out = out.shape
    keep_positions = positions.size > 0
    for row in prange(n * h_out):
        mode = flush_denormals()
        i, oh = row // h_out, row % h_out
        for ow in range(w_out):
            for c in range(c_out):
                out[i, oh, ow, c] = -np.inf
            if keep_positions:
                for c in range(c_out):
                    positions[i, oh, ow, c] = 0
            first_of_row = 0
            for h in range(h_start[oh], h_stop[oh], dil_h):
                position = positions.dtype.type(first_of_row)
                for w in range(w_start[ow], w_stop[ow], dil_w):
                    if keep_positions:
                        for c in range(c_out):
                            value, largest = x[i, h, w, c], out[i, oh, ow, c]
                            larger = (value > largest) | (value != value)
                            out[i, oh, ow, c] = value if larger else largest
                            positions[i, oh, ow, c] = position if larger else positions[i, oh, ow, c]
                        position += positions.dtype.type(1)
                    else:
                        for c in range(c_out):
                            value, largest = x[i, h, w, c], out[i, oh, ow, c]
                            out[i, oh, ow, c] = value if (value > largest) | (value != value) else largest
                first_of_row += k_w
        restore_denormals(mode)


@kernel
def max_pool2d_grad_input(
    grad_out, positions, grad_x, h_start, w_start, w_stop, oh_start, oh_stop, dil_h, dil_w, k_w
):  # fmt: skip
    """Send the gradient of every maximum to where the maximum stood.

    Computes   grad_x[n, h, w, c] = sum of grad_out[n, oh, ow, c] over the windows (oh, ow) that hold (h, w) as their
               tap (r, s) with positions[n, oh, ow, c] = r * k_w + s.
    Requires   grad_out and positions (N, H', W', C), grad_x (N, H, W, C), all C-contiguous.
    Writes     all of grad_x.
    Parallel   over the rows of grad_x: each row collects from the windows above it, so no two tasks write to one place,
               and the sums are always taken in the order of the windows.
    Why        collecting compares positions for a vector of channels at a time, where scattering would address every
               channel on its own.
    """
    n, h_in, w_in, c_in = grad_x.shape
    w_out = grad_out.shape[2]
    for row in prange(n * h_in):
        mode = flush_denormals()
        i, h = row // h_in, row % h_in
        for w in range(w_in):
            for c in range(c_in):
                grad_x[i, h, w, c] = 0
        for oh in range(oh_start[h], oh_stop[h]):
            r = (h - h_start[oh]) // dil_h
            if h_start[oh] + r * dil_h != h:
                continue
            for ow in range(w_out):
                position = positions.dtype.type(r * k_w)
                for w in range(w_start[ow], w_stop[ow], dil_w):
                    for c in range(c_in):
                        here = positions[i, oh, ow, c] == position
                        grad_x[i, h, w, c] += grad_out[i, oh, ow, c] if here else grad_x.dtype.type(0)
                    position += positions.dtype.type(1)
        restore_denormals(mode)


@kernel
def avg_pool2d_forward(x, out, h_start, h_stop, h_count, w_start, w_stop, w_count):
    """The average of every window.

    Computes   out[n, oh, ow, c] = (sum of x[n, h, w, c] over the window) / (h_count[oh] * w_count[ow]).
    Requires   x (N, H, W, C) and out (N, H', W', C) C-contiguous.
    Writes     all of out.
    Parallel   over the rows of out and blocks of channels, so that a single window over a whole image is shared too.
    Why        x is read once, a vector of channels at a time; the sums stay in the L1 cache, and are exact enough for
               windows of any size because they are float64.
    """
    n, h_out, w_out, c_out = out.shape
    blocks = (c_out + CHANNEL_BLOCK - 1) // CHANNEL_BLOCK
    for task in prange(n * h_out * blocks):
        mode = flush_denormals()
        row, c_first = task // blocks, task % blocks * CHANNEL_BLOCK
        i, oh = row // h_out, row % h_out
        c_end = min(c_first + CHANNEL_BLOCK, c_out)
        sums = np.empty(CHANNEL_BLOCK, np.float64)
        for ow in range(w_out):
            for c in range(c_first, c_end):
                sums[c - c_first] = 0
            for h in range(h_start[oh], h_stop[oh]):
                for w in range(w_start[ow], w_stop[ow]):
                    for c in range(c_first, c_end):
                        sums[c - c_first] += x[i, h, w, c]
            divisor = h_count[oh] * w_count[ow]
            for c in range(c_first, c_end):
                out[i, oh, ow, c] = sums[c - c_first] / divisor
        restore_denormals(mode)


@kernel
def avg_pool2d_grad_input(grad_out, grad_x, oh_start, oh_stop, h_count, w_start, w_stop, w_count):
    """Spread the gradient of every average evenly over its window.

    Computes   grad_x[n, h, w, c] = sum of grad_out[n, oh, ow, c] / (h_count[oh] * w_count[ow]) over the windows
               (oh, ow) that hold (h, w).
    Requires   grad_out (N, H', W', C) and grad_x (N, H, W, C) C-contiguous.
    Writes     all of grad_x.
    Parallel   over the rows of grad_x: each row collects from the windows above it, always in the same order.
    Why        a row of grad_x stays in the cache while all windows above it are added, a vector of channels at a time.
    """
    n, h_in, w_in, c_in = grad_x.shape
    w_out = grad_out.shape[2]
    for row in prange(n * h_in):
        mode = flush_denormals()
        i, h = row // h_in, row % h_in
        for w in range(w_in):
            for c in range(c_in):
                grad_x[i, h, w, c] = 0
        for oh in range(oh_start[h], oh_stop[h]):
            for ow in range(w_out):
                divisor = grad_x.dtype.type(h_count[oh] * w_count[ow])
                for w in range(w_start[ow], w_stop[ow]):
                    for c in range(c_in):
                        grad_x[i, h, w, c] += grad_out[i, oh, ow, c] / divisor
        restore_denormals(mode)

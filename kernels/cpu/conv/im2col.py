"""Convolution by im2col: copy every patch into a row of a matrix, then multiply matrices.

The oldest way to run a convolution on a matrix product, and the easiest to follow: out = patches x filters, where row
(oh, ow) of `patches` holds the k_h * k_w * C values that the filter sees there. It writes each input value up to
k_h * k_w times, which the direct algorithm avoids. Source: K. Chellapilla, S. Puri and P. Simard, "High Performance
Convolutional Neural Networks for Document Processing" (2006), section 3.

    patches, one block of output rows     filters
    pixel 0: [tap 0: C | tap 1: C | ...]   x   (k_h * k_w * C) x K, in packed panels
    pixel 1: [tap 0: C | tap 1: C | ...]

The patches of a block of rows are in the chunk's own buffer: the matrix of the whole batch is never stored.
"""

import numpy as np

from kernels.cpu.micro.brgemm import brgemm
from kernels.cpu.micro.gather import copy_window
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.target import REGISTER_BYTES, TILE_VECTORS
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _fill_patches(
    x, h_in, w_in, c_in, image, first_channel, channels, oh_first, rows, w_out, k_h, k_w, stride_h, stride_w,
    pad_top, pad_left, dil_h, dil_w, patches,
):  # fmt: skip
    """patches[(oh, ow), (r, s, c)] = x[image, oh * stride_h + r * dil_h - pad_top, ..., first_channel + c] or 0.

    x is flat.
    """
    size = k_h * k_w * channels
    for oh in range(oh_first, oh_first + rows):
        for ow in range(w_out):
            copy_window(
                x, image * h_in * w_in * c_in, h_in, w_in, c_in, first_channel, channels,
                oh * stride_h - pad_top, ow * stride_w - pad_left, dil_h, dil_w,
                patches, ((oh - oh_first) * w_out + ow) * size, k_h, k_w, channels,
            )  # fmt: skip


@inline
def _forward_chunks(out, rows_per_chunk):
    return out.shape[0] * ceil_div(out.shape[1], rows_per_chunk)


@kernel(_forward_chunks)
def conv2d_forward_im2col(
    chunk, x, panels, bias, out, k_h, k_w, stride_h, stride_w, pad_top, pad_left, dil_h, dil_w, groups, rows_per_chunk,
):  # fmt: skip
    """Convolve by multiplying patches with packed filters.

    Computes   out[n, oh, ow, g, k] = bias[g, k] + sum over (r, s, c) of
               patches[(oh, ow), (r, s, c)] * filters[(r, s, c), k].
    Requires   x (N, H, W, C), out (N, H', W', K) C-contiguous; panels from `pack_filters` with taps in the order
               (r, s); bias padded to full panels per group.
    Writes     all of out.
    Parallel   over images and blocks of output rows.
    Why        the product runs on the micro-kernel, and a block's patches stay in L2 between filling and reading.
    """
    _, h_in, w_in, c_in = x.shape
    _, h_out, w_out, c_out = out.shape
    source, destination = x.reshape(-1), out.reshape(-1)
    packed, start = panels.reshape(-1), bias.reshape(-1)
    channels, filters = c_in // groups, c_out // groups
    lanes_per_panel = TILE_VECTORS * (REGISTER_BYTES // x.itemsize)
    n_panels = panels.shape[1]
    depth = k_h * k_w * channels
    row_blocks = ceil_div(h_out, rows_per_chunk)
    image, oh = chunk // row_blocks, chunk % row_blocks * rows_per_chunk
    rows = min(rows_per_chunk, h_out - oh)
    pixels = rows * w_out
    patches = np.empty(pixels * depth, x.dtype)
    taps = np.zeros(1, np.int64)
    for g in range(groups):
        _fill_patches(
            source, h_in, w_in, c_in, image, g * channels, channels, oh, rows, w_out, k_h, k_w,
            stride_h, stride_w, pad_top, pad_left, dil_h, dil_w, patches,
        )  # fmt: skip
        for p in range(n_panels):
            columns = min(lanes_per_panel, filters - p * lanes_per_panel)
            brgemm(
                pixels, patches, 0, depth, 1, taps, 1, depth,
                packed, (g * n_panels + p) * depth * lanes_per_panel, 0, lanes_per_panel, destination,
                (image * h_out + oh) * w_out * c_out + g * filters + p * lanes_per_panel, c_out, columns,
                start, (g * n_panels + p) * lanes_per_panel, destination, 0, False, False, False, False,
            )  # fmt: skip


@inline
def _grad_input_chunks(grad_x, panels, groups):
    return grad_x.shape[0] * groups * panels.shape[1]


@kernel(_grad_input_chunks)
def conv2d_grad_input_im2col(
    chunk, grad_out, panels, grad_x, k_h, k_w, stride_h, stride_w, pad_top, pad_left, dil_h, dil_w, groups,
    rows_per_block,
):  # fmt: skip
    """Multiply the output's gradient with the filters, then add every patch back where it came from (col2im).

    Computes   grad_patches[(oh, ow), (r, s), c] = sum over k of grad_out[n, oh, ow, k] * weight[k, c, r, s], and
               grad_x[n, h, w, c] = the sum of all entries that were copied from (h, w, c).
    Requires   grad_out (N, H', W', K), grad_x (N, H, W, C) C-contiguous; panels from `pack_filters` of the transposed
               filters (groups, C, K, k_h, k_w) with taps in the order (r, s).
    Writes     all of grad_x.
    Parallel   over images, groups and panels of channels: no two chunks add to the same element.
    Why        the product runs on the micro-kernel; patches overlap, so they are added in a fixed order within a chunk.
    """
    _, h_in, w_in, c_in = grad_x.shape
    _, h_out, w_out, c_out = grad_out.shape
    packed, gradient = panels.reshape(-1), grad_out.reshape(-1)
    channels, filters = c_in // groups, c_out // groups
    lanes_per_panel = TILE_VECTORS * (REGISTER_BYTES // grad_out.itemsize)
    n_panels = panels.shape[1]
    image, g, p = chunk // (groups * n_panels), chunk // n_panels % groups, chunk % n_panels
    columns = min(lanes_per_panel, channels - p * lanes_per_panel)
    first_channel = g * channels + p * lanes_per_panel
    taps = np.zeros(1, np.int64)
    zeros = np.zeros(lanes_per_panel, grad_out.dtype)
    patches = np.empty(rows_per_block * w_out * columns, grad_out.dtype)
    for h in range(h_in):
        for w in range(w_in):
            for c in range(columns):
                grad_x[image, h, w, first_channel + c] = 0
    for oh_first in range(0, h_out, rows_per_block):
        rows = min(rows_per_block, h_out - oh_first)
        pixels = rows * w_out
        first_pixel = (image * h_out + oh_first) * w_out
        for t in range(k_h * k_w):
            brgemm(
                pixels, gradient, first_pixel * c_out + g * filters, c_out, 1, taps, 1, filters,
                packed, ((g * n_panels + p) * k_h * k_w + t) * filters * lanes_per_panel, 0, lanes_per_panel,
                patches, 0, columns, columns, zeros, 0, patches, 0, False, False, False, False,
            )  # fmt: skip
            for pixel in range(pixels):
                h = (oh_first + pixel // w_out) * stride_h + t // k_w * dil_h - pad_top
                w = pixel % w_out * stride_w + t % k_w * dil_w - pad_left
                if 0 <= h < h_in and 0 <= w < w_in:
                    for c in range(columns):
                        grad_x[image, h, w, first_channel + c] += patches[pixel * columns + c]


@inline
def _grad_weight_chunks(partials, groups):
    return partials.shape[0] * groups


@kernel(_grad_weight_chunks)
def conv2d_grad_weight_im2col(
    chunk, x, grad_out, partials, k_h, k_w, stride_h, stride_w, pad_top, pad_left, dil_h, dil_w, groups, rows_per_block,
):  # fmt: skip
    """The gradient of the filters, as partial sums over parts of the batch: transposed patches times grad_out.

    Computes   partials[i, g, 0, r, s * C + c, k] = sum over the pixels of part i of
               patches[pixel, (r, s, c)] * grad_out[pixel, k].
    Requires   x (N, H, W, C), grad_out (N, H', W', K) C-contiguous. Block b of rows (counted over the batch) belongs to
               part b * parts // blocks, and every part has one: parts <= blocks.
    Writes     all of partials (parts, groups, 1, k_h, k_w * C/groups, K/groups).
    Parallel   over parts and groups; `sum_filter_partials` adds the parts in a fixed order.
    Why        the product runs on the micro-kernel with pixels as its summation index; grad_out needs no packing.
    """
    n, h_in, w_in, c_in = x.shape
    _, h_out, w_out, c_out = grad_out.shape
    source, gradient, sums = x.reshape(-1), grad_out.reshape(-1), partials.reshape(-1)
    parts = partials.shape[0]
    channels, filters = c_in // groups, c_out // groups
    lanes_per_panel = TILE_VECTORS * (REGISTER_BYTES // x.itemsize)
    n_panels = ceil_div(filters, lanes_per_panel)
    row_blocks = ceil_div(h_out, rows_per_block)
    blocks = n * row_blocks
    depth = k_h * k_w * channels
    part, g = chunk // groups, chunk % groups
    patches = np.empty(rows_per_block * w_out * depth, x.dtype)
    taps = np.zeros(1, np.int64)
    zeros = np.zeros(lanes_per_panel, x.dtype)
    first_block = ceil_div(part * blocks, parts)
    end_block = ceil_div((part + 1) * blocks, parts)
    for block in range(first_block, end_block):
        image, oh = block // row_blocks, block % row_blocks * rows_per_block
        rows = min(rows_per_block, h_out - oh)
        _fill_patches(
            source, h_in, w_in, c_in, image, g * channels, channels, oh, rows, w_out, k_h, k_w,
            stride_h, stride_w, pad_top, pad_left, dil_h, dil_w, patches,
        )  # fmt: skip
        for p in range(n_panels):
            columns = min(lanes_per_panel, filters - p * lanes_per_panel)
            b_offset = (image * h_out + oh) * w_out * c_out + g * filters + p * lanes_per_panel
            c_offset = chunk * depth * filters + p * lanes_per_panel
            brgemm(
                depth, patches, 0, 1, depth, taps, 1, rows * w_out, gradient, b_offset, 0, c_out,
                sums, c_offset, filters, columns, zeros, 0, sums, c_offset, block > first_block, False,
                False, True,
            )  # fmt: skip

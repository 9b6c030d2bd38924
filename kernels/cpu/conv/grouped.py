"""Grouped convolution with few channels per group: output channels are the lanes of the vectors.

A group of 4 filters fills half a vector of 8, and a matrix product of 4 columns wastes the other half. So the input is
*replicated*: each output channel k gets an input channel of its own for every channel c under its filter,

    window[i, j, c, k] = x[h + i, w + j, (k // K) * C + c]        (K filters and C channels per group)

with the zeros of the padding. What remains is a depthwise convolution whose filters have C taps for each pixel, which
`depthwise_tiles` computes without an idle lane. Replication (`micro/replicate.py`) writes each vector of the window
once and the convolution reads it k_h * k_w times; the window holds one cache line of output channels and stays in L2.
"""

import numpy as np

from kernels.cpu.conv.loop_table import COUNT, DST, FIRST_TAP, TAPS, most_destinations
from kernels.cpu.micro.depthwise_tile import LINE_BYTES, depthwise_tiles
from kernels.cpu.micro.replicate import replicate
from kernels.cpu.vector.split import ceil_div, split_evenly
from kernels.cpu.vector.target import REGISTER_BYTES
from kernels.jit import inline
from kernels.launch import kernel


def block_channels(itemsize: int) -> int:
    """How many output channels a window holds: a cache line of them, or a vector."""
    return max(LINE_BYTES, REGISTER_BYTES) // itemsize


@inline
def _chunks(src, phases_h, rows_per_chunk):
    return src.shape[0] * phases_h.shape[0] * ceil_div(most_destinations(phases_h), rows_per_chunk)


@kernel(_chunks)
def conv2d_forward_grouped(
    chunk, src, filters, start, dst, phases_h, offsets_h, phases_w, offsets_w, groups,
    src_step_h, src_step_w, dst_step_h, dst_step_w, tap_step_h, rows_per_chunk,
):  # fmt: skip
    """Convolve each group with its filters: the forward pass, or the gradient of the input.

    Computes   dst[n, dh, dw, k] = start[k] + sum over the taps (t, u) of dh's and dw's phases and over c < C of
               src[n, i * src_step_h + offsets_h[t], j * src_step_w + offsets_w[u], (k // K) * C + c] *
               filters[k // B, t, u, c, k % B], where dh and dw are destinations i and j of their phases; src is 0
               outside the image.
    Requires   src (N, H, W, groups * C), dst (N, H', W', groups * K) C-contiguous; filters (blocks, taps of h, taps of
               w, C, B) C-contiguous in the order of the phases, B = `block_channels`; start (groups * K,). Within a
               phase offsets_h rise by tap_step_h and offsets_w by 1.
    Writes     all of dst.
    Parallel   over images, phases of h and blocks of `rows_per_chunk` rows.
    Why        see the top of this file; the filters of a block are contiguous, whatever the channels.
    """
    _, h_src, w_src, c_src = src.shape
    _, h_dst, w_dst, c_dst = dst.shape
    src_group, dst_group = c_src // groups, c_dst // groups
    source, packed, destination = src.reshape(-1), filters.reshape(-1), dst.reshape(-1)
    n_blocks, taps_h, taps_w, _, widest = filters.shape
    row_blocks = ceil_div(most_destinations(phases_h), rows_per_chunk)
    row_block, rest = chunk % row_blocks, chunk // row_blocks
    ph, image = rest % phases_h.shape[0], rest // phases_h.shape[0]
    first_row = row_block * rows_per_chunk
    rows = max(min(rows_per_chunk, phases_h[ph, COUNT] - first_row), 0)
    t, taps_high = phases_h[ph, FIRST_TAP], phases_h[ph, TAPS]
    window_rows = (rows - 1) * src_step_h + (taps_high - 1) * tap_step_h + 1
    for pw in range(phases_w.shape[0] if rows > 0 else 0):
        u, taps_wide = phases_w[pw, FIRST_TAP], phases_w[pw, TAPS]
        window_columns = (phases_w[pw, COUNT] - 1) * src_step_w + taps_wide
        no_taps = taps_high * taps_wide == 0
        size = 0 if no_taps else window_rows * window_columns * src_group * widest
        window = np.empty(size + REGISTER_BYTES // src.itemsize, src.dtype)
        pieces = np.empty((2, widest), np.int64)
        for i in range(n_blocks):
            first, end = i * widest, min((i + 1) * widest, c_dst)
            block = end - first
            if not no_taps:
                replicate(
                    source, image * h_src * w_src * c_src, h_src, w_src, c_src, src_group, dst_group, first, end,
                    first_row * src_step_h + offsets_h[t], offsets_w[u], window, window_rows, window_columns,
                    pieces,
                )  # fmt: skip
            row_size = window_columns * src_group * block
            dst_row = phases_h[ph, DST] + first_row * dst_step_h
            depthwise_tiles(
                rows, phases_w[pw, COUNT], block, 1,
                window, 0, src_step_h * row_size, src_step_w * src_group * block,
                taps_high, tap_step_h * row_size, taps_wide * src_group, block,
                packed, ((i * taps_h + t) * taps_w + u) * src_group * widest, taps_w * src_group * widest,
                widest, 0,
                destination, ((image * h_dst + dst_row) * w_dst + phases_w[pw, DST]) * c_dst + first,
                dst_step_h * w_dst * c_dst, dst_step_w * c_dst, 0, start, first, False,
            )  # fmt: skip


@inline
def _parts(partials):
    return partials.shape[0]


@kernel(_parts)
def conv2d_grad_weight_grouped(
    chunk, x, grad_out, partials, k_w, stride_h, stride_w, pad_top, pad_left, dil_h, groups, rows_per_block, widest
):  # fmt: skip
    """The gradient of the filters, as partial sums over parts of the batch.

    Computes   partials[i, 0, 0, r, s * C + c, k] = sum over the pixels (n, oh, ow) of part i of
               x[n, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s - pad_left, (k // K) * C + c] *
               grad_out[n, oh, ow, k], 0 outside the image.
    Requires   x (N, H, W, groups * C), grad_out (N, H', W', groups * K) C-contiguous; partials (parts, 1, 1, k_h,
               k_w * C, groups * K); `widest` output channels to a window (`block_channels`).
    Writes     all of partials.
    Parallel   over parts, which divide the batch's blocks of `rows_per_block` rows evenly.
    Why        see the top of this file; the sums of a filter row stay in registers over all pixels of a block.
    """
    n, h_in, w_in, c_in = x.shape
    _, h_out, w_out, c_out = grad_out.shape
    parts, _, _, k_h, filter_row_size, _ = partials.shape
    source, gradient, sums = x.reshape(-1), grad_out.reshape(-1), partials.reshape(-1)
    x_group, out_group = c_in // groups, c_out // groups
    row_blocks = ceil_div(h_out, rows_per_block)
    window_columns = (w_out - 1) * stride_w + k_w
    for i in range(chunk * k_h * filter_row_size * c_out, (chunk + 1) * k_h * filter_row_size * c_out):
        sums[i] = 0
    most_rows = (rows_per_block - 1) * stride_h + (k_h - 1) * dil_h + 1
    window = np.empty(most_rows * window_columns * x_group * widest + REGISTER_BYTES // x.itemsize, x.dtype)
    pieces = np.empty((2, widest), np.int64)
    begin, end_item = split_evenly(n * row_blocks, parts, chunk)
    for item in range(begin, end_item):
        image, first_row = item // row_blocks, item % row_blocks * rows_per_block
        rows = min(rows_per_block, h_out - first_row)
        for first in range(0, c_out, widest):
            end = min(first + widest, c_out)
            block = end - first
            replicate(
                source, image * h_in * w_in * c_in, h_in, w_in, c_in, x_group, out_group, first, end,
                first_row * stride_h - pad_top, -pad_left, window,
                (rows - 1) * stride_h + (k_h - 1) * dil_h + 1, window_columns, pieces,
            )  # fmt: skip
            row_size = window_columns * x_group * block
            depthwise_tiles(
                k_h, filter_row_size, block, 1, window, 0, dil_h * row_size, block,
                rows, stride_h * row_size, w_out, stride_w * x_group * block,
                gradient, (image * h_out + first_row) * w_out * c_out + first, w_out * c_out, c_out, 0,
                sums, chunk * k_h * filter_row_size * c_out + first, filter_row_size * c_out, c_out, 0, sums, 0,
                True,
            )  # fmt: skip

"""The gradient of the filters by Winograd's F(m x m, 3x3), transposed: (m+2)^2 multiplications instead of 9 m^2.

winograd_transforms.py derives it for one tile, one channel and one filter. Summed over the tiles of all images,

    dW[k, c] = G^T M[., c, k] G,   M[e, c, k] = sum over tiles t of V[e, t, c] * U[e, t, k]
                                   V[., t, c] = B^T d B of x,   U[., t, k] = A dY A^T of grad_out

so each of the (m+2)^2 points is a matrix product (channels x tiles) times (tiles x filters), computed by the
micro-kernel. G^T M G is linear in M: each part of the tiles is transformed back by itself, and the sum over parts has 9
values per channel and filter instead of (m+2)^2.
"""

import numpy as np

from kernels.cpu.conv.winograd_matrices import TAPS
from kernels.cpu.conv.winograd_transforms import (
    all_finite,
    place,
    points,
    transform_grad_filter,
    transform_grad_out,
    transform_input_tiles,
)
from kernels.cpu.micro.brgemm import brgemm
from kernels.cpu.micro.gather import copy_window
from kernels.cpu.micro.pack import transpose_block
from kernels.cpu.vector.split import ceil_div, split_evenly
from kernels.cpu.vector.target import TILE_VECTORS
from kernels.cpu.vector.values import vlanes, vload, vsplat, vstore
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _transform_grad_out_tiles(
    m, grad_out, h_out, w_out, c_out, k, count, tiles_h, tiles_w, first, end, panels, at, plane, tile, scratch
):
    """panels[at + e * plane + (t - first) * PC + j] = (A dY A^T)[e] for tiles first <= t < end, filters k + j.

    dY is 0 beyond the image, and for the columns count <= j < PC.
    """
    panel_columns = TILE_VECTORS * vlanes(grad_out)
    to_row = (m + TAPS - 1) * plane
    for t in range(first, end):
        image, i, j = place(t, tiles_h, tiles_w)
        top, left = i * m, j * m
        offset, target = image * h_out * w_out * c_out + k, at + (t - first) * panel_columns
        if top + m <= h_out and left + m <= w_out and count == panel_columns:
            source = offset + (top * w_out + left) * c_out
            transform_grad_out(
                m, grad_out, source, w_out * c_out, c_out, count, panels, target, to_row, plane, scratch
            )  # fmt: skip
        else:
            copy_window(grad_out, offset, h_out, w_out, c_out, 0, count, top, left, 1, 1, tile, 0, m, m, panel_columns)
            transform_grad_out(
                m, tile, 0, m * panel_columns, panel_columns, panel_columns, panels, target, to_row, plane, scratch
            )


@inline
def _transform_back(m, sums, at, plane, channels, filters, target, scratch):
    """filters[target + (c * 9 + t) * PC + j] = (G^T M G)[t] with M[e] = sums[at + e * plane + c * PC + j]."""
    panel_columns = TILE_VECTORS * vlanes(sums)
    for c in range(channels):
        transform_grad_filter(
            m, sums, at + c * panel_columns, (m + TAPS - 1) * plane, plane, panel_columns,
            filters, target + c * 9 * panel_columns, TAPS * panel_columns, panel_columns, scratch,
        )  # fmt: skip


@inline
def _chunks(x, grad_out, partials, channels_per_chunk, panels_per_chunk):
    n_panels = ceil_div(grad_out.shape[3], TILE_VECTORS * vlanes(x))
    return partials.shape[0] * ceil_div(x.shape[3], channels_per_chunk) * ceil_div(n_panels, panels_per_chunk)


@kernel(_chunks)
def conv2d_grad_weight_winograd(
    chunk, x, grad_out, partials, m, pad_top, pad_left, tiles_per_block, channels_per_chunk, panels_per_chunk
):
    """The gradient of 3x3 filters of stride 1, as partial sums over parts of the tiles.

    Computes   partials[i, p, c, r * 3 + s, j] = sum over the pixels (n, h, w) of the tiles of part i of
               x[n, h + r - pad_top, w + s - pad_left, c] * grad_out[n, h, w, p * PC + j], and 0 for p * PC + j >= K.
    Requires   x (N, H, W, C), grad_out (N, H', W', K) C-contiguous. Tiles are m x m pixels of grad_out, counted over
               the batch, and taken in blocks; block b of B belongs to part b * parts // B, and parts <= B.
    Writes     all of partials (parts, n_panels, C, 9, PC).
    Parallel   over parts, blocks of channels and blocks of panels of filters; `sum_winograd_parts` adds the parts in a
               fixed order.
    Why        9 m^2 / (m+2)^2 times fewer multiplications. A chunk's sums ((m+2)^2 values per channel and filter) and
               its block's two transformed operands should stay in L2. Planes lie a panel's row more apart than they
               are long: at a distance of 2^n they would share one set of the L1 cache.
    """
    n, h_in, w_in, c_in = x.shape
    _, h_out, w_out, c_out = grad_out.shape
    source, gradient, sums_out = x.reshape(-1), grad_out.reshape(-1), partials.reshape(-1)
    parts = partials.shape[0]
    lanes = vlanes(x)
    panel_columns = TILE_VECTORS * lanes
    n_panels = ceil_div(c_out, panel_columns)
    channel_blocks = ceil_div(c_in, channels_per_chunk)
    panel_blocks = ceil_div(n_panels, panels_per_chunk)
    tiles_h, tiles_w = ceil_div(h_out, m), ceil_div(w_out, m)
    tiles = n * tiles_h * tiles_w
    blocks = ceil_div(tiles, tiles_per_block)
    row = ceil_div(channels_per_chunk, lanes) * lanes
    input_plane = tiles_per_block * row + panel_columns
    gradient_plane = (tiles_per_block + 1) * panel_columns
    sums_plane = (channels_per_chunk + 1) * panel_columns
    panel_block, rest = chunk % panel_blocks, chunk // panel_blocks
    channel_block, part = rest % channel_blocks, rest // channel_blocks
    channel = channel_block * channels_per_chunk
    channels = min(channels_per_chunk, c_in - channel)
    first_panel = panel_block * panels_per_chunk
    panels = min(panels_per_chunk, n_panels - first_panel)
    inputs = np.empty(points(m) * input_plane, x.dtype)
    gradients = np.empty(points(m) * gradient_plane, x.dtype)
    first_block, end_block = split_evenly(blocks, parts, part)
    # One block is transformed back at once, so a single panel's sums do.
    kept = panels if end_block - first_block > 1 else 1
    sums = np.empty(kept * points(m) * sums_plane, x.dtype)
    tile = np.empty(points(m) * max(row, panel_columns), x.dtype)
    scratch = np.empty(points(m) * lanes, x.dtype)
    zeros = np.zeros(panel_columns, x.dtype)
    taps = np.zeros(1, np.int64)
    for block in range(first_block, end_block):
        first, end = block * tiles_per_block, min((block + 1) * tiles_per_block, tiles)
        transform_input_tiles(
            m, source, h_in, w_in, c_in, channel, channels, pad_top, pad_left, tiles_h, tiles_w, first, end,
            inputs, 0, row, input_plane, tile, scratch,
        )  # fmt: skip
        for p in range(panels):
            k = (first_panel + p) * panel_columns
            _transform_grad_out_tiles(
                m, gradient, h_out, w_out, c_out, k, min(panel_columns, c_out - k), tiles_h, tiles_w, first, end,
                gradients, 0, gradient_plane, tile, scratch,
            )  # fmt: skip
            at = (p if kept > 1 else 0) * points(m) * sums_plane
            for e in range(points(m)):
                brgemm(
                    channels, inputs, e * input_plane, 1, row, taps, 1, end - first,
                    gradients, e * gradient_plane, 0, panel_columns,
                    sums, at + e * sums_plane, panel_columns, panel_columns,
                    zeros, 0, sums, at + e * sums_plane, block > first_block, False, False, False,
                )  # fmt: skip
            if block == end_block - 1:
                target = ((part * n_panels + first_panel + p) * c_in + channel) * 9 * panel_columns
                _transform_back(m, sums, at, sums_plane, channels, sums_out, target, scratch)


@inline
def _sum_chunks(partials, channels_per_chunk):
    return partials.shape[1] * ceil_div(partials.shape[2], channels_per_chunk)


@kernel(_sum_chunks)
def sum_winograd_parts(chunk, partials, grad_weight, overflowed, channels_per_chunk):
    """Add up the parts of a filter gradient and bring it into the filters' layout.

    Computes   grad_weight[p * PC + j, c, r, s] = sum over i of partials[i, p, c, r * 3 + s, j].
    Requires   partials (parts, n_panels, C, 9, PC), grad_weight (K, C, 3, 3), C-contiguous.
    Writes     all of grad_weight; 1 to overflowed (1,) where a sum is not finite.
    Parallel   over panels of filters and blocks of channels.
    Why        the parts are read contiguously; their sum is transposed in squares (`transpose_block`).
    Reference  a step of `conv_grad_weight`.
    """
    parts, n_panels, channels, taps, panel_columns = partials.shape
    filters = grad_weight.shape[0]
    sums, out = partials.reshape(-1), grad_weight.reshape(-1)
    lanes = vlanes(partials)
    blocks = ceil_div(channels, channels_per_chunk)
    part_size = n_panels * channels * taps * panel_columns
    p, first = chunk // blocks, chunk % blocks * channels_per_chunk
    rows = min(channels_per_chunk, channels - first) * taps
    scratch = np.empty(rows * panel_columns + lanes, partials.dtype)
    zero = vsplat(scratch, 0.0)
    check = zero
    source = (p * channels + first) * taps * panel_columns
    for e in range(0, rows * panel_columns, lanes):
        total = vload(sums, source + e)
        for i in range(1, parts):
            total = total + vload(sums, source + i * part_size + e)
        vstore(total, scratch, e)
        check = check + total * zero
    vstore(check, scratch, rows * panel_columns)
    if not all_finite(scratch, rows * panel_columns):
        overflowed[0] = 1
    transpose_block(
        scratch, 0, panel_columns, rows, min(panel_columns, filters - p * panel_columns),
        out, (p * panel_columns * channels + first) * taps, channels * taps, rows,
    )  # fmt: skip

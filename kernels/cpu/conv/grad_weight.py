"""The gradient of the filters: a matrix product whose summation index runs over pixels.

    grad_weight[k, c, r, s] = sum over pixels (n, oh, ow) of x[n, oh * stride + r * dil - pad, ..., c] * G[n, oh, ow, k]

For one tap (r, s) that is (channels x pixels) times (pixels x filters). The micro-kernel computes tiles of a few
channels by a panel of filters, summed over a *block* of a few hundred pixels. Both operands are first copied into the
order in which the micro-kernel reads them:

    window[tile, image, row, column, c]   the channels of one tile are neighbours, padding is zeros in memory
    panels[panel, pixel, k]               G, the filters of a panel are neighbours

Another tap is then another start address in the same window, so one copy serves all k_h * k_w taps. In the images
themselves a step to the next pixel is C values long, often a power of two: the cache lines that a tile reads would fall
into few sets of the L1 cache and evict each other. The copy costs 1 to 3 % and makes both streams contiguous.

Source: E. Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures" (2018),
section II-J, for the pass; the blocking is this file's own.
"""

import numpy as np

from kernels.cpu.micro.brgemm import brgemm
from kernels.cpu.micro.gather import inside_range
from kernels.cpu.micro.pack import SCRATCH_BYTES, copy_panels, copy_tiles, transpose_block
from kernels.cpu.vector.copy import clear_line, copy_line
from kernels.cpu.vector.split import ceil_div, split_evenly
from kernels.cpu.vector.target import REGISTER_BYTES, TILE_ROWS, TILE_VECTORS
from kernels.cpu.vector.values import vlanes, vload_part, vstore
from kernels.jit import inline
from kernels.launch import kernel

MAX_TILES_IN_PLACE = 8


@inline
def _copy_tiled_window(
    x, image_offset, h_in, w_in, c_in, first_channel, channels, tiles, first_tile, end_tile, h_first, w_first,
    window, at, rows, columns, tile_size, width,
):  # fmt: skip
    """window[at + tile * tile_size + (i * columns + j) * width + c] = x[h_first + i, w_first + j, channel c of tile].

    0 outside the image.
    """
    inside_first, inside_end = inside_range(w_first, 1, w_in, columns)
    for i in range(rows):
        h = h_first + i
        target = at + i * columns * width
        first, end = (inside_first, inside_end) if 0 <= h < h_in else (columns, columns)
        for tile in range(end_tile - first_tile):
            clear_line(window, target + tile * tile_size, first * width)
        source = image_offset + (h * w_in + w_first + first) * c_in + first_channel
        if width == c_in:  # one tile of all channels: a row of the window is a row of the image
            copy_line(x, source, window, target + first * width, (end - first) * width)
        else:
            copy_tiles(
                x, source, c_in, end - first, channels, tiles, first_tile, end_tile,
                window, target + first * width, tile_size, width,
            )  # fmt: skip
        for tile in range(end_tile - first_tile):
            clear_line(window, target + tile * tile_size + end * width, (columns - end) * width)


@inline
def _chunks(x, partials, k_d, groups, tile_channels, tiles_per_chunk):
    tile_blocks = ceil_div(ceil_div(x.shape[4] // groups, tile_channels), tiles_per_chunk)
    return partials.shape[0] * groups * k_d * tile_blocks * partials.shape[2]


@kernel(_chunks)
def conv_grad_weight_direct(
    chunk, x, grad_out, partials, k_d, k_h, k_w, stride_d, stride_h, stride_w, pad_front, pad_top, pad_left,
    dil_d, dil_h, dil_w, groups, rows_per_block, images_per_block, tile_channels, tiles_per_chunk, panels_per_chunk,
):  # fmt: skip
    """The gradient of the filters, as partial sums over parts of the batch.

    Computes   partials[i, g, b, q * k_h + r, s * C + c, k] = sum over the pixels (n, od, oh, ow) of part i of
               x[n, od * stride_d + q * dil_d - pad_front, oh * stride_h + r * dil_h - pad_top, ..., c] *
               G[n, od, oh, ow, b * B + k] with G = grad_out, and B = panels_per_chunk * PC the filters of a chunk.
    Requires   x (N, D, H, W, C), grad_out (N, D', H', W', K) C-contiguous, for images with D = D' = k_d = 1. A block
               has `images_per_block` planes of grad_out (counted over the batch) if rows_per_block = H', else that
               many rows of one plane. Block b belongs to part b * parts // blocks, and every part has one: parts <=
               blocks. A tile has at most `tile_channels` channels.
    Writes     partials (parts, groups, blocks of panels, k_d * k_h, k_w * C/groups, B), where there is such a filter.
    Parallel   over parts, groups, planes of taps, blocks of tiles and blocks of panels; `sum_filter_partials` adds the
               parts in a fixed order.
    Why        see the top of this file. A single tile of all channels takes the k_w taps of a filter row as one: with
               dilation 1 its rows are the k_w * C values under that row.
    """
    n, d_in, h_in, w_in, c_in = x.shape
    _, d_out, h_out, w_out, c_out = grad_out.shape
    planes = n * d_out
    source, gradient, sums = x.reshape(-1), grad_out.reshape(-1), partials.reshape(-1)
    parts = partials.shape[0]
    channels, filters = c_in // groups, c_out // groups
    lanes = vlanes(x)
    panel_columns = TILE_VECTORS * lanes
    n_panels = ceil_div(filters, panel_columns)
    panel_blocks, block_columns = partials.shape[2], partials.shape[5]
    n_tiles = ceil_div(channels, tile_channels)
    tile_blocks = ceil_div(n_tiles, tiles_per_chunk)
    row_blocks = ceil_div(h_out, rows_per_block)
    blocks = ceil_div(planes, images_per_block) * row_blocks
    window_rows = (rows_per_block - 1) * stride_h + (k_h - 1) * dil_h + 1
    window_columns = (w_out - 1) * stride_w + (k_w - 1) * dil_w + 1
    image_size = window_rows * window_columns * tile_channels
    tile_size = images_per_block * image_size + lanes  # the last store of a tile reaches beyond the last pixel
    panel_size = images_per_block * rows_per_block * w_out * panel_columns
    merged = n_tiles == 1 and dil_w == 1
    tap_columns = 1 if merged else k_w
    # With few channels a panel of G serves so few tiles that a copy of it would not pay.
    in_place = merged and k_h * ceil_div(k_w * channels, TILE_ROWS) <= MAX_TILES_IN_PLACE

    panel_block, rest = chunk % panel_blocks, chunk // panel_blocks
    tile_block, rest = rest % tile_blocks, rest // tile_blocks
    q, rest = rest % k_d, rest // k_d
    g, part = rest % groups, rest // groups
    first_tile, end_tile = tile_block * tiles_per_chunk, min((tile_block + 1) * tiles_per_chunk, n_tiles)
    first_panel, end_panel = panel_block * panels_per_chunk, min((panel_block + 1) * panels_per_chunk, n_panels)
    window = np.empty((end_tile - first_tile) * tile_size, x.dtype)
    panels = np.empty(0 if in_place else (end_panel - first_panel) * panel_size, x.dtype)
    taps = np.empty(images_per_block * rows_per_block, np.int64)
    zeros = np.zeros(panel_columns, x.dtype)
    first_block, end_block = split_evenly(blocks, parts, part)
    for block in range(first_block, end_block):
        first_image, oh = block // row_blocks * images_per_block, block % row_blocks * rows_per_block
        images, rows = min(images_per_block, planes - first_image), min(rows_per_block, h_out - oh)
        for i in range(images):
            image, od = (first_image + i) // d_out, (first_image + i) % d_out
            plane = od * stride_d + q * dil_d - pad_front
            _copy_tiled_window(
                source, (image * d_in + plane) * h_in * w_in * c_in, h_in if 0 <= plane < d_in else 0, w_in, c_in,
                g * channels, channels,
                n_tiles, first_tile, end_tile, oh * stride_h - pad_top, -pad_left, window, i * image_size,
                (rows - 1) * stride_h + (k_h - 1) * dil_h + 1, window_columns, tile_size, tile_channels,
            )  # fmt: skip
        first_filter = first_panel * panel_columns
        b_offset = (first_image * h_out + oh) * w_out * c_out + g * filters + first_filter
        if not in_place:
            copy_panels(
                gradient, b_offset, c_out, images * rows * w_out,
                min(filters, end_panel * panel_columns) - first_filter, panels, 0, panel_size, panel_columns,
            )  # fmt: skip
        for i in range(images):
            for row in range(rows):
                taps[i * rows + row] = i * image_size + row * stride_h * window_columns * tile_channels
        for p in range(first_panel, end_panel):
            columns = min(panel_columns, filters - p * panel_columns)
            right, right_row = (gradient, c_out) if in_place else (panels, panel_columns)
            right_offset = (p - first_panel) * panel_size
            if in_place:
                right_offset = b_offset + (p - first_panel) * panel_columns
            for tile in range(first_tile, end_tile):
                channel, end_channel = split_evenly(channels, n_tiles, tile)
                m_rows = k_w * channels if merged else end_channel - channel
                for r in range(k_h):
                    for s in range(tap_columns):
                        a_offset = (r * dil_h * window_columns + s * dil_w) * tile_channels
                        filter_row = ((part * groups + g) * panel_blocks + panel_block) * k_d * k_h + q * k_h + r
                        c_offset = (filter_row * k_w * channels + s * channels + channel) * block_columns
                        a_offset += (tile - first_tile) * tile_size
                        c_offset += (p - first_panel) * panel_columns
                        brgemm(
                            m_rows, window, a_offset, 1, stride_w * tile_channels, taps, images * rows, w_out,
                            right, right_offset, w_out * right_row, right_row, sums, c_offset, block_columns,
                            columns, zeros, 0, sums, c_offset, block > first_block, False, False,
                            in_place,
                        )  # fmt: skip


@inline
def _sum_chunks(partials, taps, channels_per_chunk):
    _, groups, filter_blocks, k_h, row_size, block_columns = partials.shape
    n_panels = filter_blocks * ceil_div(block_columns, TILE_VECTORS * vlanes(partials))
    return groups * n_panels * ceil_div(row_size // (taps // k_h), channels_per_chunk)


@kernel(_sum_chunks)
def sum_filter_partials(chunk, partials, grad_weight, taps, filters, channels_per_chunk):
    """Add up the parts of a filter gradient and bring it into the filters' layout.

    Computes   grad_weight[g * K + b * B + k, c, r, s] = sum over i of partials[i, g, b, r, s * C + c, k].
    Requires   partials (parts, groups, blocks, k_h, k_w * C, B) C-contiguous, where the last block may hold fewer
               than B of the K = `filters` filters; grad_weight flat; taps = k_h * k_w. Of volumes, k_h counts the rows
               of all planes of a filter.
    Writes     all of grad_weight.
    Parallel   over groups, panels of filters and blocks of channels.
    Why        the parts are read a vector of filters at a time; their sum is transposed in squares (`transpose_block`).
    Reference  a step of `conv_grad_weight`.
    """
    parts, groups, filter_blocks, k_h, row_size, block_columns = partials.shape
    sums = partials.reshape(-1)
    k_w = taps // k_h
    channels = row_size // k_w
    lanes = vlanes(partials)
    panel_columns = TILE_VECTORS * lanes
    panels_per_block = ceil_div(block_columns, panel_columns)
    n_panels = filter_blocks * panels_per_block
    blocks = ceil_div(channels, channels_per_chunk)
    part_size = groups * filter_blocks * k_h * row_size * block_columns
    block, rest = chunk % blocks, chunk // blocks
    p, g = rest % n_panels, rest // n_panels
    filter_block, column = p // panels_per_block, p % panels_per_block * panel_columns
    k = filter_block * block_columns + column
    columns = min(panel_columns, block_columns - column, filters - k)
    first, end = block * channels_per_chunk, min((block + 1) * channels_per_chunk, channels)
    scratch = np.empty(channels_per_chunk * taps * panel_columns, partials.dtype)
    for r in range(k_h):
        for s in range(k_w):
            filter_row = (g * filter_blocks + filter_block) * k_h + r
            for c in range(first, end):
                at = (filter_row * row_size + s * channels + c) * block_columns + column
                target = ((c - first) * taps + r * k_w + s) * panel_columns
                for j in range(0, columns, lanes):
                    used = min(lanes, columns - j)
                    total = vload_part(sums, at + j, used)
                    for i in range(1, parts):
                        total = total + vload_part(sums, at + i * part_size + j, used)
                    vstore(total, scratch, target + j)
    count = (end - first) * taps
    out_offset = ((g * filters + k) * channels + first) * taps
    if columns > 0:
        transpose_block(
            scratch, 0, panel_columns, count, columns, grad_weight, out_offset, channels * taps, count
        )  # fmt: skip


def channels_per_sum(taps: int) -> int:
    """How many channels `sum_filter_partials` takes at once, so that their sums stay in L1."""
    return max(1, SCRATCH_BYTES // (taps * TILE_VECTORS * REGISTER_BYTES))

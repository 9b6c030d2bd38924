"""Winograd convolution F(m x m, 3x3), m = 2 or 4: the forward pass and the gradient of the input.

winograd_transforms.py has the algorithm for one tile. Summed over the channels, each of its (m+2)^2 points is a
matrix product of its own,

    products[e, t, k] = sum over c of V[e, t, c] * U[e, c, k]      V = B^T d B of tile t,  U = G g G^T of filter k

(tiles x C) times (C x K), computed by the micro-kernel. V is (m+2)^2 / m^2 times as large as the input (4 or 2.25), U
(m+2)^2 / 9 times as large as the filters (1.8 or 4). The smaller of the two is computed beforehand and stays in L3; the
larger one is computed block by block in the chunks that multiply it, and a block never leaves L2:

    few filters   `transform_filters_winograd` computes U; a chunk of `conv2d_forward_winograd` multiplies a block of
                  tiles with all filters
    many filters  `transform_tiles_winograd` computes V for a slab of tiles; a chunk of
                  `conv2d_forward_winograd_many_filters` multiplies the slab with a few panels of filters, DEPTH
                  channels at a time

Planes at a distance of 2^n would share one set of the L1 cache, so they have one row more than is used.
"""

import numpy as np

from kernels.cpu.conv.winograd_matrices import TAPS
from kernels.cpu.conv.winograd_transforms import (
    all_finite,
    bias_point,
    place,
    points,
    transform_filter,
    transform_input_tiles,
    transform_output,
)
from kernels.cpu.micro.brgemm import brgemm
from kernels.cpu.micro.pack import prefetch_rows, transpose_block
from kernels.cpu.vector.split import ceil_div, split_evenly
from kernels.cpu.vector.target import REGISTER_BYTES, TILE_VECTORS
from kernels.cpu.vector.values import vlanes, vsplat, vstore
from kernels.jit import inline
from kernels.launch import kernel

# The channels whose filters are transposed and transformed at a time: their transforms stay in L2. With fewer channels,
# the products would be written and read more often between shorter sums.
DEPTH = 64 if REGISTER_BYTES == 64 else 32


@inline
def _transform_panel(
    m, weight, offset, stride_dst, stride_src, flipped, used, depth, panels, target, plane, transposed, scratch
):
    """panels[target + e * plane + l * PC + j] = (G g G^T)[e] with g = weight[offset + j * stride_dst + l * stride_src].

    For l < depth <= DEPTH; 0 for used <= j < PC. `flipped` rotates g by 180 degrees.
    """
    panel_columns = TILE_VECTORS * vlanes(panels)
    first, tap = (8 * panel_columns, -panel_columns) if flipped else (0, panel_columns)
    # Channels that are neighbours in memory are transposed together.
    step = depth if stride_src == 9 else 1
    for l in range(0, depth, step):
        transpose_block(
            weight, offset + l * stride_src, stride_dst, used, step * 9, transposed, 0, panel_columns, panel_columns
        )
        for i in range(step):
            at = i * 9 * panel_columns + first
            transform_filter(
                m, transposed, at, TAPS * tap, tap, panel_columns,
                panels, target + (l + i) * panel_columns, (m + TAPS - 1) * plane, plane, scratch,
            )  # fmt: skip


@inline
def _multiply(
    m, planes, at, row, plane, tiles, depth, panels, panels_at, panel_plane, start, first_panel, count,
    products, product_plane, accumulate, taps, next_weight, next_offset, next_row, next_rows, next_length
):  # fmt: skip
    """products[p, e, t] (+)= planes[e, t] @ panels[p, e] for `count` panels p, all points e and `tiles` tiles t.

    At the point of the bias they begin with start[first_panel + p], elsewhere with the last panel of `start`, zeros.
    The loop over points is outside that over panels: the plane of a point stays in L1 for all panels. Meanwhile the
    memory that is read next is prefetched, `next_rows` rows of `next_length` values.
    """
    panel_columns = TILE_VECTORS * vlanes(panels)
    for e in range(points(m)):
        begin, end = split_evenly(next_rows, points(m), e)
        prefetch_rows(next_weight, next_offset, next_row, begin, end, next_length)
        for p in range(count):
            is_first = e == bias_point(m) and not accumulate
            begin = (first_panel + p) * panel_columns if is_first else start.size - panel_columns
            to = (p * points(m) + e) * product_plane
            brgemm(
                tiles, planes, at + e * plane, row, 1, taps, 1, depth,
                panels, panels_at + (p * points(m) + e) * panel_plane, 0, panel_columns,
                products, to, panel_columns, panel_columns, start, begin, products, to, accumulate, False, False,
                False,
            )  # fmt: skip


@inline
def _write_tiles(
    m, products, product_plane, residual, relu, dst, h_dst, w_dst, c_dst, first_panel, count, tiles_h, tiles_w,
    first, end, scratch
):  # fmt: skip
    """Transform the products of tiles first <= t < end and `count` panels back, to their places in dst (N, H, W, K).

    Elements at the same places of `residual` are added, unless it is empty.
    """
    panel_columns = TILE_VECTORS * vlanes(dst)
    for t in range(first, end):
        image, i, j = place(t, tiles_h, tiles_w)
        target = ((image * h_dst + i * m) * w_dst + j * m) * c_dst
        rows, columns = min(m, h_dst - i * m), min(m, w_dst - j * m)
        for p in range(count):
            k = (first_panel + p) * panel_columns
            transform_output(
                m, products, p * points(m) * product_plane + (t - first) * panel_columns, product_plane, residual,
                relu, min(panel_columns, c_dst - k), dst, target + k, w_dst * c_dst, c_dst, rows, columns, scratch,
            )  # fmt: skip


@inline
def _filter_chunks(panels):
    return panels.shape[0] * ceil_div(panels.shape[2] - 1, DEPTH)


@kernel(_filter_chunks)
def transform_filters_winograd(chunk, weight, stride_dst, stride_src, flipped, c_dst, panels, m):
    """Transform the filters of a Winograd convolution and pack them.

    Computes   panels[p, e, l, j] = (G g G^T)[e] with g = weight[k, l], k = p * PC + j, and 0 for k >= c_dst.
    Requires   weight flat, (k, l, 3, 3) with the strides given; `flipped` rotates g by 180 degrees, as the gradient of
               the input needs it; panels (n_panels, (m+2)^2, c_src + 1, PC).
    Writes     panels for l < c_src.
    Parallel   over panels and blocks of channels.
    Why        the filters of a panel are transposed in squares first, so that vectors of filters are transformed.
    Reference  a step of `conv_forward` and `conv_grad_input`.
    """
    _, _, rows, panel_columns = panels.shape
    c_src, packed = rows - 1, panels.reshape(-1)
    blocks = ceil_div(c_src, DEPTH)
    p, l = chunk // blocks, chunk % blocks * DEPTH
    transposed = np.empty(DEPTH * 9 * panel_columns, panels.dtype)
    scratch = np.empty(points(m) * vlanes(panels), panels.dtype)
    _transform_panel(
        m, weight, p * panel_columns * stride_dst + l * stride_src, stride_dst, stride_src, flipped,
        min(panel_columns, c_dst - p * panel_columns), min(DEPTH, c_src - l),
        packed, (p * points(m) * rows + l) * panel_columns, rows * panel_columns, transposed, scratch,
    )  # fmt: skip


@inline
def _chunks(dst, m, tiles_per_chunk):
    return ceil_div(dst.shape[0] * ceil_div(dst.shape[1], m) * ceil_div(dst.shape[2], m), tiles_per_chunk)


@kernel(_chunks)
def conv2d_forward_winograd(
    chunk, src, panels, start, residual, relu, dst, overflowed, m, pad_top, pad_left, tiles_per_chunk, panels_at_once
):
    """A 3x3 convolution of stride 1: the forward pass, or the gradient of the input with flipped, transposed filters.

    Computes   dst[n, h, w, k] = start[k] + residual[n, h, w, k] + sum over (r, s, c) of
               src[n, h + r - pad_top, w + s - pad_left, c] * g[k, c, r, s]; if `relu`, max(0, that), NaN stays NaN.
    Requires   src (N, H, W, C), dst (N, H', W', K) C-contiguous; panels from `transform_filters_winograd`; start
               padded to full panels, and one more panel of zeros; residual as dst, or empty for none.
    Writes     all of dst; 1 to overflowed (1,) where a result is not finite.
    Parallel   over blocks of tiles, counted over the whole batch.
    Why        9 m^2 / (m+2)^2 times fewer multiplications; a block's transformed tiles and the products of
               `panels_at_once` panels stay in L2 between the three stages.
    """
    n, h_src, w_src, c_src = src.shape
    _, h_dst, w_dst, c_dst = dst.shape
    source, destination, packed, added = src.reshape(-1), dst.reshape(-1), panels.reshape(-1), residual.reshape(-1)
    n_panels, panel_columns = panels.shape[0], panels.shape[3]
    panel_plane = panels.shape[2] * panel_columns
    tiles_h, tiles_w = ceil_div(h_dst, m), ceil_div(w_dst, m)
    tiles = n * tiles_h * tiles_w
    lanes = vlanes(src)
    row = ceil_div(c_src, lanes) * lanes
    plane, product_plane = tiles_per_chunk * row + panel_columns, (tiles_per_chunk + 1) * panel_columns
    first, end = chunk * tiles_per_chunk, min((chunk + 1) * tiles_per_chunk, tiles)
    tile = np.empty(points(m) * row, src.dtype)
    scratch = np.empty((points(m) + 1) * lanes, src.dtype)
    vstore(vsplat(scratch, 0.0), scratch, points(m) * lanes)
    planes = np.empty(points(m) * plane, src.dtype)
    products = np.empty(panels_at_once * points(m) * product_plane, src.dtype)
    taps = np.zeros(1, np.int64)
    transform_input_tiles(
        m, source, h_src, w_src, c_src, 0, c_src, pad_top, pad_left, tiles_h, tiles_w, first, end,
        planes, 0, row, plane, tile, scratch,
    )  # fmt: skip
    for p in range(0, n_panels, panels_at_once):
        count = min(panels_at_once, n_panels - p)
        _multiply(
            m, planes, 0, row, plane, end - first, c_src, packed, p * points(m) * panel_plane, panel_plane,
            start, p, count, products, product_plane, False, taps, packed, 0, 0, 0, 0,
        )  # fmt: skip
        _write_tiles(
            m, products, product_plane, added, relu, destination, h_dst, w_dst, c_dst, p, count,
            tiles_h, tiles_w, first, end, scratch,
        )  # fmt: skip
    if not all_finite(scratch, points(m) * lanes):
        overflowed[0] = 1


@inline
def _tile_chunks(planes, tiles_per_chunk):
    return planes.shape[0] * ceil_div(planes.shape[2] - 1, tiles_per_chunk)


@kernel(_tile_chunks)
def transform_tiles_winograd(chunk, src, planes, m, pad_top, pad_left, tiles_h, tiles_w, first_tile, tiles_per_chunk):
    """Transform a slab of tiles of a Winograd convolution's input.

    Computes   planes[b, e, t, c] = (B^T d B)[e], d the (m+2) x (m+2) pixels under tile first_tile + t, channel
               b * DEPTH + c; 0 outside the image.
    Requires   src (N, H, W, C) C-contiguous; planes (ceil(C / DEPTH), (m+2)^2, tiles of the slab + 1, DEPTH).
    Writes     planes for t < tiles and channels up to C rounded up to whole vectors.
    Parallel   over blocks of channels and of tiles.
    Why        see `transform_input_tiles`; the multiplication reads a block of channels contiguously.
    Reference  a step of `conv_forward` and `conv_grad_input`.
    """
    _, h_src, w_src, c_src = src.shape
    source, out = src.reshape(-1), planes.reshape(-1)
    tiles = planes.shape[2] - 1
    plane = (tiles + 1) * DEPTH
    lanes = vlanes(src)
    b, first = chunk % planes.shape[0], chunk // planes.shape[0] * tiles_per_chunk
    end = min(first + tiles_per_chunk, tiles)
    tile = np.empty(points(m) * DEPTH, src.dtype)
    scratch = np.empty(points(m) * lanes, src.dtype)
    transform_input_tiles(
        m, source, h_src, w_src, c_src, b * DEPTH, min(DEPTH, c_src - b * DEPTH), pad_top, pad_left,
        tiles_h, tiles_w, first_tile + first, first_tile + end,
        out, b * points(m) * plane + first * DEPTH, DEPTH, plane, tile, scratch,
    )  # fmt: skip


@inline
def _many_filters_chunks(planes, start, tiles_per_chunk, panels_per_chunk):
    n_panels = start.size // (TILE_VECTORS * vlanes(planes)) - 1
    return ceil_div(n_panels, panels_per_chunk) * ceil_div(planes.shape[2] - 1, tiles_per_chunk)


@kernel(_many_filters_chunks)
def conv2d_forward_winograd_many_filters(
    chunk,
    planes,
    weight,
    stride_dst,
    stride_src,
    flipped,
    start,
    residual,
    relu,
    dst,
    overflowed,
    m,
    c_src,
    first_tile,
    panels_per_chunk,
    tiles_per_chunk,
):
    """A 3x3 convolution of stride 1 and many filters: the forward pass, or the gradient of the input.

    Computes   what `conv2d_forward_winograd` does, for the pixels of a slab of tiles.
    Requires   planes from `transform_tiles_winograd`; weight, strides and `flipped` as `transform_filters_winograd`;
               start padded to full panels, and one more panel of zeros; dst (N, H', W', K) C-contiguous; residual as
               dst, or empty for none.
    Writes     the pixels of the slab's tiles in dst; 1 to overflowed (1,) where a result is not finite.
    Parallel   over blocks of tiles and of panels of filters.
    Why        see `conv2d_forward_winograd`. The transformed filters never leave L2: they are computed for DEPTH
               channels at a time, and the products of a chunk's tiles are summed over these blocks of channels.
    """
    _, h_dst, w_dst, c_dst = dst.shape
    destination, source, added = dst.reshape(-1), planes.reshape(-1), residual.reshape(-1)
    tiles = planes.shape[2] - 1
    plane = (tiles + 1) * DEPTH
    tiles_h, tiles_w = ceil_div(h_dst, m), ceil_div(w_dst, m)
    lanes = vlanes(planes)
    panel_columns = TILE_VECTORS * lanes
    n_panels = start.size // panel_columns - 1
    panel_blocks = ceil_div(n_panels, panels_per_chunk)
    panel_plane, product_plane = (DEPTH + 1) * panel_columns, (tiles_per_chunk + 1) * panel_columns
    first_panel, first = chunk % panel_blocks * panels_per_chunk, chunk // panel_blocks * tiles_per_chunk
    count, end = min(panels_per_chunk, n_panels - first_panel), min(first + tiles_per_chunk, tiles)
    transposed = np.empty(DEPTH * 9 * panel_columns, planes.dtype)
    scratch = np.empty((points(m) + 1) * lanes, planes.dtype)
    vstore(vsplat(scratch, 0.0), scratch, points(m) * lanes)
    panels = np.empty(count * points(m) * panel_plane, planes.dtype)
    products = np.empty(count * points(m) * product_plane, planes.dtype)
    taps = np.zeros(1, np.int64)
    # The filters of the next DEPTH channels, as rows of the weight: one of the two axes is their length.
    filters = min(count * panel_columns, c_dst - first_panel * panel_columns)
    next_rows, next_length = (filters, DEPTH * 9) if stride_src == 9 else (DEPTH, filters * 9)
    for l in range(0, c_src, DEPTH):
        depth = min(DEPTH, c_src - l)
        for p in range(count):
            k = (first_panel + p) * panel_columns
            _transform_panel(
                m, weight, k * stride_dst + l * stride_src, stride_dst, stride_src, flipped,
                min(panel_columns, c_dst - k), depth, panels, p * points(m) * panel_plane, panel_plane,
                transposed, scratch,
            )  # fmt: skip
        _multiply(
            m, source, l * points(m) * (tiles + 1) + first * DEPTH, DEPTH, plane, end - first, depth,
            panels, 0, panel_plane, start, first_panel, count, products, product_plane, l > 0, taps,
            weight, first_panel * panel_columns * stride_dst + (l + DEPTH) * stride_src,
            max(stride_dst, stride_src), next_rows if l + DEPTH < c_src else 0, next_length,
        )  # fmt: skip
    _write_tiles(
        m, products, product_plane, added, relu, destination, h_dst, w_dst, c_dst, first_panel, count,
        tiles_h, tiles_w, first_tile + first, first_tile + end, scratch,
    )  # fmt: skip
    if not all_finite(scratch, points(m) * lanes):
        overflowed[0] = 1

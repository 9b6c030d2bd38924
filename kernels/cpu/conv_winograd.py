"""Winograd convolution F(4x4, 3x3): the forward pass and the gradient of the input.

conv_winograd_transforms.py has the algorithm for one tile. Summed over the channels, each of its 36 points is a matrix
product of its own,

    products[e, t, k] = sum over c of V[e, t, c] * U[e, c, k]      V = B^T d B of tile t,  U = G g G^T of filter k

(tiles x C) times (C x K): the micro-kernel's work. V is 2.25 times as large as the input, U four times as large as the
filters. Of the two the smaller one is made beforehand and stays in L3; the larger one is made piece by piece by the
tasks that multiply it, and a piece never leaves L2:

    few filters   `transform_filters_...` makes U; a task of `conv2d_winograd_...` takes a block of tiles through all
                  filters
    many filters  `transform_tiles_...` makes V for a slab of tiles; a task of `conv2d_winograd_many_filters_...` takes
                  a few panels of filters through the slab, DEPTH channels at a time

36 planes at a distance of 2^n would share one set of the L1 cache, so planes have a row more than is used.
"""

import numpy as np

from kernels.cpu.brgemm import brgemm
from kernels.cpu.conv_winograd_transforms import (
    OUT_TILE,
    POINTS,
    place,
    transform_filter,
    transform_input_tiles,
    transform_output,
)
from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.cpu.pack import transpose_block
from kernels.cpu.target import REGISTER_BYTES, TILE_VECTORS
from kernels.jit import inline, kernel, prange

# The channels whose filters are turned and transformed at a time: turned they stay in L1, transformed in L2.
DEPTH = 32


@inline
def _transform_panel(
    weight, offset, stride_dst, stride_src, flipped, used, depth, panels, target, plane, turned, scratch
):
    """panels[target + e * plane + l * PC + j] = (G g G^T)[e] with g = weight[offset + j * stride_dst + l * stride_src].

    For l < depth <= DEPTH; 0 for used <= j < PC. `flipped` turns g by 180 degrees.
    """
    panel_columns = TILE_VECTORS * (REGISTER_BYTES // panels.itemsize)
    first, tap = (8 * panel_columns, -panel_columns) if flipped else (0, panel_columns)
    # Channels that are neighbours in memory are turned together.
    step = depth if stride_src == 9 else 1
    for l in range(0, depth, step):
        transpose_block(
            weight, offset + l * stride_src, stride_dst, used, step * 9, turned, 0, panel_columns, panel_columns
        )
        for i in range(step):
            at = i * 9 * panel_columns + first
            transform_filter(turned, at, tap, panels, target + (l + i) * panel_columns, plane, scratch)


@inline
def _multiply(
    planes, at, row, plane, tiles, depth, panels, panels_at, panel_plane, count, products, product_plane, accumulate,
    taps, zeros
):  # fmt: skip
    """products[p, e, t] (+)= planes[e, t] @ panels[p, e] for `count` panels p, all points e and `tiles` tiles t.

    The points are outside the panels: a point's plane stays in L1 for all of them.
    """
    panel_columns = TILE_VECTORS * (REGISTER_BYTES // panels.itemsize)
    for e in range(POINTS):
        for p in range(count):
            brgemm(
                tiles, planes, at + e * plane, row, 1, taps, 1, depth,
                panels, panels_at + (p * POINTS + e) * panel_plane, 0, panel_columns,
                products, (p * POINTS + e) * product_plane, panel_columns, panel_columns,
                zeros, 0, accumulate, False, False,
            )  # fmt: skip


@inline
def _write_tiles(
    products, product_plane, start, relu, dst, h_dst, w_dst, c_dst, first_panel, count, tiles_h, tiles_w, first, end,
    scratch
):  # fmt: skip
    """Transform the products of tiles first <= t < end and `count` panels back, to their places in dst (N, H, W, K)."""
    panel_columns = TILE_VECTORS * (REGISTER_BYTES // dst.itemsize)
    for t in range(first, end):
        image, i, j = place(t, tiles_h, tiles_w)
        target = ((image * h_dst + i * OUT_TILE) * w_dst + j * OUT_TILE) * c_dst
        rows, columns = min(OUT_TILE, h_dst - i * OUT_TILE), min(OUT_TILE, w_dst - j * OUT_TILE)
        for p in range(count):
            k = (first_panel + p) * panel_columns
            transform_output(
                products, p * POINTS * product_plane + (t - first) * panel_columns, product_plane, start, k, relu,
                min(panel_columns, c_dst - k), dst, target + k, w_dst * c_dst, c_dst, rows, columns, scratch,
            )  # fmt: skip


@kernel
def transform_filters_f4x4_k3x3(weight, stride_dst, stride_src, flipped, c_dst, panels):
    """Transform the filters of a Winograd convolution and pack them.

    Computes   panels[p, e, l, j] = (G g G^T)[e] with g = weight[k, l], k = p * PC + j, and 0 for k >= c_dst.
    Requires   weight flat, (k, l, 3, 3) with the strides given; `flipped` turns g by 180 degrees, as the gradient of
               the input needs it; panels (n_panels, 36, c_src + 1, PC).
    Writes     panels for l < c_src.
    Parallel   over panels and blocks of channels.
    Why        the filters of a panel are turned in squares first, so that the transform works on vectors of them.
    """
    n_panels, _, rows, panel_columns = panels.shape
    c_src, packed = rows - 1, panels.reshape(-1)
    blocks = (c_src + DEPTH - 1) // DEPTH
    lanes = REGISTER_BYTES // panels.itemsize
    for task in prange(n_panels * blocks):
        mode = flush_denormals()
        p, l = task // blocks, task % blocks * DEPTH
        turned = np.empty(DEPTH * 9 * panel_columns, panels.dtype)
        scratch = np.empty(POINTS * lanes, panels.dtype)
        _transform_panel(
            weight, p * panel_columns * stride_dst + l * stride_src, stride_dst, stride_src, flipped,
            min(panel_columns, c_dst - p * panel_columns), min(DEPTH, c_src - l),
            packed, (p * POINTS * rows + l) * panel_columns, rows * panel_columns, turned, scratch,
        )  # fmt: skip
        restore_denormals(mode)


@kernel
def conv2d_winograd_f4x4_k3x3(src, panels, start, relu, dst, pad_top, pad_left, tiles_per_task, panels_at_once):
    """A 3x3 convolution of stride 1: the forward pass, or the gradient of the input with flipped, transposed filters.

    Computes   dst[n, h, w, k] = start[k] + sum over (r, s, c) of
               src[n, h + r - pad_top, w + s - pad_left, c] * g[k, c, r, s]; if `relu`, max(0, that), NaN stays NaN.
    Requires   src (N, H, W, C), dst (N, H', W', K) C-contiguous; panels from `transform_filters_f4x4_k3x3`; start
               padded to full panels.
    Writes     all of dst.
    Parallel   over blocks of tiles, counted over the whole batch.
    Why        a quarter of the multiplications; a block's transformed tiles and the products of `panels_at_once` panels
               stay in L2 between the three stages.
    """
    n, h_src, w_src, c_src = src.shape
    _, h_dst, w_dst, c_dst = dst.shape
    source, destination, packed = src.reshape(-1), dst.reshape(-1), panels.reshape(-1)
    n_panels, panel_columns = panels.shape[0], panels.shape[3]
    panel_plane = panels.shape[2] * panel_columns
    tiles_h, tiles_w = (h_dst + OUT_TILE - 1) // OUT_TILE, (w_dst + OUT_TILE - 1) // OUT_TILE
    tiles = n * tiles_h * tiles_w
    lanes = REGISTER_BYTES // src.itemsize
    row = (c_src + lanes - 1) // lanes * lanes
    plane, product_plane = tiles_per_task * row + panel_columns, (tiles_per_task + 1) * panel_columns
    for task in prange((tiles + tiles_per_task - 1) // tiles_per_task):
        mode = flush_denormals()
        first, end = task * tiles_per_task, min((task + 1) * tiles_per_task, tiles)
        tile = np.empty(POINTS * row, src.dtype)
        scratch = np.empty(POINTS * lanes, src.dtype)
        planes = np.empty(POINTS * plane, src.dtype)
        products = np.empty(panels_at_once * POINTS * product_plane, src.dtype)
        zeros = np.zeros(panel_columns, src.dtype)
        taps = np.zeros(1, np.int64)
        transform_input_tiles(
            source, h_src, w_src, c_src, 0, c_src, pad_top, pad_left, tiles_h, tiles_w, first, end,
            planes, 0, row, plane, tile, scratch,
        )  # fmt: skip
        for p in range(0, n_panels, panels_at_once):
            count = min(panels_at_once, n_panels - p)
            _multiply(
                planes, 0, row, plane, end - first, c_src, packed, p * POINTS * panel_plane, panel_plane, count,
                products, product_plane, False, taps, zeros,
            )  # fmt: skip
            _write_tiles(
                products, product_plane, start, relu, destination, h_dst, w_dst, c_dst, p, count, tiles_h, tiles_w,
                first, end, scratch,
            )  # fmt: skip
        restore_denormals(mode)


@kernel
def transform_tiles_f4x4_k3x3(src, planes, pad_top, pad_left, tiles_h, tiles_w, first_tile, tiles_per_task):
    """Transform a slab of tiles of a Winograd convolution's input.

    Computes   planes[b, e, t, c] = (B^T d B)[e], d the 6x6 pixels under tile first_tile + t, channel b * DEPTH + c; 0
               outside the image.
    Requires   src (N, H, W, C) C-contiguous; planes (ceil(C / DEPTH), 36, tiles of the slab + 1, DEPTH).
    Writes     planes for t < tiles and channels up to C rounded up to whole vectors.
    Parallel   over blocks of channels and of tiles.
    Why        see `transform_input_tiles`; the multiplication reads a block of channels in one straight line.
    """
    _, h_src, w_src, c_src = src.shape
    source, out = src.reshape(-1), planes.reshape(-1)
    tiles = planes.shape[2] - 1
    blocks, plane = (tiles + tiles_per_task - 1) // tiles_per_task, (tiles + 1) * DEPTH
    lanes = REGISTER_BYTES // src.itemsize
    for task in prange(planes.shape[0] * blocks):
        mode = flush_denormals()
        b, first = task % planes.shape[0], task // planes.shape[0] * tiles_per_task
        end = min(first + tiles_per_task, tiles)
        tile = np.empty(POINTS * DEPTH, src.dtype)
        scratch = np.empty(POINTS * lanes, src.dtype)
        transform_input_tiles(
            source, h_src, w_src, c_src, b * DEPTH, min(DEPTH, c_src - b * DEPTH), pad_top, pad_left, tiles_h, tiles_w,
            first_tile + first, first_tile + end, out, b * POINTS * plane + first * DEPTH, DEPTH, plane, tile, scratch,
        )  # fmt: skip
        restore_denormals(mode)


@kernel
def conv2d_winograd_many_filters_f4x4_k3x3(
    planes,
    weight,
    stride_dst,
    stride_src,
    flipped,
    start,
    relu,
    dst,
    c_src,
    first_tile,
    panels_per_task,
    tiles_per_task,
):
    """A 3x3 convolution of stride 1 and many filters: the forward pass, or the gradient of the input.

    Computes   what `conv2d_winograd_f4x4_k3x3` does, for the pixels of a slab of tiles.
    Requires   planes from `transform_tiles_f4x4_k3x3`; weight, strides and `flipped` as `transform_filters_f4x4_k3x3`;
               start padded to full panels; dst (N, H', W', K) C-contiguous.
    Writes     dst where the slab's tiles lie.
    Parallel   over blocks of tiles and of panels of filters.
    Why        a quarter of the multiplications. The transformed filters never leave L2; they are made for DEPTH
               channels at a time, and the products of a task's tiles are summed over these.
    """
    _, h_dst, w_dst, c_dst = dst.shape
    destination, source = dst.reshape(-1), planes.reshape(-1)
    tiles = planes.shape[2] - 1
    plane = (tiles + 1) * DEPTH
    tiles_h, tiles_w = (h_dst + OUT_TILE - 1) // OUT_TILE, (w_dst + OUT_TILE - 1) // OUT_TILE
    lanes = REGISTER_BYTES // planes.itemsize
    panel_columns = TILE_VECTORS * lanes
    n_panels = start.size // panel_columns
    panel_blocks = (n_panels + panels_per_task - 1) // panels_per_task
    panel_plane, product_plane = (DEPTH + 1) * panel_columns, (tiles_per_task + 1) * panel_columns
    for task in prange(panel_blocks * ((tiles + tiles_per_task - 1) // tiles_per_task)):
        mode = flush_denormals()
        first_panel, first = task % panel_blocks * panels_per_task, task // panel_blocks * tiles_per_task
        count, end = min(panels_per_task, n_panels - first_panel), min(first + tiles_per_task, tiles)
        turned = np.empty(DEPTH * 9 * panel_columns, planes.dtype)
        scratch = np.empty(POINTS * lanes, planes.dtype)
        panels = np.empty(count * POINTS * panel_plane, planes.dtype)
        products = np.empty(count * POINTS * product_plane, planes.dtype)
        zeros = np.zeros(panel_columns, planes.dtype)
        taps = np.zeros(1, np.int64)
        for l in range(0, c_src, DEPTH):
            depth = min(DEPTH, c_src - l)
            for p in range(count):
                k = (first_panel + p) * panel_columns
                _transform_panel(
                    weight, k * stride_dst + l * stride_src, stride_dst, stride_src, flipped,
                    min(panel_columns, c_dst - k), depth, panels, p * POINTS * panel_plane, panel_plane,
                    turned, scratch,
                )  # fmt: skip
            _multiply(
                source, l * POINTS * (tiles + 1) + first * DEPTH, DEPTH, plane, end - first, depth,
                panels, 0, panel_plane, count, products, product_plane, l > 0, taps, zeros,
            )  # fmt: skip
        _write_tiles(
            products, product_plane, start, relu, destination, h_dst, w_dst, c_dst, first_panel, count,
            tiles_h, tiles_w, first_tile + first, first_tile + end, scratch,
        )  # fmt: skip
        restore_denormals(mode)

"""Winograd convolution F(4x4, 3x3): 36 multiplications for what takes the direct algorithm 144.

A 3x3 filter g makes a 4x4 tile of output from a 6x6 tile of input d. In each dimension that is a product of
polynomials, which is known from its values at six points; transforming both factors to these values, multiplying them
point by point and transforming back gives

    Y = A^T [ (G g G^T) * (B^T d B) ] A                          (* element by element)

Summed over the channels, each of the 36 points is a matrix product of its own, (tiles x C) times (C x K): the
micro-kernel's work. Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2016),
sections 4.1 and 4.2; the matrices are theirs (points 0, 1, -1, 2, -2 and infinity):

          4  0 -5  0  1  0         1/4    0    0         1  1  1  1  1  0
          0 -4 -4  1  1  0        -1/6 -1/6 -1/6         0  1 -1  2 -2  0
    B^T = 0  4 -4 -1  1  0    G = -1/6  1/6 -1/6   A^T = 0  1  1  4  4  0
          0 -2 -1  2  1  0        1/24 1/12  1/6         0  1 -1  8 -8  1
          0  2 -1 -2  1  0        1/24 -1/12 1/6
          0  4  0 -5  0  1           0    0    1

The price is accuracy: the factors up to 8 cost about one decimal digit against the direct algorithm.
"""

import numpy as np

from kernels.cpu.brgemm import brgemm
from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.cpu.simd import vload, vload_part, vsplat, vstore, vstore_part
from kernels.cpu.target import REGISTER_BYTES, TILE_VECTORS
from kernels.cpu.window import copy_window
from kernels.jit import inline, kernel, prange

OUT_TILE = 4
IN_TILE = 6
POINTS = IN_TILE * IN_TILE


@inline
def _load_six(array, at, step):
    """Six vectors, `step` values apart."""
    return (
        vload(array, at), vload(array, at + step), vload(array, at + 2 * step),
        vload(array, at + 3 * step), vload(array, at + 4 * step), vload(array, at + 5 * step),
    )  # fmt: skip


@inline
def _load_six_parts(array, at, step, count):
    """The first `count` lanes of six vectors, `step` values apart."""
    return (
        vload_part(array, at, count), vload_part(array, at + step, count), vload_part(array, at + 2 * step, count),
        vload_part(array, at + 3 * step, count), vload_part(array, at + 4 * step, count),
        vload_part(array, at + 5 * step, count),
    )  # fmt: skip


@inline
def _store_six_parts(values, array, at, step, count):
    """The first `count` lanes of six vectors, `step` values apart."""
    vstore_part(values[0], array, at, count)
    vstore_part(values[1], array, at + step, count)
    vstore_part(values[2], array, at + 2 * step, count)
    vstore_part(values[3], array, at + 3 * step, count)
    vstore_part(values[4], array, at + 4 * step, count)
    vstore_part(values[5], array, at + 5 * step, count)


@inline
def _store_six(values, array, at, step):
    """Six vectors, `step` values apart."""
    vstore(values[0], array, at)
    vstore(values[1], array, at + step)
    vstore(values[2], array, at + 2 * step)
    vstore(values[3], array, at + 3 * step)
    vstore(values[4], array, at + 4 * step)
    vstore(values[5], array, at + 5 * step)


@inline
def _input_1d(d, two, four, five):
    """B^T d for a column of six vectors; rows 1 and 2, and 3 and 4, share their sums."""
    d0, d1, d2, d3, d4, d5 = d
    a, b = d4 - four * d2, d3 - four * d1
    c, e = d4 - d2, two * (d3 - d1)
    return four * d0 - five * d2 + d4, a + b, a - b, c + e, c - e, four * d1 - five * d3 + d5


@inline
def _output_1d(m, two, four, eight):
    """A^T m for a column of six vectors."""
    m0, m1, m2, m3, m4, m5 = m
    sum_12, difference_12 = m1 + m2, m1 - m2
    sum_34, difference_34 = m3 + m4, m3 - m4
    return (
        m0 + sum_12 + sum_34,
        difference_12 + two * difference_34,
        sum_12 + four * sum_34,
        difference_12 + eight * difference_34 + m5,
    )


@inline
def _filter_1d(g0, g1, g2, quarter, sixth, twelfth, twenty_fourth):
    """G g for a column of three vectors."""
    ends, middle = sixth * (g0 + g2), sixth * g1
    opposite = middle - ends
    far, near = twenty_fourth * g0 + sixth * g2, twelfth * g1
    return quarter * g0, opposite - (middle + middle), opposite, far + near, far - near, g2


@kernel
def transform_filters_f4x4_k3x3(weight, stride_dst, stride_src, flipped, c_dst, panels):
    """Transform the filters of a Winograd convolution and pack them.

    Computes   panels[p, e, l, j] = (G g G^T)[e] with g = weight[k, l], k = p * PC + j, and 0 for k >= c_dst.
    Requires   weight flat, (k, l, 3, 3) with the strides given; `flipped` turns g by 180 degrees, as the gradient of
               the input needs it; panels (n_panels, 36, c_src, PC).
    Writes     all of panels.
    Parallel   over panels and channels.
    Why        the filters of a panel are gathered side by side first, so that the transform works on vectors of them.
    """
    n_panels, _, c_src, panel_columns = panels.shape
    packed = panels.reshape(-1)
    lanes = REGISTER_BYTES // panels.itemsize
    for task in prange(n_panels * c_src):
        mode = flush_denormals()
        p, l = task // c_src, task % c_src
        quarter, sixth = vsplat(packed, 1 / 4), vsplat(packed, 1 / 6)
        twelfth, twenty_fourth = vsplat(packed, 1 / 12), vsplat(packed, 1 / 24)
        used = min(panel_columns, c_dst - p * panel_columns)
        gathered = np.empty(9 * panel_columns, panels.dtype)
        scratch = np.empty(IN_TILE * 3 * lanes, panels.dtype)
        for j in range(panel_columns):
            g = (p * panel_columns + j) * stride_dst + l * stride_src
            for t in range(9):
                tap = 8 - t if flipped else t
                gathered[t * panel_columns + j] = weight[g + tap] if j < used else 0
        for v in range(0, panel_columns, lanes):
            for s in range(3):
                column = _filter_1d(
                    vload(gathered, s * panel_columns + v),
                    vload(gathered, (3 + s) * panel_columns + v),
                    vload(gathered, (6 + s) * panel_columns + v),
                    quarter, sixth, twelfth, twenty_fourth,
                )  # fmt: skip
                at, step = s * lanes, 3 * lanes
                _store_six(column, scratch, at, step)
            for i in range(IN_TILE):
                at = i * 3 * lanes
                row = _filter_1d(
                    vload(scratch, at), vload(scratch, at + lanes), vload(scratch, at + 2 * lanes),
                    quarter, sixth, twelfth, twenty_fourth,
                )  # fmt: skip
                at = ((p * POINTS + i * IN_TILE) * c_src + l) * panel_columns + v
                step = c_src * panel_columns
                _store_six(row, packed, at, step)
        restore_denormals(mode)


@inline
def _transform_input(window, row_stride, column, channels, planes, plane_size, offset, scratch):
    """planes[e * plane_size + offset + c] = (B^T d B)[e] for the 6x6 tile that begins at `column` of the window."""
    lanes = REGISTER_BYTES // window.itemsize
    two, four, five = vsplat(window, 2.0), vsplat(window, 4.0), vsplat(window, 5.0)
    for c in range(0, channels, lanes):
        used = min(lanes, channels - c)
        for i in range(IN_TILE):
            at = i * row_stride + column * channels + c
            row = _input_1d(_load_six_parts(window, at, channels, used), two, four, five)
            _store_six(row, scratch, i * IN_TILE * lanes, lanes)
        for q in range(IN_TILE):
            values = _input_1d(_load_six(scratch, q * lanes, IN_TILE * lanes), two, four, five)
            _store_six_parts(values, planes, q * plane_size + offset + c, IN_TILE * plane_size, used)


@inline
def _transform_output(
    products, plane_size, offset, columns, bias, bias_offset, dst, dst_offset, row_stride, c_dst, rows, width, scratch
):
    """Write A^T m A, plus the bias, to the part of a 4x4 tile of dst that lies inside the image."""
    lanes = REGISTER_BYTES // products.itemsize
    two, four, eight = vsplat(products, 2.0), vsplat(products, 4.0), vsplat(products, 8.0)
    for k in range(0, columns, lanes):
        used = min(lanes, columns - k)
        for i in range(IN_TILE):
            at = i * IN_TILE * plane_size + offset + k
            row = _output_1d(_load_six(products, at, plane_size), two, four, eight)
            at = i * OUT_TILE * lanes
            vstore(row[0], scratch, at)
            vstore(row[1], scratch, at + lanes)
            vstore(row[2], scratch, at + 2 * lanes)
            vstore(row[3], scratch, at + 3 * lanes)
        start = vload(bias, bias_offset + k)
        for q in range(width):
            y = _output_1d(_load_six(scratch, q * lanes, OUT_TILE * lanes), two, four, eight)
            at = dst_offset + q * c_dst + k
            vstore_part(y[0] + start, dst, at, used)
            if rows > 1:
                vstore_part(y[1] + start, dst, at + row_stride, used)
            if rows > 2:
                vstore_part(y[2] + start, dst, at + 2 * row_stride, used)
            if rows > 3:
                vstore_part(y[3] + start, dst, at + 3 * row_stride, used)


@kernel
def conv2d_winograd_f4x4_k3x3(src, panels, bias, dst, pad_top, pad_left, tile_rows_per_task):
    """A 3x3 convolution of stride 1: the forward pass, or the gradient of the input with flipped, transposed filters.

    Computes   dst[n, h, w, k] = bias[k] + sum over (r, s, c) of
               src[n, h + r - pad_top, w + s - pad_left, c] * g[k, c, r, s].
    Requires   src (N, H, W, C), dst (N, H', W', K) C-contiguous; panels from `transform_filters_f4x4_k3x3`; bias padded
               to full panels.
    Writes     all of dst.
    Parallel   over blocks of rows of tiles, counted over the whole batch.
    Why        a quarter of the multiplications; the 36 transformed planes of a block and the products of one panel stay
               in L2 between the three stages.
    """
    n, h_src, w_src, c_src = src.shape
    _, h_dst, w_dst, c_dst = dst.shape
    source, destination, packed = src.reshape(-1), dst.reshape(-1), panels.reshape(-1)
    n_panels, panel_columns = panels.shape[0], panels.shape[3]
    tiles_h, tiles_w = (h_dst + OUT_TILE - 1) // OUT_TILE, (w_dst + OUT_TILE - 1) // OUT_TILE
    tile_rows = n * tiles_h
    window_columns = tiles_w * OUT_TILE + 2
    row_stride = window_columns * c_src
    lanes = REGISTER_BYTES // src.itemsize
    for task in prange((tile_rows + tile_rows_per_task - 1) // tile_rows_per_task):
        mode = flush_denormals()
        first_row = task * tile_rows_per_task
        rows = min(tile_rows_per_task, tile_rows - first_row)
        tiles = rows * tiles_w
        window = np.empty(IN_TILE * row_stride, src.dtype)
        scratch = np.empty(POINTS * lanes, src.dtype)
        planes = np.empty(POINTS * tiles * c_src, src.dtype)
        products = np.empty(POINTS * tiles * panel_columns, src.dtype)
        zeros = np.zeros(TILE_VECTORS * lanes, src.dtype)
        taps = np.zeros(1, np.int64)
        for row in range(rows):
            image, i = (first_row + row) // tiles_h, (first_row + row) % tiles_h
            copy_window(
                source, image * h_src * w_src * c_src, h_src, w_src, c_src, 0, c_src,
                i * OUT_TILE - pad_top, -pad_left, window, IN_TILE, window_columns,
            )  # fmt: skip
            for j in range(tiles_w):
                offset = (row * tiles_w + j) * c_src
                _transform_input(window, row_stride, j * OUT_TILE, c_src, planes, tiles * c_src, offset, scratch)
        for p in range(n_panels):
            columns = min(panel_columns, c_dst - p * panel_columns)
            # The last panel's products fill whole vectors too: its filters beyond the last are zero.
            wide = (columns + lanes - 1) // lanes * lanes
            for e in range(POINTS):
                brgemm(
                    tiles, planes, e * tiles * c_src, c_src, 1, taps, 1, c_src,
                    packed, (p * POINTS + e) * c_src * panel_columns, 0, panel_columns,
                    products, e * tiles * panel_columns, panel_columns, wide, zeros, 0, False, False, False,
                )  # fmt: skip
            for row in range(rows):
                image, i = (first_row + row) // tiles_h, (first_row + row) % tiles_h
                for j in range(tiles_w):
                    pixel = (image * h_dst + i * OUT_TILE) * w_dst + j * OUT_TILE
                    _transform_output(
                        products, tiles * panel_columns, (row * tiles_w + j) * panel_columns, columns,
                        bias, p * panel_columns, destination, pixel * c_dst + p * panel_columns, w_dst * c_dst, c_dst,
                        min(OUT_TILE, h_dst - i * OUT_TILE), min(OUT_TILE, w_dst - j * OUT_TILE), scratch,
                    )  # fmt: skip
        restore_denormals(mode)

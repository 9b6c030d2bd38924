"""Matrix products on the micro-kernel: `matmul`, `linear`, pointwise convolution, and their gradients.

The blocks and their order are those of K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix
Multiplication" (2008), section 4: block_depth rows of a panel of B stay near the core while all tiles of a block of
rows use them, and the block of A stays in L2 while all panels use it.

A is read in place if its rows are contiguous and short. Else a block of A is copied first: the rows are in different
pages, and often a power of two apart, so they would share few sets of the L1 cache and evict each other. Of a
transposed A the tiles are copied, so that the micro-kernel reads them contiguously. For the same reasons, blocks of
some panels of B are copied if B was not packed as a whole, unless so few tiles use them that it is cheaper to read B in
place, once for each tile.

    A^T, a block                 copied
    l=0 | m0 m1 m2 m3 ...        tile 0: l=0 | m0 m1 .. m5 |, l=1 | m0 m1 .. m5 |, ...
    l=1 | m0 m1 m2 m3 ...        tile 1: l=0 | m6 m7 ..    |, ...
"""

import numpy as np

from kernels.cpu.micro.brgemm import brgemm
from kernels.cpu.micro.pack import copy_panels, copy_tiles, prefetch_rows, transpose_block
from kernels.cpu.vector.copy import copy_line
from kernels.cpu.vector.split import ceil_div, split_evenly
from kernels.cpu.vector.target import STREAM_BYTES, TILE_ROWS, TILE_VECTORS
from kernels.cpu.vector.values import load_lanes, store_lanes, vlanes, vload, vrelu
from kernels.jit import inline
from kernels.launch import kernel

PANELS_PER_COPY = 8  # panels of b that are copied together: whole cache lines and pages, and a third of L2


@inline
def _copy_rows(a, offset, row, rows, length, block, block_row):
    """block[m * block_row + l] = a[offset + m * row + l]."""
    for m in range(rows):
        copy_line(a, offset + m * row, block, m * block_row, length)


@inline
def _chunks(out, row_blocks, panel_blocks):
    return out.shape[0] * out.shape[1] * row_blocks * panel_blocks


@kernel(_chunks)
def gemm(
    chunk, a, a_offsets, a_row, a_col, copied, b, b_offsets, b_panel, b_row, packed, in_place, start, residual, relu,
    out, depth, row_blocks, panel_blocks, block_depth,
):  # fmt: skip
    """A stack of matrix products, each as partial sums over parts of the summation index.

    Computes   out[s, i, m, j] = start[s == 0, j] + (residual[i, m, j] if s == 0) + sum over the l of part s of
               a[a_offsets[i] + m * a_row + l * a_col] * B[i, l, j] with
               B[i, l, j] = b[b_offsets[i] + j // PC * b_panel + l * b_row + j % PC], PC = 2 * VL;
               if `relu` (with a single part), max(0, that), where NaN stays NaN.
    Requires   a and b flat; a_row or a_col is 1, and blocks of a are `copied` unless a_col is; b in panels from
               `pack_matrices` if `packed`, else a matrix with contiguous rows, which is read in place if `in_place`
               and else copied; start (2, panels * PC), row 0 zero; residual flat, as out[0], or empty for none;
               out (parts, count, M, N) C-contiguous; row_blocks <= M, panel_blocks <=
               panels, parts <= depth.
    Writes     all of out.
    Parallel   over parts, the stack, blocks of rows and blocks of panels.
    Why        see the top of this file.
    """
    parts, count, m_rows, n_columns = out.shape
    destination, first_sum = out.reshape(-1), start.reshape(-1)
    has_residual = residual.size > 0
    stream = out.size * out.itemsize >= STREAM_BYTES and parts == 1 and depth <= block_depth
    lanes = vlanes(out)
    panel_columns = TILE_VECTORS * lanes
    n_panels = ceil_div(n_columns, panel_columns)
    transposed = a_col != 1
    direct = packed or in_place
    right_row = b_row if direct else panel_columns
    part_depth = ceil_div(depth, parts)
    depth_blocks = ceil_div(part_depth, block_depth)
    # An odd number of panel rows between two rows of a block: no two of a tile's rows share a set of the cache.
    block_row = min(block_depth, part_depth) // panel_columns * panel_columns + 2 * panel_columns
    panel_block, rest = chunk % panel_blocks, chunk // panel_blocks
    row_block, rest = rest % row_blocks, rest // row_blocks
    i, part = rest % count, rest // count
    first_row, end_row = split_evenly(m_rows, row_blocks, row_block)
    first_panel, end_panel = split_evenly(n_panels, panel_blocks, panel_block)
    first_l, end_l = split_evenly(depth, parts, part)
    rows = end_row - first_row
    # The copied tiles of a transposed A are separate; else all rows are one tile for brgemm to split.
    tiles = ceil_div(rows, TILE_ROWS) if transposed else 1
    tile_size = TILE_ROWS * block_row
    taps = np.zeros(1, np.int64)
    # One vector more: the last store of a tile's copy reaches beyond the tile.
    block = np.empty((rows + TILE_ROWS) * block_row + lanes if copied else 0, out.dtype)
    panel_size = block_depth * panel_columns
    panels = np.empty(0 if direct else min(end_panel - first_panel, PANELS_PER_COPY) * panel_size, out.dtype)
    for depth_block in range(depth_blocks):
        begin_l, stop_l = split_evenly(end_l - first_l, depth_blocks, depth_block)
        begin_l, length = first_l + begin_l, stop_l - begin_l
        rectify = relu and depth_block == depth_blocks - 1
        a_offset = a_offsets[i] + first_row * a_row + begin_l * a_col
        left, left_offset, left_row, left_col = a, a_offset, a_row, a_col
        if copied:
            left, left_offset = block, 0
            left_row, left_col = (1, TILE_ROWS) if transposed else (block_row, 1)
        if transposed:
            copy_tiles(
                a, a_offset, a_col, length, rows, tiles, 0, tiles, block, 0, tile_size, TILE_ROWS
            )  # fmt: skip
        elif copied:
            _copy_rows(a, a_offset, a_row, rows, length, block, block_row)
        for p in range(first_panel, end_panel):
            place = (p - first_panel) % PANELS_PER_COPY
            if not direct and place == 0:
                b_offset = b_offsets[i] + p * b_panel + begin_l * b_row
                columns = min(min(PANELS_PER_COPY, end_panel - p) * panel_columns, n_columns - p * panel_columns)
                copy_panels(b, b_offset, b_row, length, columns, panels, 0, panel_size, panel_columns)
            right = b if direct else panels
            if transposed and depth_block + 1 < depth_blocks:
                # Copying the next block would wait for memory: it is prefetched while this one is used.
                share, end_share = split_evenly(length, end_panel - first_panel, p - first_panel)
                next_b = b_offsets[i] + first_panel * b_panel + (begin_l + length) * b_row
                prefetch_rows(a, a_offset + length * a_col, a_col, share, end_share, rows)
                if not packed:
                    prefetch_rows(b, next_b, b_row, share, end_share, (end_panel - first_panel) * panel_columns)
            b_offset = b_offsets[i] + p * b_panel + begin_l * b_row if direct else place * panel_size
            first_column = p * panel_columns
            is_first = part == 0 and depth_block == 0
            start_offset = first_column + (n_panels * panel_columns if is_first else 0)
            c_offset = ((part * count + i) * m_rows + first_row) * n_columns + first_column
            added = residual if is_first and has_residual else destination
            for tile in range(tiles):
                begin, end = split_evenly(rows, tiles, tile)
                c_begin = c_offset + begin * n_columns
                brgemm(
                    end - begin, left, left_offset + tile * tile_size, left_row, left_col, taps, 1, length,
                    right, b_offset, 0, right_row, destination, c_begin, n_columns,
                    min(panel_columns, n_columns - first_column), first_sum, start_offset,
                    added, c_begin, depth_block > 0 or (is_first and has_residual), rectify, stream,
                    in_place,
                )  # fmt: skip


@inline
def _sum_chunks(partials, elements_per_chunk):
    return ceil_div(partials.shape[1], elements_per_chunk)


@kernel(_sum_chunks)
def sum_parts(chunk, partials, relu, out, elements_per_chunk):
    """Add up the partial sums of `gemm`.

    Computes   out[i] = sum over s of partials[s, i]; if `relu`, max(0, that), where NaN stays NaN.
    Requires   partials (parts, size) C-contiguous, out flat.
    Writes     all of out.
    Parallel   over blocks of elements.
    Why        bound by memory: every value is read once, in order, and a sum stays in a register.
    Reference  a step of `gemm`.
    """
    parts, size = partials.shape
    flat, lanes = partials.reshape(-1), vlanes(partials)
    first = chunk * elements_per_chunk
    end = min(first + elements_per_chunk, size)
    for i in range(first, end, lanes):
        total = load_lanes(flat, i, end - i)
        for s in range(1, parts):
            total = total + load_lanes(flat, s * size + i, end - i)
        store_lanes(vrelu(total) if relu else total, out, i, end - i)


@inline
def _transpose_chunks(transposes, rows_per_chunk):
    return transposes.shape[0] * ceil_div(transposes.shape[1], rows_per_chunk)


@kernel(_transpose_chunks)
def transpose_add(chunk, transposes, bias, relu, out, rows_per_chunk):
    """Transpose a stack of products that were computed as transposes, and add the bias.

    Computes   out[i, m, n] = transposes[i, n, m] + bias[n]; if `relu`, max(0, that), where NaN stays NaN.
    Requires   transposes (count, N, M) and out (count, M, N) C-contiguous; bias (N,).
    Writes     all of out.
    Parallel   over matrices and blocks of rows of `transposes`.
    Why        VL rows at a time are transposed in squares into scratch memory that stays in L1.
    Reference  a step of `gemm`.
    """
    _, n_columns, m_rows = transposes.shape
    source, destination, lanes = transposes.reshape(-1), out.reshape(-1), vlanes(out)
    blocks = ceil_div(n_columns, rows_per_chunk)
    i, first = chunk // blocks, chunk % blocks * rows_per_chunk
    end = min(first + rows_per_chunk, n_columns)
    scratch = np.empty(m_rows * lanes, out.dtype)
    for begin in range(first, end, lanes):
        rows = min(lanes, end - begin)
        transpose_block(
            source, (i * n_columns + begin) * m_rows, m_rows, rows, m_rows, scratch, 0, lanes, lanes
        )  # fmt: skip
        shift = load_lanes(bias, begin, rows)
        for m in range(m_rows):
            value = vload(scratch, m * lanes) + shift
            at = (i * m_rows + m) * n_columns + begin
            store_lanes(vrelu(value) if relu else value, destination, at, rows)

"""Packing: the right-hand operand B of the micro-kernel, rearranged so that it is read contiguously.

A panel is PC = 2 * VL columns wide. Inside a panel the rows follow each other, PC values each, so the micro-kernel's
loads of B are contiguous and equally aligned for every tile. Columns beyond the last are zero: they cost a few
multiplications by zero and save a special case in every tile.

    B (K x columns)             packed
    +------+------+---+         panel 0: row 0 (PC values), row 1, ..., row K-1
    |  0   |  1   | 2 |   ->    panel 1: row 0, ...
    +------+------+---+         panel 2: its missing columns are 0

A column of B is usually contiguous in memory (the weights of one filter), so packing is a transposition. Value by value
it would touch a cache line for each; squares of VL x VL values are transposed in registers instead.
"""

import numpy as np

from kernels.cpu.vector.copy import clear_line, copy_line
from kernels.cpu.vector.split import ceil_div, split_evenly
from kernels.cpu.vector.transpose import vtranspose, vtranspose_part
from kernels.cpu.vector.values import prefetch, vlanes, vload, vload_part, vstore
from kernels.jit import CACHE_LINE_BYTES, inline
from kernels.launch import kernel

SCRATCH_BYTES = 16 * 1024  # a block of transposed filters, to be copied to their taps: half of the smallest L1
PART_WORTH_A_SQUARE = 4  # a square is transposed in the time that this many vectors take value by value
ROWS_PER_PASS = 64  # rows of a matrix that one chunk copies


@inline
def transpose_block(source, offset, row, rows, columns, out, out_offset, out_row, out_columns):
    """out[out_offset + j * out_row + i] = source[offset + i * row + j], 0 for rows <= i < out_columns."""
    lanes = vlanes(out)
    if row == 1 and columns == 1:  # already in order
        copy_line(source, offset, out, out_offset, rows)
        clear_line(out, out_offset + rows, out_columns - rows)
        return
    for i in range(0, out_columns, lanes):
        used_rows = min(max(rows - i, 0), lanes)
        for j in range(0, columns, lanes):
            used_columns = min(columns - j, lanes)
            at, target = offset + i * row + j, out_offset + j * out_row + i
            if used_rows * used_columns == lanes * lanes:
                vtranspose(source, at, row, out, target, out_row)
            elif (
                used_rows * used_columns >= PART_WORTH_A_SQUARE * lanes
                and i + lanes <= out_columns
                and at + (used_rows - 1) * row + lanes <= source.size
            ):
                vtranspose_part(source, at, row, used_rows, used_columns, out, target, out_row)
            else:
                for k in range(used_columns):
                    for r in range(used_rows):
                        out[target + k * out_row + r] = source[at + r * row + k]
                    for r in range(used_rows, min(lanes, out_columns - i)):
                        out[target + k * out_row + r] = 0


@inline
def _filter_steps(stride_dst, stride_src, panels):
    """How many channels are transposed together, and how many times a chunk does so.

    As many as the scratch holds if they are neighbours, else one.
    """
    channels = 1
    if stride_src <= stride_dst:
        size = stride_src * panels.shape[4] * panels.itemsize
        channels = max(1, min(panels.shape[3], SCRATCH_BYTES // size))
    return channels, max(1, 32 // channels)


@inline
def _filter_chunks(stride_dst, stride_src, panels):
    step, steps_per_chunk = _filter_steps(stride_dst, stride_src, panels)
    return panels.shape[0] * panels.shape[1] * ceil_div(ceil_div(panels.shape[3], step), steps_per_chunk)


@kernel(_filter_chunks)
def pack_filters(chunk, weight, stride_group, stride_dst, stride_src, k_w, rows, columns, c_dst, panels):
    """Pack a convolution's filters tap by tap.

    Computes   panels[g, p, t, l, j] = weight[g * stride_group + k * stride_dst + l * stride_src + r * k_w + s] with
               k = p * PC + j and (r, s) = (rows[t], columns[t]); 0 for k >= c_dst.
    Requires   weight flat, of shape (groups, K, C, k_h, k_w) or read with K and C exchanged: the strides say which,
               and the smaller one is k_h * k_w. A tap may be missing in (rows, columns).
    Writes     all of panels (groups, n_panels, n_taps, c_src, PC).
    Parallel   over groups, panels and blocks of l.
    Why        the k_h * k_w taps of a channel are contiguous, and where l has the smaller stride those of many
               channels: such a block is transposed in squares into scratch memory that stays in L1, and its rows, PC
               values each, are copied to their taps. One flat array instead of a strided one is one compiled variant.
    """
    _, n_panels, n_taps, c_src, panel_columns = panels.shape
    packed = panels.reshape(-1)
    lanes = vlanes(panels)
    filter_taps = min(stride_dst, stride_src)
    step, blocks_per_chunk = _filter_steps(stride_dst, stride_src, panels)
    blocks = ceil_div(c_src, step)
    chunks_per_panel = ceil_div(blocks, blocks_per_chunk)
    part, panel = chunk % chunks_per_panel, chunk // chunks_per_panel
    g, p = panel // n_panels, panel % n_panels
    first = p * panel_columns
    used = min(panel_columns, c_dst - first)
    scratch = np.empty(step * filter_taps * panel_columns, panels.dtype)
    for block in range(part * blocks_per_chunk, min((part + 1) * blocks_per_chunk, blocks)):
        l_first = block * step
        count = min(step, c_src - l_first)
        offset = g * stride_group + first * stride_dst + l_first * stride_src
        length = count * filter_taps
        transpose_block(weight, offset, stride_dst, used, length, scratch, 0, panel_columns, panel_columns)
        for t in range(n_taps):
            tap = rows[t] * k_w + columns[t]
            target = ((panel * n_taps + t) * c_src + l_first) * panel_columns
            for l in range(count):
                source = (l * filter_taps + tap) * panel_columns
                for j in range(0, panel_columns, lanes):
                    vstore(vload(scratch, source + j), packed, target + l * panel_columns + j)


@inline
def copy_tiles(source, offset, column, count, rows, tiles, first_tile, end_tile, out, at, tile_size, width):
    """The left operand of some tiles, when its columns are contiguous: `split_evenly` splits the `rows` into `tiles`.

    out[at + i * tile_size + l * width + m] = source[offset + l * column + begin(first_tile + i) + m] for the rows m of
    a tile. Whole vectors are stored, in rising order: values beyond the tile's rows are overwritten by the next column,
    so one vector beyond the tile's last column must be free. Whole vectors are read, too, except at the end of
    `source`.
    """
    lanes = vlanes(out)
    last = (source.size - offset - (rows + width + lanes)) // column
    whole = min(max(last + 1, 0), count)
    for l in range(whole):
        target = at + l * width
        for tile in range(first_tile, end_tile):
            begin, _ = split_evenly(rows, tiles, tile)
            place = offset + l * column + begin
            for m in range(0, width, lanes):
                vstore(vload(source, place + m), out, target + m)
            target += tile_size
    for l in range(whole, count):
        target = at + l * width
        for tile in range(first_tile, end_tile):
            begin, end = split_evenly(rows, tiles, tile)
            place, used = offset + l * column + begin, end - begin
            for m in range(0, used, lanes):
                vstore(vload_part(source, place + m, min(lanes, used - m)), out, target + m)
            target += tile_size


@inline
def prefetch_rows(source, offset, row, first, end, length):
    """Prefetch source[offset + l * row + i], first <= l < end, i < length, which will be copied or transposed soon."""
    line = CACHE_LINE_BYTES // source.itemsize
    for l in range(first, end):
        for i in range(0, length, line):
            prefetch(source, offset + l * row + i)


@inline
def copy_panels(source, offset, row, count, columns, panels, at, panel_size, panel_columns):
    """panels[at + p * panel_size + i * PC + j] = source[offset + i * row + p * PC + j], 0 beyond the columns.

    For contiguous rows, each of which is read in order.
    """
    lanes = vlanes(panels)
    whole = columns // panel_columns * panel_columns
    for i in range(count):
        target = at + i * panel_columns
        for first in range(0, whole, panel_columns):
            for j in range(0, panel_columns, lanes):
                vstore(vload(source, offset + i * row + first + j), panels, target + j)
            target += panel_size
        if whole < columns:
            for j in range(0, panel_columns, lanes):
                used = min(max(columns - whole - j, 0), lanes)
                vstore(vload_part(source, offset + i * row + whole + j, used), panels, target + j)


@inline
def _matrix_chunks(b_col, panels):
    return panels.shape[0] * (ceil_div(panels.shape[2], ROWS_PER_PASS) if b_col == 1 else panels.shape[1])


@kernel(_matrix_chunks)
def pack_matrices(chunk, b, b_offsets, b_row, b_col, columns, panels):
    """Pack a stack of matrices, the right-hand operands of a matrix product.

    Computes   panels[i, p, l, j] = b[b_offsets[i] + l * b_row + (p * PC + j) * b_col], 0 for p * PC + j >= columns.
    Requires   b flat; b_row or b_col is 1.
    Writes     all of panels (count, n_panels, K, PC).
    Parallel   over matrices and blocks of rows, or panels where the columns of b are contiguous.
    Why        one pass over the matrix, along its contiguous axis; rows are copied, columns transposed in squares.
    """
    _, n_panels, depth, panel_columns = panels.shape
    packed = panels.reshape(-1)
    by_rows = b_col == 1
    chunks = ceil_div(depth, ROWS_PER_PASS) if by_rows else n_panels
    i, part = chunk // chunks, chunk % chunks
    if by_rows:
        first = part * ROWS_PER_PASS
        copy_panels(
            b, b_offsets[i] + first * b_row, b_row, min(ROWS_PER_PASS, depth - first), columns,
            packed, (i * n_panels * depth + first) * panel_columns, depth * panel_columns, panel_columns,
        )  # fmt: skip
    else:
        first = part * panel_columns
        transpose_block(
            b, b_offsets[i] + first * b_col, b_col, min(panel_columns, columns - first), depth,
            packed, (i * n_panels + part) * depth * panel_columns, panel_columns, panel_columns,
        )  # fmt: skip

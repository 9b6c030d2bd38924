"""Matrix products on the micro-kernel: `matmul`, `linear` and their gradients."""

import numpy as np

from kernels.cpu.brgemm import brgemm, split_evenly
from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.cpu.target import REGISTER_BYTES, TILE_ROWS, TILE_VECTORS
from kernels.jit import kernel, prange


@kernel
def gemm_packed(a, a_offsets, a_row, a_col, panels, bias, out, rows_per_task):
    """A stack of matrix products with packed right-hand sides.

    Computes   out[i, m, j] = bias[j] + sum over l of a[a_offsets[i] + m * a_row + l * a_col] * B[i, l, j].
    Requires   a flat; panels (count, n_panels, K, PC) from `pack_matrices`; bias padded to full panels; out
               (count, M, N) C-contiguous.
    Writes     all of out.
    Parallel   over the stack, blocks of rows and panels.
    Why        a panel is read in one straight line by every tile of the task, from L2.
    """
    count, m_rows, n_columns = out.shape
    packed, destination = panels.reshape(-1), out.reshape(-1)
    n_panels, depth = panels.shape[1], panels.shape[2]
    lanes_per_panel = TILE_VECTORS * (REGISTER_BYTES // out.itemsize)
    row_blocks = (m_rows + rows_per_task - 1) // rows_per_task
    for task in prange(count * row_blocks * n_panels):
        mode = flush_denormals()
        i, block, p = task // (row_blocks * n_panels), task // n_panels % row_blocks, task % n_panels
        first = block * rows_per_task
        rows = min(rows_per_task, m_rows - first)
        tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
        taps = np.zeros(1, np.int64)
        columns = min(lanes_per_panel, n_columns - p * lanes_per_panel)
        for tile in range(tiles):
            begin, end = split_evenly(rows, tiles, tile)
            brgemm(
                end - begin, a, a_offsets[i] + (first + begin) * a_row, a_row, a_col, taps, 1, depth,
                packed, (i * n_panels + p) * depth * lanes_per_panel, 0, lanes_per_panel,
                destination, (i * m_rows + first + begin) * n_columns + p * lanes_per_panel, n_columns, columns,
                bias, p * lanes_per_panel, False, False,
            )  # fmt: skip
        restore_denormals(mode)


@kernel
def gemm(a, a_offsets, a_row, a_col, b, b_offsets, b_row, depth, out, rows_per_task):
    """A stack of matrix products whose right-hand sides are read as they lie.

    Computes   out[i, m, j] = sum over l of a[a_offsets[i] + m * a_row + l * a_col] * b[b_offsets[i] + l * b_row + j].
    Requires   a and b flat; the columns of b side by side; out (count, M, N) C-contiguous.
    Writes     all of out.
    Parallel   over the stack, blocks of rows and panels of columns.
    Why        saves the packing of b where few rows would use it.
    """
    count, m_rows, n_columns = out.shape
    destination = out.reshape(-1)
    lanes_per_panel = TILE_VECTORS * (REGISTER_BYTES // out.itemsize)
    n_panels = (n_columns + lanes_per_panel - 1) // lanes_per_panel
    row_blocks = (m_rows + rows_per_task - 1) // rows_per_task
    for task in prange(count * row_blocks * n_panels):
        mode = flush_denormals()
        i, block, p = task // (row_blocks * n_panels), task // n_panels % row_blocks, task % n_panels
        first = block * rows_per_task
        rows = min(rows_per_task, m_rows - first)
        tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
        taps = np.zeros(1, np.int64)
        zeros = np.zeros(lanes_per_panel, out.dtype)
        columns = min(lanes_per_panel, n_columns - p * lanes_per_panel)
        for tile in range(tiles):
            begin, end = split_evenly(rows, tiles, tile)
            brgemm(
                end - begin, a, a_offsets[i] + (first + begin) * a_row, a_row, a_col, taps, 1, depth,
                b, b_offsets[i] + p * lanes_per_panel, 0, b_row,
                destination, (i * m_rows + first + begin) * n_columns + p * lanes_per_panel, n_columns, columns,
                zeros, 0, False, True,
            )  # fmt: skip
        restore_denormals(mode)

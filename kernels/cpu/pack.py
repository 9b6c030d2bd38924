"""Packing: the right-hand operand B of the micro-kernel, rearranged so that it is read in one straight line.

A panel is PC = 2 * VL columns wide. Inside a panel the rows follow each other, PC values each, so the micro-kernel's
loads of B are contiguous and aligned alike for every tile. Columns beyond the last are zero: they cost a few
multiplications by zero and save every tile a special case.

    B (K x columns)             packed
    +------+------+---+         panel 0: row 0 (PC values), row 1, ..., row K-1
    |  0   |  1   | 2 |   ->    panel 1: row 0, ...
    +------+------+---+         panel 2: its missing columns are 0
"""

from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.jit import kernel, prange


@kernel
def pack_filters(weight, stride_group, stride_dst, stride_src, k_w, rows, columns, c_dst, panels):
    """Pack a convolution's filters tap by tap.

    Computes   panels[g, p, t, l, j] = weight[g * stride_group + k * stride_dst + l * stride_src + r * k_w + s] with
               k = p * PC + j and (r, s) = (rows[t], columns[t]); 0 for k >= c_dst.
    Requires   weight flat, of shape (groups, K, C, k_h, k_w) or read with K and C exchanged: the strides say which.
    Writes     all of panels (groups, n_panels, n_taps, c_src, PC).
    Parallel   over groups and panels.
    Why        one pass over the filters; a panel is written in order. One flat array instead of a strided one is one
               compiled variant instead of three.
    """
    groups, n_panels, _, c_src, panel_columns = panels.shape
    for task in prange(groups * n_panels):
        mode = flush_denormals()
        g, p = task // n_panels, task % n_panels
        first = p * panel_columns
        used = min(panel_columns, c_dst - first)
        for t in range(rows.size):
            for l in range(c_src):
                offset = g * stride_group + first * stride_dst + l * stride_src + rows[t] * k_w + columns[t]
                for j in range(used):
                    panels[g, p, t, l, j] = weight[offset + j * stride_dst]
                for j in range(used, panel_columns):
                    panels[g, p, t, l, j] = 0
        restore_denormals(mode)


@kernel
def pack_matrices(b, b_offsets, b_row, b_col, columns, panels):
    """Pack a stack of matrices, the right-hand operands of a matrix product.

    Computes   panels[i, p, l, j] = b[b_offsets[i] + l * b_row + (p * PC + j) * b_col], 0 for p * PC + j >= columns.
    Requires   b flat.
    Writes     all of panels (count, n_panels, K, PC).
    Parallel   over matrices and panels.
    Why        one pass over the matrix; a panel is written in order.
    """
    count, n_panels, depth, panel_columns = panels.shape
    for task in prange(count * n_panels):
        mode = flush_denormals()
        i, p = task // n_panels, task % n_panels
        first = p * panel_columns
        used = min(panel_columns, columns - first)
        if b_col == 1:
            for l in range(depth):
                offset = b_offsets[i] + l * b_row + first
                for j in range(used):
                    panels[i, p, l, j] = b[offset + j]
                for j in range(used, panel_columns):
                    panels[i, p, l, j] = 0
        else:
            for begin in range(0, depth, 16):
                end = min(begin + 16, depth)
                for j in range(panel_columns):
                    offset = b_offsets[i] + (first + j) * b_col
                    for l in range(begin, end):
                        panels[i, p, l, j] = b[offset + l * b_row] if j < used else 0
        restore_denormals(mode)

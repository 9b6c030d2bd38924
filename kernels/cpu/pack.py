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
def pack_filters(filters, rows, columns, panels, panel_columns):
    """Pack a convolution's filters tap by tap.

    Computes   panels[g, p, t, l, j] = filters[g, p * PC + j, l, rows[t], columns[t]], 0 beyond the last filter.
    Requires   filters (groups, c_dst, c_src, k_h, k_w) of any strides; taps t = (rows[t], columns[t]).
    Writes     all of panels (groups, n_panels, n_taps, c_src, PC).
    Parallel   over groups and panels.
    Why        one pass over the filters; a panel is written in order.
    """
    groups, n_panels = panels.shape[0], panels.shape[1]
    c_dst, c_src = filters.shape[1], filters.shape[2]
    for task in prange(groups * n_panels):
        mode = flush_denormals()
        g, p = task // n_panels, task % n_panels
        first = p * panel_columns
        used = min(panel_columns, c_dst - first)
        for t in range(rows.size):
            for l in range(c_src):
                for j in range(used):
                    panels[g, p, t, l, j] = filters[g, first + j, l, rows[t], columns[t]]
                for j in range(used, panel_columns):
                    panels[g, p, t, l, j] = 0
        restore_denormals(mode)


@kernel
def pack_matrices(matrices, panels, panel_columns):
    """Pack a stack of matrices, the right-hand operands of a matrix product.

    Computes   panels[i, p, l, j] = matrices[i, l, p * PC + j], 0 beyond the last column.
    Requires   matrices (count, K, N) of any strides.
    Writes     all of panels (count, n_panels, K, PC).
    Parallel   over matrices and panels.
    Why        one pass over the matrix; a panel is written in order.
    """
    count, n_panels, depth = panels.shape[0], panels.shape[1], panels.shape[2]
    for task in prange(count * n_panels):
        mode = flush_denormals()
        i, p = task // n_panels, task % n_panels
        first = p * panel_columns
        used = min(panel_columns, matrices.shape[2] - first)
        for l in range(depth):
            for j in range(used):
                panels[i, p, l, j] = matrices[i, l, first + j]
            for j in range(used, panel_columns):
                panels[i, p, l, j] = 0
        restore_denormals(mode)

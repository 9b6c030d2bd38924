"""Product of a sparse matrix and a dense one: each row of the result is a weighted sum of rows that are neighbours.

A graph convolution is this product: the sparse matrix says who is whose neighbour, with what weight.
"""

from kernels.cpu.vector.values import load_lanes, store_lanes, vlanes, vload, vmuladd, vsplat, vstore
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _chunks(bounds):
    return bounds.size - 1


@kernel(_chunks)
def csr_matmul(chunk, starts, columns, values, bounds, x, out, features):
    """Sparse (CSR) times dense.

    Computes   out[i, f] = sum over e from starts[i] to starts[i + 1] of values[e] * x[columns[e], f].
    Requires   starts (N + 1,) and columns of int64, values of x's dtype; x and out flat, rows of `features` values;
               bounds: first row of each chunk, and N at the end.
    Writes     all of out; a row without entries becomes 0.
    Parallel   over chunks, whose bounds hold about as many entries each; every row is summed in the order of its
               entries, so neither bounds nor threads change a bit.
    Why        four vectors of a result row stay in registers while its neighbours stream by; x is read along its rows.
    """
    lanes = vlanes(out)
    for i in range(bounds[chunk], bounds[chunk + 1]):
        f = 0
        while f + 4 * lanes <= features:
            s_0 = s_1 = s_2 = s_3 = vsplat(out, 0)
            for e in range(starts[i], starts[i + 1]):
                value, row = vsplat(out, values[e]), columns[e] * features + f
                s_0 = vmuladd(value, vload(x, row), s_0)
                s_1 = vmuladd(value, vload(x, row + lanes), s_1)
                s_2 = vmuladd(value, vload(x, row + 2 * lanes), s_2)
                s_3 = vmuladd(value, vload(x, row + 3 * lanes), s_3)
            row = i * features + f
            vstore(s_0, out, row)
            vstore(s_1, out, row + lanes)
            vstore(s_2, out, row + 2 * lanes)
            vstore(s_3, out, row + 3 * lanes)
            f += 4 * lanes
        while f < features:
            total = vsplat(out, 0)
            for e in range(starts[i], starts[i + 1]):
                neighbour = load_lanes(x, columns[e] * features + f, features - f)
                total = vmuladd(vsplat(out, values[e]), neighbour, total)
            store_lanes(total, out, i * features + f, features - f)
            f += lanes

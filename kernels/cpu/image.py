"""A linear map along one axis, in which every result is a sum of few inputs.

Interpolation and its gradient, and padding that repeats values, are such maps, one for each axis. The map is a sparse
matrix in compressed rows: result o sums the entries first[o] to first[o + 1] - 1 of `sources` and `weights`.
"""

from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import load_lanes, store_lanes, vlanes, vmuladd, vsplat
from kernels.jit import inline
from kernels.launch import kernel

# Results along the axis that one chunk computes.
RESULTS = 16


@inline
def _chunks(x, out):
    return x.shape[0] * ceil_div(out.shape[1], RESULTS)


@kernel(_chunks)
def resample_axis(chunk, x, out, first, sources, weights):
    """Multiply a sparse matrix with one axis of an array.

    Computes   out[a, o, b] = sum over e from first[o] to first[o + 1] - 1 of weights[e] * x[a, sources[e], b].
    Requires   x (A, S, B), out (A, S', B) and weights of one dtype, C-contiguous; first (S' + 1,) and sources int64.
    Writes     all of out.
    Parallel   over a and blocks of o.
    Why        neighbours in b are contiguous in memory and have the same weights, so a vector of them is one sum, in
               a register until it is complete.
    """
    _, size, inner = x.shape
    size_out = out.shape[1]
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    lanes = vlanes(x)
    blocks = ceil_div(size_out, RESULTS)
    a, o_first = chunk // blocks, chunk % blocks * RESULTS
    for o in range(o_first, min(o_first + RESULTS, size_out)):
        for b in range(0, inner, lanes):
            total = vsplat(x, 0)
            for e in range(first[o], first[o + 1]):
                value = load_lanes(flat_x, (a * size + sources[e]) * inner + b, inner - b)
                total = vmuladd(value, vsplat(x, weights[e]), total)
            store_lanes(total, flat_out, (a * size_out + o) * inner + b, inner - b)

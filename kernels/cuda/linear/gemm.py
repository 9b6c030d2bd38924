"""Matrix products of operands with any strides: a transposed operand is one with other strides."""

from __future__ import annotations

from kernels.cuda.jit import Count, Floats, cuda, f32, kernel, u32
from kernels.cuda.micro.tile import (
    FLOATS_A,
    FLOATS_B,
    PITCH_A,
    PITCH_B,
    RESULTS,
    SHARED,
    THREADS,
    TILE_K,
    TILE_M,
    TILE_N,
    clear,
    load_slice,
    multiply,
    store,
)  # fmt: skip


@kernel(threads=THREADS, registers=128, shared=SHARED)
def gemm(
    a: Floats, b: Floats, bias: Floats, out: Floats,
    m: Count, n: Count, depth: Count, total_depth: Count,
    a_row: Count, a_col: Count, a_batch: Count, b_row: Count, b_col: Count, b_batch: Count, relu: Count,
):  # fmt: skip
    """Multiply matrices, many at once, or one in parts of its sum.

    Computes   out[z, i, j] = bias[j] + sum over l of a[z * a_batch + i * a_row + l * a_col] *
               b[z * b_batch + l * b_row + j * b_col], l < depth and z * depth + l < total_depth; with `relu` not below
               0, where NaN stays NaN.
    Requires   out (batches, m, n); bias (n) or empty. A batch of products has total_depth = batches * depth. One
               product in parts has a_batch = depth * a_col, b_batch = depth * b_row and its own total_depth: the parts
               are then added by `sum_parts`.
    Writes     all of out.
    Parallel   over tiles of rows, tiles of columns and batches: grid (ceil(m / TILE_M), ceil(n / TILE_N), batches).
    Why        the tile reads each value from memory once for 64 or 128 multiply-adds, and loads follow the memory of
               the operand.
    """
    a_tile = cuda.shared.array(FLOATS_A, f32, alignment=16)
    b_tile = cuda.shared.array(FLOATS_B, f32, alignment=16)
    sums = cuda.local.array(RESULTS, f32)
    clear(sums)
    batch = u32(cuda.blockIdx.z)
    first_row = u32(u32(cuda.blockIdx.x) * u32(TILE_M))
    first_column = u32(u32(cuda.blockIdx.y) * u32(TILE_N))
    last = u32(total_depth - batch * depth)
    last = last if last < depth else depth
    a_first = u32(batch * a_batch + first_row * a_row)
    b_first = u32(batch * b_batch + first_column * b_col)
    for first_k in range(0, last, TILE_K):
        load_slice(a, a_first, a_row, u32(m - first_row), u32(first_k), a_col, last, a_tile, u32(PITCH_A), TILE_M)
        load_slice(b, b_first, b_col, u32(n - first_column), u32(first_k), b_row, last, b_tile, u32(PITCH_B), TILE_N)
        cuda.syncthreads()
        multiply(a_tile, b_tile, sums)
        cuda.syncthreads()
    first = u32((batch * m + first_row) * n + first_column)
    store(sums, bias, first_column, relu, out, first, n, u32(m - first_row), u32(n - first_column))

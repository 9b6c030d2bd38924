"""Matrix products of operands of 16 bits, with sums of float32: dense layers, 1x1 convolutions."""

from __future__ import annotations

from typing import Any

from kernels.cuda.jit import ALL_GENERATIONS, Count, Floats, Halves, Kernel, cuda, f32, kernel_named, u16, u32
from kernels.cuda.micro.mma import GENERATION
from kernels.cuda.micro.tile_half import (
    HALVES_A,
    HALVES_B,
    RESULTS,
    SHARED,
    THREADS,
    TILE_K,
    TILE_M,
    TILE_N,
    clear,
    load_columns,
    load_rows,
    multiply_bfloat16,
    multiply_bfloat16_scalar,
    multiply_float16,
    multiply_float16_scalar,
    store,
)  # fmt: skip

WITH_TENSOR_CORES = GENERATION, ALL_GENERATIONS[1]
WITHOUT = ALL_GENERATIONS[0], GENERATION


def make_gemm(name: str, multiply: Any, generations: Any) -> Kernel:
    """The kernel that multiplies with one kind of tile."""

    @kernel_named(name, threads=THREADS, registers=80, shared=SHARED, generations=generations)
    def gemm(
        a: Halves, b: Halves, bias: Floats, out: Floats, m: Count, n: Count, depth: Count, part_depth: Count,
        a_step: Count, b_step: Count, a_turned: Count, b_turned: Count,
    ):  # fmt: skip
        """Multiply two matrices, in parts of the sum.

        Computes   out[z, i, j] = bias[j] + sum over l of A[i, l] * B[j, l], for part_depth l's from z * part_depth on,
                   l < depth; A[i, l] = a[i * a_step + l], or if a_turned a[l * a_step + i], and B likewise.
        Requires   steps and part_depth multiples of 8, with zeros after the end of a row; bias (n) or empty; more than
                   one part are then added by `sum_parts`.
        Writes     all of out (parts, m, n).
        Parallel   over tiles of rows, tiles of columns and parts: grid (ceil(m / TILE_M), ceil(n / TILE_N), parts).
        Why        operands are half as large as float32, and a warp multiplies 16 x 16 by 16 x 8 in one instruction.
        """
        a_tile = cuda.shared.array(HALVES_A, u16, alignment=16)
        b_tile = cuda.shared.array(HALVES_B, u16, alignment=16)
        sums = cuda.local.array(RESULTS, f32)
        clear(sums)
        row, column = u32(u32(cuda.blockIdx.x) * u32(TILE_M)), u32(u32(cuda.blockIdx.y) * u32(TILE_N))
        part = u32(cuda.blockIdx.z)
        begin = u32(part * part_depth)
        end = u32(begin + part_depth)
        end = end if end < depth else depth
        for step in range(begin, end, TILE_K):
            k = u32(step)
            if a_turned != u32(0):
                load_columns(a, row, a_step, u32(m - row), k, end, a_tile, TILE_M)
            else:
                load_rows(a, u32(row * a_step), a_step, u32(m - row), k, end, a_tile, TILE_M)
            if b_turned != u32(0):
                load_columns(b, column, b_step, u32(n - column), k, end, b_tile, TILE_N)
            else:
                load_rows(b, u32(column * b_step), b_step, u32(n - column), k, end, b_tile, TILE_N)
            cuda.syncthreads()
            multiply(a_tile, b_tile, sums)
            cuda.syncthreads()
        first = u32((part * m + row) * n + column)
        store(sums, bias, column, out, first, n, u32(m - row), u32(n - column))

    return gemm


gemm_float16 = make_gemm("gemm_float16", multiply_float16, WITH_TENSOR_CORES)
gemm_bfloat16 = make_gemm("gemm_bfloat16", multiply_bfloat16, WITH_TENSOR_CORES)
gemm_float16_scalar = make_gemm("gemm_float16_scalar", multiply_float16_scalar, WITHOUT)
gemm_bfloat16_scalar = make_gemm("gemm_bfloat16_scalar", multiply_bfloat16_scalar, WITHOUT)

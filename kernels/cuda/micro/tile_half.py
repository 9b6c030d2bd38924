"""The tile for operands of 16 bits: as `tile.py`, but a warp multiplies, and sums are of float32.

    a_tile [TILE_M, PITCH]              b_tile [TILE_N, PITCH]
    row i   |  k = 0 ... TILE_K - 1 |   column j   |  k = 0 ... TILE_K - 1 |

In both the sum's index k runs fastest, so that a register of the instruction (kernels/cuda/micro/mma.py) is one word of
shared memory. A row is 32 values and 8 more, 20 words: the eight rows and four words that a warp reads at a time then
lie in 32 different banks.

Eight warps stand in 4 rows and 2 columns of the block's 128 x 64 results. A warp owns 32 x 32 of them, 2 x 4 results of
the instruction, of which each thread holds four values:

               columns 8j + 2t, + 1                  g = lane / 4, t = lane % 4
    row 16i + g        [ 0, 1 ]                      sums[(i * 4 + j) * 4 + 0 .. 3],  i < 2, j < 4
    row 16i + g + 8    [ 2, 3 ]

`multiply_*_scalar` computes the same values of the same tiles without the instruction, for GPUs that lack it.

Operands come in eights, 16 bytes: rows and filters in memory are filled up with zeros to a multiple of eight.
"""

from __future__ import annotations

from typing import Any

from kernels.cuda.jit import cuda, device, f32, u16, u32
from kernels.cuda.micro.half import CHUNK, value_bfloat16, value_float16
from kernels.cuda.micro.mma import mma_bfloat16, mma_float16
from kernels.cuda.micro.vectors import load2, load8, store8

TILE_M = 128
TILE_N = 64
TILE_K = 32
THREADS = 256
PITCH = TILE_K + 8
HALVES_A = TILE_M * PITCH
HALVES_B = TILE_N * PITCH
SHARED = 2 * (HALVES_A + HALVES_B)

MMA_ROWS, MMA_COLUMNS, MMA_DEPTH = 16, 8, 16
DOWN, ACROSS = 2, 4  # results of the instruction that a warp owns
ROWS = 2 * DOWN  # in which a thread holds values
RESULTS = 4 * DOWN * ACROSS
CHUNKS = TILE_K // CHUNK  # of a row of a tile


@device
def scatter8(tile, i, k, w0, w1, w2, w3):
    """tile[i + 0 .. 7, k] = the eight values in four words."""
    at = u32(i * u32(PITCH) + k)
    tile[at] = u16(w0 & u32(0xFFFF))
    tile[u32(at + u32(PITCH))] = u16(w0 >> u32(16))
    tile[u32(at + u32(2 * PITCH))] = u16(w1 & u32(0xFFFF))
    tile[u32(at + u32(3 * PITCH))] = u16(w1 >> u32(16))
    tile[u32(at + u32(4 * PITCH))] = u16(w2 & u32(0xFFFF))
    tile[u32(at + u32(5 * PITCH))] = u16(w2 >> u32(16))
    tile[u32(at + u32(6 * PITCH))] = u16(w3 & u32(0xFFFF))
    tile[u32(at + u32(7 * PITCH))] = u16(w3 >> u32(16))


@device
def load_rows(source, first, step, count, first_k, last_k, tile, width):
    """tile[i, k] = source[first + i * step + first_k + k] for i < count and first_k + k < last_k, else 0.

    The last eight may pass last_k, where memory holds zeros.
    """
    thread = u32(cuda.threadIdx.x)
    for part in range(width * CHUNKS // THREADS):
        e = u32(part * THREADS + thread)
        i, k = u32(e // u32(CHUNKS)), u32(e % u32(CHUNKS) * u32(CHUNK))
        w0, w1, w2, w3 = u32(0), u32(0), u32(0), u32(0)
        if i < count and u32(first_k + k) < last_k:
            w0, w1, w2, w3 = load8(source, u32(first + i * step + first_k + k))
        store8(tile, u32(i * u32(PITCH) + k), w0, w1, w2, w3)


@device
def load_columns(source, first, step, count, first_k, last_k, tile, width):
    """tile[i, k] = source[first + (first_k + k) * step + i] for i < count and first_k + k < last_k, else 0.

    The last eight may pass count, where memory holds zeros. Threads of a warp take different k, so that what they write
    lies in different banks, or in two halves of one word.
    """
    thread = u32(cuda.threadIdx.x)
    k = u32(thread % u32(TILE_K))
    for part in range(width * CHUNKS // THREADS):
        i = u32(u32(thread // u32(TILE_K) + u32(part * (THREADS // TILE_K))) * u32(CHUNK))
        w0, w1, w2, w3 = u32(0), u32(0), u32(0), u32(0)
        if i < count and u32(first_k + k) < last_k:
            w0, w1, w2, w3 = load8(source, u32(first + (first_k + k) * step + i))
        scatter8(tile, i, k, w0, w1, w2, w3)


@device
def clear(sums):
    """All results of this thread are 0."""
    for i in range(RESULTS):
        sums[i] = f32(0)


@device
def own_rows():
    """The first row of the results that this thread's warp owns."""
    return u32(u32(cuda.threadIdx.x) // u32(64) * u32(DOWN * MMA_ROWS))


@device
def own_columns():
    """The first column of the results that this thread's warp owns."""
    return u32(u32(cuda.threadIdx.x) // u32(32) % u32(2) * u32(ACROSS * MMA_COLUMNS))


@device
def group():
    """g: lane / 4."""
    return u32(u32(cuda.threadIdx.x) % u32(32) // u32(4))


@device
def member():
    """t: lane % 4."""
    return u32(u32(cuda.threadIdx.x) % u32(4))


def _multiply(mma: Any) -> Any:
    @device
    def multiply(a_tile, b_tile, sums):
        """sums[i, j] += sum over k of a_tile[i, k] * b_tile[j, k], by the instruction."""
        a_first = u32(u32(own_rows() + group()) * u32(PITCH) + u32(2) * member())
        b_first = u32(u32(own_columns() + group()) * u32(PITCH) + u32(2) * member())
        for k in range(0, TILE_K, MMA_DEPTH):
            for i in range(DOWN):
                upper = u32(a_first + u32(i * MMA_ROWS * PITCH + k))
                lower = u32(upper + u32(8 * PITCH))
                a0, a1 = load2(a_tile, upper), load2(a_tile, lower)
                a2, a3 = load2(a_tile, u32(upper + u32(8))), load2(a_tile, u32(lower + u32(8)))
                for j in range(ACROSS):
                    at = u32(b_first + u32(j * MMA_COLUMNS * PITCH + k))
                    b0, b1 = load2(b_tile, at), load2(b_tile, u32(at + u32(8)))
                    s = (i * ACROSS + j) * 4
                    sums[s], sums[s + 1], sums[s + 2], sums[s + 3] = mma(
                        a0, a1, a2, a3, b0, b1, sums[s], sums[s + 1], sums[s + 2], sums[s + 3]
                    )

    return multiply


def _multiply_scalar(value: Any) -> Any:
    @device
    def multiply(a_tile, b_tile, sums):
        """sums[i, j] += sum over k of a_tile[i, k] * b_tile[j, k], value by value."""
        a_first = u32(u32(own_rows() + group()) * u32(PITCH))
        b_first = u32(u32(own_columns() + u32(2) * member()) * u32(PITCH))
        a = cuda.local.array(ROWS, f32)
        for k in range(TILE_K):
            for i in range(ROWS):
                a[i] = value(u32(a_tile[u32(a_first + u32(i * 8 * PITCH + k))]))
            for j in range(ACROSS):
                for c in range(2):
                    b = value(u32(b_tile[u32(b_first + u32((j * MMA_COLUMNS + c) * PITCH + k))]))
                    for i in range(ROWS):
                        sums[(i // 2 * ACROSS + j) * 4 + i % 2 * 2 + c] += a[i] * b

    return multiply


multiply_float16 = _multiply(mma_float16)
multiply_bfloat16 = _multiply(mma_bfloat16)
multiply_float16_scalar = _multiply_scalar(value_float16)
multiply_bfloat16_scalar = _multiply_scalar(value_bfloat16)


@device
def store(sums, bias, bias_first, out, first, step, rows, columns):
    """out[first + i * step + j] = sums[i, j] + bias[bias_first + j] for i < rows, j < columns, from the block's first.

    Four threads write eight neighbours.
    """
    for i in range(ROWS):
        row = u32(own_rows() + group() + u32(8 * i))
        if row < rows:
            for j in range(ACROSS):
                for c in range(2):
                    column = u32(own_columns() + u32(2) * member() + u32(j * MMA_COLUMNS + c))
                    if column < columns:
                        start = f32(0)
                        if bias.size > 0:
                            start = bias[u32(bias_first + column)]
                        result = sums[(i // 2 * ACROSS + j) * 4 + i % 2 * 2 + c]
                        out[u32(first + row * step + column)] = result + start

"""The tile: a block of threads multiplies two matrices in shared memory, and keeps the result in registers.

All matrix products here are loop nests of addresses around it, as around `brgemm` on the CPU: load a slice of both
operands into shared memory, multiply, go on to the next slice.

    a_tile [TILE_K, PITCH_A]            b_tile [TILE_K, PITCH_B]
    k |  rows 0 ... TILE_M - 1 |        k |  columns 0 ... TILE_N - 1 |

256 threads stand in 16 rows and 16 columns. A thread owns the 8 x 4 results of rows 8 * ty .. and columns 4 * tx ..,
and for each k reads 12 values for 32 multiply-adds. The threads of a warp read only two places of a_tile at a time,
which is a broadcast, and 64 neighbours of b_tile.

Source: V. Volkov and J. Demmel, "Benchmarking GPUs to tune dense linear algebra" (2008), section 4: blocks of the
result in registers, not in shared memory.
"""

from kernels.cuda.jit import cuda, device, f32, u32
from kernels.cuda.micro.vectors import load4, store4

TILE_M = 128
TILE_N = 64
TILE_K = 16
ROWS = 8  # of the result, per thread
COLUMNS = 4
RESULTS = ROWS * COLUMNS
THREADS = 256

# Rows of shared memory keep the alignment of four floats, and the 16 k's of one row of A lie in different banks, two
# by two, when threads write them.
PITCH_A = TILE_M + 4
PITCH_B = TILE_N + 4
FLOATS_A = TILE_K * PITCH_A
FLOATS_B = TILE_K * PITCH_B
SHARED = 4 * (FLOATS_A + FLOATS_B)


@device
def load_slice(source, first, step, count, first_k, step_k, last_k, tile, pitch, width):
    """tile[k, i] = source[i * step + (first_k + k) * step_k + first] for i < count and first_k + k < last_k, else 0.

    Neighbouring threads follow the direction in which the operand's memory runs.
    """
    thread = u32(cuda.threadIdx.x)
    along_k = step_k == u32(1)
    for part in range(width * TILE_K // THREADS):
        e = u32(part * THREADS + thread)
        k = u32(e % u32(TILE_K)) if along_k else u32(e // u32(width))
        i = u32(e // u32(TILE_K)) if along_k else u32(e % u32(width))
        value = f32(0)
        if i < count and u32(first_k + k) < last_k:
            value = source[u32(first + i * step + (first_k + k) * step_k)]
        tile[u32(k * pitch + i)] = value


@device
def clear(sums):
    """All results of this thread are 0."""
    for i in range(RESULTS):
        sums[i] = f32(0)


@device
def multiply(a_tile, b_tile, sums):
    """sums[i, j] += sum over k of a_tile[k, 8 * ty + i] * b_tile[k, 4 * tx + j]."""
    thread = u32(cuda.threadIdx.x)
    row = u32(thread // u32(16) * u32(ROWS))
    column = u32(thread % u32(16) * u32(COLUMNS))
    for k in range(TILE_K):
        b = load4(b_tile, u32(u32(k) * u32(PITCH_B) + column))
        for half in range(0, ROWS, 4):
            a = load4(a_tile, u32(u32(k) * u32(PITCH_A) + row + u32(half)))
            for i in range(4):
                for j in range(COLUMNS):
                    sums[(half + i) * COLUMNS + j] += a[i] * b[j]


@device
def store(sums, bias, bias_first, relu, out, first, step, rows, columns):
    """out[first + i * step + j] = sums[i, j] + bias[bias_first + j] for i < rows, j < columns; `relu` cuts at 0.

    rows and columns count from the block's first. Four columns are written at once where memory's alignment allows it.
    """
    thread = u32(cuda.threadIdx.x)
    row = u32(thread // u32(16) * u32(ROWS))
    column = u32(thread % u32(16) * u32(COLUMNS))
    if bias.size > 0:
        for j in range(COLUMNS):
            if u32(column + u32(j)) < columns:
                start = bias[u32(bias_first + column + u32(j))]
                for i in range(ROWS):
                    sums[i * COLUMNS + j] += start
    if relu != u32(0):
        for i in range(RESULTS):
            sums[i] = f32(0) if sums[i] <= f32(0) else sums[i]
    together = u32((first | step) & u32(3)) == u32(0) and u32(column + u32(COLUMNS)) <= columns
    for i in range(ROWS):
        if u32(row + u32(i)) < rows:
            at = u32(first + (row + u32(i)) * step + column)
            if together:
                store4(out, at, sums[i * COLUMNS], sums[i * COLUMNS + 1], sums[i * COLUMNS + 2], sums[i * COLUMNS + 3])
            else:
                for j in range(COLUMNS):
                    if u32(column + u32(j)) < columns:
                        out[u32(at + u32(j))] = sums[i * COLUMNS + j]

"""Moving numbers: the transposed copies between channels-last memory and PyTorch's order of axes."""

from __future__ import annotations

from kernels.cuda.jit import Count, Floats, cuda, f32, kernel, u32

TILE = 32
ROWS = 8  # threads of a tile's column; each moves four numbers
THREADS = TILE * ROWS
PITCH = TILE + 1  # a column of the tile then lies in 32 banks
FLOATS = TILE * PITCH


@kernel(threads=THREADS, registers=32, shared=4 * FLOATS)
def transpose(x: Floats, out: Floats, rows: Count, columns: Count):
    """Transpose matrices, many at once.

    Computes   out[z, c, r] = x[z, r, c].
    Requires   x (batches, rows, columns), out (batches, columns, rows).
    Writes     all of out.
    Parallel   over tiles of 32 x 32 and batches: grid (ceil(columns / 32), ceil(rows / 32), batches).
    Why        reads and writes both follow the memory; the turn happens in shared memory.
    """
    tile = cuda.shared.array(FLOATS, f32)
    thread = u32(cuda.threadIdx.x)
    across, down = u32(thread % u32(TILE)), u32(thread // u32(TILE))
    column, row = u32(u32(cuda.blockIdx.x) * u32(TILE)), u32(u32(cuda.blockIdx.y) * u32(TILE))
    first = u32(u32(cuda.blockIdx.z) * rows * columns)
    for part in range(0, TILE, ROWS):
        i = u32(down + u32(part))
        if u32(row + i) < rows and u32(column + across) < columns:
            tile[u32(i * u32(PITCH) + across)] = x[u32(first + (row + i) * columns + column + across)]
    cuda.syncthreads()
    for part in range(0, TILE, ROWS):
        i = u32(down + u32(part))
        if u32(column + i) < columns and u32(row + across) < rows:
            out[u32(first + (column + i) * rows + row + across)] = tile[u32(across * u32(PITCH) + i)]

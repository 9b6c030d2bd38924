"""Memory: transposed copies, copies of views with any strides, and one value everywhere."""

from __future__ import annotations

from kernels.cuda.jit import Count, Floats, Number, cuda, f32, kernel, u32

TILE = 32
ROWS = 8  # threads of a tile's column; each moves four values
THREADS = TILE * ROWS
PITCH = TILE + 1  # so that a column of the tile is in 32 banks
FLOATS = TILE * PITCH


@kernel(threads=THREADS, registers=32, shared=4 * FLOATS)
def transpose(x: Floats, out: Floats, rows: Count, columns: Count):
    """Transpose matrices, many at once.

    Computes   out[z, c, r] = x[z, r, c].
    Requires   x (batches, rows, columns), out (batches, columns, rows).
    Writes     all of out.
    Parallel   over tiles of 32 x 32 and batches: grid (ceil(columns / 32), ceil(rows / 32), batches).
    Why        reads and writes both follow the memory; the tile is transposed in shared memory.
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


@kernel(threads=THREADS, registers=40)
def copy_strided(
    x: Floats, out: Floats, size: Count, size1: Count, size2: Count, size3: Count,
    x0: Count, x1: Count, x2: Count, x3: Count, out0: Count, out1: Count, out2: Count, out3: Count,
):  # fmt: skip
    """Copy a view with up to four axes into another.

    Computes   out[i0 * out0 + i1 * out1 + i2 * out2 + i3 * out3] = x[i0 * x0 + i1 * x1 + i2 * x2 + i3 * x3] for all
               i1 < size1, i2 < size2, i3 < size3 and as many i0 as make `size` elements.
    Requires   steps of x may be 0, which repeats it; those of out lead to different places.
    Writes     what the steps of out lead to.
    Parallel   over elements, the last axis fastest: grid ceil(size / 256).
    Why        one kernel for broadcasting, slices and other orders of axes; the caller orders the axes so that
               neighbouring threads write neighbours.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if e < size:
        rest = u32(e // size3)
        i3 = u32(e - rest * size3)
        first = u32(rest // size2)
        i2 = u32(rest - first * size2)
        i0 = u32(first // size1)
        i1 = u32(first - i0 * size1)
        out[u32(i0 * out0 + i1 * out1 + i2 * out2 + i3 * out3)] = x[u32(i0 * x0 + i1 * x1 + i2 * x2 + i3 * x3)]


@kernel(threads=THREADS, registers=32)
def fill(out: Floats, size: Count, value: Number):
    """One value everywhere.

    Computes   out[i] = value.
    Requires   out (size).
    Writes     all of out.
    Parallel   over elements: grid ceil(size / 256).
    Why        the value is an argument of the launch: nothing is copied to the device.
    """
    i = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if i < size:
        out[i] = value

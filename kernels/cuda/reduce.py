"""Sums in a fixed order: each is a tree or a chain that the shapes alone determine, so no bit depends on timing."""

from __future__ import annotations

from kernels.cuda.jit import Count, Floats, cuda, device, f32, kernel, u32

THREADS = 256
COLUMNS = 32  # of a block that reduces a matrix: a warp reads 32 neighbours
ROWS = THREADS // COLUMNS


@device
def tree_sum(values, thread, remain):
    """values[i] = sum of values[i + j * remain], i < remain, of THREADS values in shared memory.

    Half of the threads add the other half's values to their own, then a quarter, until `remain` are left. Each sum is
    read by the thread that wrote it; other threads need one more barrier to read it.
    """
    half = u32(THREADS // 2)
    while half >= remain:
        cuda.syncthreads()
        if thread < half:
            values[thread] += values[u32(thread + half)]
        half = u32(half // u32(2))


@kernel(threads=THREADS, registers=40)
def sum_parts(partials: Floats, out: Floats, size: Count, parts: Count):
    """Add up parts of sums.

    Computes   out[i] = sum over p of partials[p, i], in the order of the parts.
    Requires   partials (parts, size), out (size).
    Writes     out.
    Parallel   over elements: grid ceil(size / 256).
    Why        neighbouring threads read neighbouring elements; the order is fixed.
    Reference  a step of `column_sums` and `sum_all`.
    """
    i = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if i < size:
        total = f32(0)
        for part in range(parts):
            total += partials[u32(u32(part) * size + i)]
        out[i] = total


@kernel(threads=THREADS, registers=40, shared=4 * THREADS)
def column_sums(x: Floats, partials: Floats, rows: Count, columns: Count, rows_per_part: Count):
    """Sum the rows of a matrix, in parts.

    Computes   partials[p, c] = sum of x[r, c] over the rows r of part p.
    Requires   x (rows, columns), partials (ceil(rows / rows_per_part), columns), to be added by `sum_parts`.
    Writes     all of partials.
    Parallel   over columns by 32 and parts: grid (ceil(columns / 32), parts).
    Why        a warp reads 128 bytes of a row at once; eight rows are summed in parallel and joined by a tree.
    """
    values = cuda.shared.array(THREADS, f32)
    thread = u32(cuda.threadIdx.x)
    column = u32(u32(cuda.blockIdx.x) * u32(COLUMNS) + thread % u32(COLUMNS))
    first = u32(u32(cuda.blockIdx.y) * rows_per_part)
    last = u32(first + rows_per_part)
    last = last if last < rows else rows
    total = f32(0)
    if column < columns:
        for row in range(u32(first + thread // u32(COLUMNS)), last, ROWS):
            total += x[u32(u32(row) * columns + column)]
    values[thread] = total
    tree_sum(values, thread, u32(COLUMNS))
    if thread < u32(COLUMNS) and column < columns:
        partials[u32(u32(cuda.blockIdx.y) * columns + column)] = values[thread]


@kernel(threads=THREADS, registers=40, shared=4 * THREADS)
def sum_blocks(x: Floats, partials: Floats, size: Count, per_block: Count):
    """Sum all elements, in parts.

    Computes   partials[b] = sum of x[i] over the per_block elements i of part b.
    Requires   x (size), partials (ceil(size / per_block)); a second call with one block adds the parts.
    Writes     all of partials.
    Parallel   over parts: grid ceil(size / per_block).
    Why        256 sums in parallel, joined by a tree.
    Reference  a step of `sum_all`.
    """
    values = cuda.shared.array(THREADS, f32)
    thread = u32(cuda.threadIdx.x)
    first = u32(u32(cuda.blockIdx.x) * per_block)
    last = u32(first + per_block)
    last = last if last < size else size
    total = f32(0)
    for i in range(u32(first + thread), last, THREADS):
        total += x[u32(i)]
    values[thread] = total
    tree_sum(values, thread, u32(1))
    if thread == u32(0):
        partials[u32(cuda.blockIdx.x)] = values[u32(0)]

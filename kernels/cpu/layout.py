"""Memory layout: images from channels-first to channels-last memory and back, as copies of transposed matrices."""

from kernels.cpu.micro.pack import transpose_block
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import vlanes
from kernels.jit import inline
from kernels.launch import kernel

CHUNK = 16 * 1024  # elements: 64 KiB of float32 in and as much out stay in a core's L2
SIDE = 128  # elements: at least so many rows and columns of a matrix are transposed together, where there are


@inline
def _split(matrices, rows, columns):
    """How many matrices, rows and columns a chunk has: whole small matrices, or a part of one."""
    at_once = max(CHUNK // max(rows * columns, 1), 1)
    return at_once, max(SIDE, CHUNK // min(columns, SIDE)), max(SIDE, CHUNK // min(rows, SIDE))


@inline
def _chunks(x):
    matrices, rows, columns = x.shape
    if x.size == 0:
        return 0
    at_once, high, wide = _split(matrices, rows, columns)
    return ceil_div(matrices, at_once) * ceil_div(rows, high) * ceil_div(columns, wide)


@inline
def _transpose(source, first, rows, columns, row, out, to, out_row):
    """out[to + j * out_row + i] = source[first + i * row + j]."""
    if min(rows, columns) < vlanes(out):
        for j in range(columns):
            for i in range(rows):
                out[to + j * out_row + i] = source[first + i * row + j]
    else:
        transpose_block(source, first, row, rows, columns, out, to, out_row, rows)


@kernel(_chunks)
def transpose_matrices(chunk, x, out):
    """Copy matrices, transposed.

    Computes   out[n, j, i] = x[n, i, j].
    Requires   x (N, I, J), out (N, J, I), C-contiguous, of one dtype.
    Writes     all of out.
    Parallel   over groups of small matrices, and over rows and columns of large ones.
    Why        squares are transposed in registers, so both sides of the copy are whole vectors; NumPy copies value by
               value, on one thread: on a Zen 3 server an image (3, 224, 224) took it 300 to 700 us.
    """
    matrices, rows, columns = x.shape
    source, destination = x.reshape(-1), out.reshape(-1)
    at_once, high, wide = _split(matrices, rows, columns)
    bands, stripes = ceil_div(rows, high), ceil_div(columns, wide)
    stripe, rest = chunk % stripes, chunk // stripes
    band, group = rest % bands, rest // bands
    i, j = band * high, stripe * wide
    for n in range(group * at_once, min((group + 1) * at_once, matrices)):
        _transpose(
            source, (n * rows + i) * columns + j, min(high, rows - i), min(wide, columns - j), columns,
            destination, (n * columns + j) * rows + i, rows,
        )  # fmt: skip

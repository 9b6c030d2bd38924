"""Batch normalisation over the rows of a matrix: row = one pixel of one image, column = one channel.

A channels-last batch (N, H, W, C) is the matrix (N*H*W, C) without a copy, so the inner loops run over channels that
lie side by side and every sum is C independent sums, one per vector lane. Each pass touches memory once.

Long sums go in blocks of rows ("chunks"). The blocks depend on the shape alone and are added in their order, so the
result does not depend on the number of threads. Sums are float64: as fast, since memory sets the pace here.
"""

from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.jit import kernel, prange


@kernel
def batch_norm_statistics(x, mean, variance, workspace, rows_per_chunk):
    """Mean and biased variance of every column.

    Computes   mean[c] = sum_r x[r, c] / rows;  variance[c] = sum_r (x[r, c] - mean[c])^2 / rows.
    Requires   x (rows, C) C-contiguous, rows >= 1; workspace float64 (2, chunks, C), where
               chunks = ceil(rows / rows_per_chunk).
    Writes     mean, variance, float64 (C,).
    Parallel   over chunks of rows.
    Why        x comes from memory once. A chunk fits into the L2 cache, so its deviations from its own mean are taken
               there, in a second pass, and no large mean can spoil them. The chunks are then joined (Chan, Golub &
               LeVeque 1979): sum of squares = sum over chunks of own sum of squares + own rows * (own mean - mean)^2.
    """
    rows, channels = x.shape
    chunks = workspace.shape[1]
    for chunk in prange(chunks):
        mode = flush_denormals()
        first = chunk * rows_per_chunk
        last = min(first + rows_per_chunk, rows)
        chunk_mean = workspace[0, chunk]
        chunk_squares = workspace[1, chunk]
        for c in range(channels):
            chunk_mean[c] = 0.0
            chunk_squares[c] = 0.0
        for r in range(first, last):
            for c in range(channels):
                chunk_mean[c] += x[r, c]
        for c in range(channels):
            chunk_mean[c] /= last - first
        for r in range(first, last):
            for c in range(channels):
                deviation = x[r, c] - chunk_mean[c]
                chunk_squares[c] += deviation * deviation
        restore_denormals(mode)
    for c in range(channels):
        mean[c] = 0.0
        variance[c] = 0.0
    for chunk in range(chunks):
        count = min(rows_per_chunk, rows - chunk * rows_per_chunk)
        for c in range(channels):
            mean[c] += count * workspace[0, chunk, c]
    for c in range(channels):
        mean[c] /= rows
    for chunk in range(chunks):
        count = min(rows_per_chunk, rows - chunk * rows_per_chunk)
        for c in range(channels):
            deviation = workspace[0, chunk, c] - mean[c]
            variance[c] += workspace[1, chunk, c] + count * deviation * deviation
    for c in range(channels):
        variance[c] /= rows


@kernel
def batch_norm_forward(x, center, scale, shift, out, rows_per_chunk):
    """An affine map of every column.

    Computes   out[r, c] = (x[r, c] - center[c]) * scale[c] + shift[c].
    Requires   x (rows, C) C-contiguous; center, scale, shift (C,) of its dtype.
    Writes     out (rows, C).
    Parallel   over chunks of rows.
    Why        one read, one write. x - center is exact for x near the mean, so that a large mean costs no digits,
               and the subtraction is free beside the memory traffic.
    """
    rows, channels = x.shape
    for chunk in prange((rows + rows_per_chunk - 1) // rows_per_chunk):
        mode = flush_denormals()
        first = chunk * rows_per_chunk
        for r in range(first, min(first + rows_per_chunk, rows)):
            for c in range(channels):
                out[r, c] = (x[r, c] - center[c]) * scale[c] + shift[c]
        restore_denormals(mode)


@kernel
def batch_norm_grad_sums(x, grad_out, center, sum_grad, sum_grad_x, workspace, rows_per_chunk):
    """The two sums per column that every gradient of batch norm is made of.

    Computes   sum_grad[c] = sum_r grad_out[r, c];  sum_grad_x[c] = sum_r grad_out[r, c] * (x[r, c] - center[c]).
    Requires   x, grad_out (rows, C) C-contiguous; center (C,) of their dtype; workspace float64 (2, chunks, C).
    Writes     sum_grad, sum_grad_x, float64 (C,).
    Parallel   over chunks of rows.
    Why        both sums in one reading of x and grad_out.
    """
    rows, channels = x.shape
    chunks = workspace.shape[1]
    for chunk in prange(chunks):
        mode = flush_denormals()
        first = chunk * rows_per_chunk
        chunk_grad = workspace[0, chunk]
        chunk_grad_x = workspace[1, chunk]
        for c in range(channels):
            chunk_grad[c] = 0.0
            chunk_grad_x[c] = 0.0
        for r in range(first, min(first + rows_per_chunk, rows)):
            for c in range(channels):
                chunk_grad[c] += grad_out[r, c]
                chunk_grad_x[c] += grad_out[r, c] * (x[r, c] - center[c])
        restore_denormals(mode)
    for c in range(channels):
        sum_grad[c] = 0.0
        sum_grad_x[c] = 0.0
    for chunk in range(chunks):
        for c in range(channels):
            sum_grad[c] += workspace[0, chunk, c]
            sum_grad_x[c] += workspace[1, chunk, c]


@kernel
def batch_norm_grad_input(x, grad_out, center, scale, slope, shift, grad_x, rows_per_chunk):
    """The gradient of the input, as a map of grad_out and x that is affine in every column.

    Computes   grad_x[r, c] = scale[c] * grad_out[r, c] + slope[c] * (x[r, c] - center[c]) + shift[c].
    Requires   x, grad_out (rows, C) C-contiguous; center, scale, slope, shift (C,) of their dtype.
    Writes     grad_x (rows, C).
    Parallel   over chunks of rows.
    Why        two reads, one write; whatever is constant in a column was put into its three coefficients.
    """
    rows, channels = x.shape
    for chunk in prange((rows + rows_per_chunk - 1) // rows_per_chunk):
        mode = flush_denormals()
        first = chunk * rows_per_chunk
        for r in range(first, min(first + rows_per_chunk, rows)):
            for c in range(channels):
                grad_x[r, c] = scale[c] * grad_out[r, c] + (slope[c] * (x[r, c] - center[c]) + shift[c])
        restore_denormals(mode)

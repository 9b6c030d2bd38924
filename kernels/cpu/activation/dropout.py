"""Dropout: multiply by a random mask that is computed where it is used and never stored."""

import numpy as np

from kernels.cpu.vector.philox import philox4x32
from kernels.cpu.vector.split import ceil_div
from kernels.jit import inline
from kernels.launch import kernel

ELEMENTS_PER_CHUNK = 16384  # a multiple of four, so that no counter is shared by two chunks


@inline
def _chunks(x):
    return ceil_div(x.shape[0], ELEMENTS_PER_CHUNK)


@kernel(_chunks)
def dropout_forward(chunk, x, out, scale, seed, offset, threshold):
    """Dropout, and its gradient (the map is linear and diagonal: the same with grad_out in the place of x).

    Computes   out[i] = x[i] * (scale if word(i) >= threshold else 0), where word(i) is the 32-bit word i % 4 of
               Philox4x32-10 with key `seed` and counter `offset + i // 4`.
    Requires   x (size,) contiguous, the elements in the order of memory; scale of its dtype; seed, offset, threshold
               uint64, threshold <= 2^32 (a word falls below it with probability threshold / 2^32).
    Writes     out (size,).
    Parallel   over chunks of elements.
    Why        a mask from memory would cost more than one from ten multiplications; four elements share them.
               Dropped elements are multiplied by 0 and not set to 0: NaN and infinity stay visible, as in PyTorch.
    """
    size = x.shape[0]
    zero = scale - scale
    first = chunk * ELEMENTS_PER_CHUNK
    last = min(first + ELEMENTS_PER_CHUNK, size)
    whole = last - (last - first) % 4
    for i in range(first, whole, 4):
        w0, w1, w2, w3 = philox4x32(offset + np.uint64(i // 4), np.uint64(0), seed)
        out[i] = x[i] * (scale if w0 >= threshold else zero)
        out[i + 1] = x[i + 1] * (scale if w1 >= threshold else zero)
        out[i + 2] = x[i + 2] * (scale if w2 >= threshold else zero)
        out[i + 3] = x[i + 3] * (scale if w3 >= threshold else zero)
    if whole < last:
        w0, w1, w2, w3 = philox4x32(offset + np.uint64(whole // 4), np.uint64(0), seed)
        for i in range(whole, last):
            word = w0 if i == whole else (w1 if i == whole + 1 else w2)
            out[i] = x[i] * (scale if word >= threshold else zero)

"""Dropout: multiply by a random mask that is computed where it is used and never stored."""

from __future__ import annotations

from kernels.cuda.jit import Count, Floats, Number, Word, cuda, f32, kernel, u32, u64
from kernels.cuda.philox import philox4x32


@kernel(threads=256, registers=48)
def dropout_forward(x: Floats, out: Floats, size: Count, scale: Number, seed: Word, offset: Word, threshold: Word):
    """Dropout, and its gradient (the map is linear and diagonal: the same with grad_out in the place of x).

    Computes   out[i] = x[i] * (scale if word(i) >= threshold else 0), where word(i) is the 32-bit word i % 4 of
               Philox4x32-10 with key `seed` and counter `offset + i // 4`: the mask of the CPU.
    Requires   x, out (size), the elements in the order of memory; threshold <= 2^32.
    Writes     out; it may be x.
    Parallel   over counters, four elements each: grid ceil(size / 1024).
    Why        a mask from memory would cost more than one from twenty multiplications; four elements share them.
               Dropped elements are multiplied by 0 and not set to 0: NaN and infinity stay visible.
    """
    counter = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if u32(counter * u32(4)) < size:
        words = philox4x32(u64(offset + u64(counter)), seed)
        for part in range(4):
            i = u32(counter * u32(4) + u32(part))
            if i < size:
                out[i] = x[i] * (scale if words[part] >= threshold else f32(0))

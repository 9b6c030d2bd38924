"""Philox4x32-10 on the GPU: the same words as `kernels/cpu/vector/philox.py` for the same key and counter.

Source: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 4.3.
"""

import numpy as np

from kernels.cuda.jit import device, u64

MULTIPLIER_0 = np.uint64(0xD2511F53)
MULTIPLIER_1 = np.uint64(0xCD9E8D57)
WEYL_0 = np.uint64(0x9E3779B9)
WEYL_1 = np.uint64(0xBB67AE85)
LOW_WORD = np.uint64(0xFFFFFFFF)
WORD_BITS = np.uint64(32)
ROUNDS = 10


@device
def philox4x32(counter, key):
    """The four words of a counter below 2^64 under a 64-bit key, each in a u64, so that products lose nothing."""
    c0, c1 = u64(counter & LOW_WORD), u64(counter >> WORD_BITS)
    c2, c3 = u64(0), u64(0)
    k0, k1 = u64(key & LOW_WORD), u64(key >> WORD_BITS)
    for _ in range(ROUNDS):
        product_0, product_1 = u64(MULTIPLIER_0 * c0), u64(MULTIPLIER_1 * c2)
        c0 = (product_1 >> WORD_BITS) ^ c1 ^ k0
        c1 = product_1 & LOW_WORD
        c2 = (product_0 >> WORD_BITS) ^ c3 ^ k1
        c3 = product_0 & LOW_WORD
        k0 = (k0 + WEYL_0) & LOW_WORD
        k1 = (k1 + WEYL_1) & LOW_WORD
    return c0, c1, c2, c3

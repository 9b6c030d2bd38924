"""Philox4x32-10: random numbers as a function of (key, counter), with no state to pass on.

Source: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 4.3. Each counter
gives four independent 32-bit words, so element i of an array can compute its own number: the result is the same for any
number of threads, in any order, on any device.
"""

import numpy as np

from kernels.jit import inline

MULTIPLIER_0 = np.uint64(0xD2511F53)
MULTIPLIER_1 = np.uint64(0xCD9E8D57)
WEYL_0 = np.uint64(0x9E3779B9)  # the golden ratio, as a fraction of 2^32
WEYL_1 = np.uint64(0xBB67AE85)  # sqrt(3) - 1
LOW_WORD = np.uint64(0xFFFFFFFF)
WORD_BITS = np.uint64(32)
ROUNDS = 10


@inline
def philox4x32(counter_low, counter_high, key):
    """The four words of one 128-bit counter, given as two uint64 halves, under a 64-bit key.

    Every value is a uint64 that holds 32 bits: a product of two words then fits without loss.
    """
    c0 = counter_low & LOW_WORD
    c1 = counter_low >> WORD_BITS
    c2 = counter_high & LOW_WORD
    c3 = counter_high >> WORD_BITS
    k0 = key & LOW_WORD
    k1 = key >> WORD_BITS
    for _ in range(ROUNDS):
        product_0 = MULTIPLIER_0 * c0
        product_1 = MULTIPLIER_1 * c2
        c0 = (product_1 >> WORD_BITS) ^ c1 ^ k0
        c1 = product_1 & LOW_WORD
        c2 = (product_0 >> WORD_BITS) ^ c3 ^ k1
        c3 = product_0 & LOW_WORD
        k0 = (k0 + WEYL_0) & LOW_WORD
        k1 = (k1 + WEYL_1) & LOW_WORD
    return c0, c1, c2, c3

"""Dropout and its random numbers by their definition, in Python integers of unlimited size."""

import numpy as np


def philox4x32(counter, key, rounds=10):
    """The four 32-bit words of a 128-bit counter under a 64-bit key (Salmon et al. 2011, section 4.3)."""
    c = [(counter >> 32 * i) & 0xFFFFFFFF for i in range(4)]
    k = [(key >> 32 * i) & 0xFFFFFFFF for i in range(2)]
    for _ in range(rounds):
        product_0, product_1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (product_1 >> 32) ^ c[1] ^ k[0],
            product_1 & 0xFFFFFFFF,
            (product_0 >> 32) ^ c[3] ^ k[1],
            product_0 & 0xFFFFFFFF,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def dropout_mask(size, p, seed, offset):
    """Which elements dropout keeps: element i where word i % 4 of counter offset + i // 4 is at least p * 2^32."""
    threshold = round(p * 2**32)
    return np.array([philox4x32(offset + i // 4, seed)[i % 4] >= threshold for i in range(size)], bool)


def dropout_forward(x, p, seed, offset):
    """x / (1 - p) where the mask keeps it, x * 0 elsewhere; x is flat."""
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return x.astype(np.float64) * np.where(dropout_mask(x.size, p, seed, offset), scale, 0.0)

"""Sums and products of large arrays by kernels on all threads; NumPy's ufuncs use one thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.ops.core.layout import contiguous, flat
from kernels.cpu.elementwise import arithmetic as kernels

SMALLEST = 128 * 1024  # bytes of the result of two equal shapes: below this, NumPy has finished before a launch
_KERNELS = {np.add: kernels.add, np.multiply: kernels.multiply}


def computed(ufunc: Any, arrays: tuple[np.ndarray, ...], out: np.ndarray) -> bool:
    """Write `ufunc(*arrays)` to `out`, a dense array, if there is a kernel for it; returns whether there is."""
    kernel = _KERNELS.get(ufunc)
    if kernel is None or out.dtype.kind != "f":
        return False
    a, b = arrays
    # Numba would compile the kernels once more for read-only arrays.
    if not a.dtype == b.dtype == out.dtype or not (a.flags.writeable and b.flags.writeable):
        return False
    if a.shape == b.shape:
        if out.nbytes < SMALLEST or not a.strides == b.strides == out.strides:
            return False
        kernel(flat(a), flat(b), flat(out))  # views: `out` is dense, and all three have the same strides
        return True
    return ufunc is np.multiply and _channels_scaled(*((a, b) if a.size > b.size else (b, a)), out)


def _channels_scaled(x: np.ndarray, factors: np.ndarray, out: np.ndarray) -> bool:
    """Write x * factors to `out` if x is channels-last (N, C, H, W) with one factor per channel; returns whether it is.

    The factors are (N, C, 1, 1), or the same for all images: (1, C, 1, 1) or (C, 1, 1).
    """
    channels = x.shape[1] if x.ndim == 4 else 0
    if factors.shape not in ((channels, 1, 1), (1, channels, 1, 1), (x.shape[0], channels, 1, 1)):
        return False
    blocks = [array.transpose(0, 2, 3, 1) for array in (x, out)]
    if not (blocks[0].flags.c_contiguous and blocks[1].flags.c_contiguous):
        return False
    images, result = (block.reshape(x.shape[0], -1, channels) for block in blocks)
    kernels.multiply_channels(images, contiguous(factors.reshape(-1, channels)), result)
    return True

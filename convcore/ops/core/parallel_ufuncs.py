"""Sums and products of large arrays by kernels of all threads, in the place of NumPy's of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.ops.core.layout import contiguous, flat
from kernels.cpu.elementwise import arithmetic as kernels

SMALLEST = 128 * 1024  # bytes of the result: below, NumPy is done before the threads have begun
_KERNELS = {np.add: kernels.add, np.multiply: kernels.multiply}


def computed(ufunc: Any, arrays: tuple[np.ndarray, ...], out: np.ndarray) -> bool:
    """Whether there is a kernel for `ufunc(*arrays)`; if so its result is in `out`, which must have no holes."""
    kernel = _KERNELS.get(ufunc)
    if kernel is None or out.nbytes < SMALLEST or out.dtype.kind != "f":
        return False
    a, b = arrays
    # Arrays that must not be written to would have the kernels compiled once more.
    if not a.dtype == b.dtype == out.dtype or not (a.flags.writeable and b.flags.writeable):
        return False
    if a.shape == b.shape:
        if not a.strides == b.strides == out.strides:
            return False
        kernel(flat(a), flat(b), flat(out))  # views, for `out` has no holes, and so has none of them
        return True
    return ufunc is np.multiply and _channels_scaled(*((a, b) if a.size > b.size else (b, a)), out)


def _channels_scaled(x: np.ndarray, factors: np.ndarray, out: np.ndarray) -> bool:
    """Whether x are channels-last images (N, C, H, W) and there is a factor for each channel; if so out is x * factors.

    The factors are (N, C, 1, 1), or for all images (1, C, 1, 1) or (C, 1, 1).
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

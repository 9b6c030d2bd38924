"""Memory for results: a pool of blocks that are used again and again.

A large array fresh from the system costs a page fault for every 4 KiB that is written, more than many kernels take
to compute it. So the pool keeps the blocks of arrays that nobody holds any more and hands them out again. An array from
the pool is an ordinary ndarray; when it and all views of it are gone, its block returns by itself.
"""

import math
import os
import threading
from collections.abc import Sequence

import numpy as np

ALIGNMENT = 64  # bytes: a cache line, and an AVX-512 register
SMALLEST_POOLED = 16 * 1024  # bytes: below this NumPy's own small-block cache is faster
MAX_IDLE = 2 * 1024**3  # bytes of blocks kept for later; what comes back beyond that goes to the system


class _Block(np.ndarray):
    """The memory of one block of the pool. A class of its own, so that NumPy does not look through a lease to it."""


# An RLock: Python's garbage collector can run anywhere, also while the lock is held, and then a _Lease may end.
_lock = threading.RLock()
_idle: dict[int, list[_Block]] = {}  # blocks by size
_idle_bytes = 0
_used_bytes = 0
_peak_bytes = 0


def _after_fork_in_child() -> None:
    """Another thread of the parent may have held the lock; it does not exist in the child to release it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _Lease(np.ndarray):
    """The base of an array from the pool, which lies within it: its end of life returns the block."""

    block: _Block
    lent = 0  # bytes of the block; NumPy may make other arrays of this class, and they return nothing

    def __del__(self) -> None:
        if self.lent:
            _give_back(self.block, self.lent)


def _size_class(nbytes: int) -> int:
    """Round up to one of four sizes per power of two, so that at most a fifth of a block lies unused."""
    step = 1 << max(nbytes.bit_length() - 3, 0)
    return -(-nbytes // step) * step


def empty(shape: int | Sequence[int], dtype) -> np.ndarray:
    """An uninitialised C-contiguous array, aligned to 64 bytes."""
    global _idle_bytes, _used_bytes, _peak_bytes
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < SMALLEST_POOLED:
        return np.empty(shape, dtype)
    size = _size_class(nbytes)
    with _lock:
        blocks = _idle.get(size)
        block = blocks.pop() if blocks else None
        if block is not None:
            _idle_bytes -= size
        _used_bytes += size
        if _used_bytes > _peak_bytes:
            _peak_bytes = _used_bytes
    if block is None:
        block = np.ndarray.__new__(_Block, (size + ALIGNMENT,), np.uint8)
        block = block[-block.ctypes.data % ALIGNMENT :][:size]
    lease = np.ndarray.__new__(_Lease, (nbytes,), np.uint8, block)
    lease.block, lease.lent = block, size
    return np.ndarray(shape, dtype, lease)


def empty_channels_last(shape: Sequence[int], dtype) -> np.ndarray:
    """An uninitialised array of logical shape (N, C, ...) that lies in memory as (N, ..., C)."""
    n, c, *sizes = shape
    block = empty((n, *sizes, c), dtype)
    return block.transpose(0, block.ndim - 1, *range(1, block.ndim - 1))


def _give_back(block: _Block, size: int) -> None:
    global _idle_bytes, _used_bytes
    with _lock:
        _used_bytes -= size
        if _idle_bytes + size <= MAX_IDLE:
            _idle.setdefault(size, []).append(block)
            _idle_bytes += size


def clear() -> None:
    """Return every idle block to the system."""
    global _idle_bytes
    with _lock:
        _idle.clear()
        _idle_bytes = 0


def stats() -> dict[str, int]:
    """Bytes in use, their peak since the start (or `reset_peak`), and bytes kept idle; small arrays are not counted."""
    with _lock:
        return {"used": _used_bytes, "peak": _peak_bytes, "idle": _idle_bytes}


def reset_peak() -> None:
    """Start measuring the peak anew from what is in use now."""
    global _peak_bytes
    with _lock:
        _peak_bytes = _used_bytes

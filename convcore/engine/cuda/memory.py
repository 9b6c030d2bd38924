"""Memory on the GPU: blocks that are used again and again, as `convcore.memory` does on the CPU.

To ask CUDA for memory makes the host wait until the device is idle. So what arrays let go is kept and handed out again.
All kernels run on one stream, one after the other; so a block may change hands while kernels still work on it: those of
the new owner come later. Only when the device has no more to give do idle blocks go back to it.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from convcore.engine.cuda import probe
from convcore.errors import OutOfMemoryError

SMALLEST = 512  # bytes of a block


class _Lease:
    """The base object of an array's description: its end of life returns the block."""

    __slots__ = ("__array_interface__", "block", "pool", "size")

    def __init__(self, pool: Pool, block: Any, size: int, shape: tuple[int, ...], dtype: np.dtype):
        self.pool, self.block, self.size = pool, block, size
        self.__array_interface__ = {
            "version": 3, "shape": shape, "typestr": dtype.str, "data": (block.address, False)
        }  # fmt: skip

    def __del__(self) -> None:
        self.pool.give_back(self.block, self.size)


class Pool:
    """The memory of one GPU.

    Attributes:
        driver: what gives memory and copies.
        used, peak, idle: bytes of blocks in use, the most so far, and of those kept for later.
        copies: how many copies there were "to the device" and "to the host".
    """

    def __init__(self, driver: Any):
        self.driver = driver
        self.used = self.peak = self.idle = 0
        self.copies: Counter[str] = Counter()
        self._blocks: dict[int, list[Any]] = defaultdict(list)
        self._lock = threading.RLock()  # the garbage collector may end a lease while the lock is held

    def empty(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """The description of a new C-contiguous array, as a NumPy array at an address of the device: for its shape,
        strides and views. Nobody may read it.

        Raises:
            OutOfMemoryError: there is no room, also after all idle blocks were given back.
        """
        shape, dtype = tuple(shape), np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes == 0:
            return np.empty(shape, dtype)
        size = _size_class(nbytes)
        with self._lock:
            blocks = self._blocks[size]
            if blocks:
                block = blocks.pop()
                self.idle -= size
            else:
                block = self._allocate(size, shape, dtype)
            self.used += size
            self.peak = max(self.peak, self.used)
        return np.asarray(_Lease(self, block, size, shape, dtype))

    def _allocate(self, size: int, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        try:
            return self.driver.allocate(size)
        except MemoryError:
            self.release_idle()
        try:
            return self.driver.allocate(size)
        except MemoryError:
            free, total = self.driver.memory()
            raise OutOfMemoryError(
                f"cuda:0 has no room for a {dtype} tensor of shape {shape}, {readable(size)}: {readable(free)} of "
                f"{readable(total)} are free, {readable(self.used)} are held by tensors; take a smaller batch, or let "
                "tensors go that are not needed"
            ) from None

    def give_back(self, block: Any, size: int) -> None:
        """Keep a block whose array is gone."""
        with self._lock:
            self.used -= size
            self.idle += size
            self._blocks[size].append(block)

    def release_idle(self) -> None:
        """Give idle blocks back to the device."""
        with self._lock:
            self._blocks.clear()
            self.idle = 0
            self.driver.settle()


_pool: Pool | None = None


def pool() -> Pool:
    """The memory of the GPU.

    Raises:
        DeviceError: no GPU is usable.
    """
    global _pool
    if _pool is None:
        _pool = Pool(probe.driver())
    return _pool


def current() -> Pool | None:
    """The memory of the GPU, None if nobody has used it."""
    return _pool


def _size_class(nbytes: int) -> int:
    """Round up to one of four sizes per power of two, so that at most a fifth of a block lies unused."""
    step = max(1 << max(nbytes.bit_length() - 3, 0), SMALLEST)
    return -(-nbytes // step) * step


def readable(nbytes: int) -> str:
    """Bytes for people: 1.5 MiB."""
    size, unit = float(nbytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.4g} {unit}"

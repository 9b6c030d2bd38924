"""The GPU: whether there is one that can be used, its name and memory, and tensors of other libraries on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd import wrap
from convcore.engine.cuda import memory, probe
from convcore.engine.cuda.array import KINDS, DeviceArray
from convcore.errors import DTypeError, OutOfMemoryError
from convcore.ops.core import transfer
from convcore.tensor import Tensor

__all__ = [
    "OutOfMemoryError", "as_tensor", "copies", "device_count", "empty_cache", "get_device_name", "is_available",
    "max_memory_allocated", "memory_allocated", "memory_summary", "synchronize", "why_not_available",
]  # fmt: skip


def is_available() -> bool:
    """Whether there is a GPU that can be used."""
    return probe.probe()[0] is not None


def why_not_available() -> str:
    """Why there is none, and what to do about it; empty where there is one."""
    return probe.probe()[1]


def device_count() -> int:
    """How many GPUs the machine has; convcore uses the first. 0 where none can be used."""
    found, _ = probe.probe()
    return 0 if found is None else found.count()


def get_device_name(device: Any = None) -> str:
    """What the GPU's maker calls it.

    Raises:
        DeviceError: there is none; says why.
    """
    transfer.gpu(device)
    return probe.driver().name()


def synchronize(device: Any = None) -> None:
    """Wait until everything that was asked of the GPU is done. Without this a clock measures only the asking."""
    transfer.gpu(device)
    probe.driver().synchronize()


def memory_allocated(device: Any = None) -> int:
    """Bytes of the GPU's memory that tensors hold."""
    transfer.gpu(device)
    pool = memory.current()
    return 0 if pool is None else pool.used


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that tensors held at a time so far."""
    transfer.gpu(device)
    pool = memory.current()
    return 0 if pool is None else pool.peak


def empty_cache() -> None:
    """Give the memory that is kept for later tensors back to the GPU, for other programs."""
    pool = memory.current()
    if pool is not None:
        pool.release_idle()


def copies() -> dict[str, int]:
    """How many copies there were so far "to the device" and "to the host". Nothing is copied unasked."""
    pool = memory.current()
    counted = {} if pool is None else pool.copies
    return {direction: counted.get(direction, 0) for direction in ("to the device", "to the host")}


def memory_summary(device: Any = None) -> str:
    """A table of the GPU's memory: held by tensors, the most so far, kept for later, free and in all.

    Raises:
        DeviceError: there is no GPU; says why.
    """
    name = get_device_name(device)
    pool = memory.pool()
    free, total = pool.driver.memory()
    rows = {
        "held by tensors": pool.used, "the most so far": pool.peak, "kept for later": pool.idle, "free": free,
        "in all": total,
    }  # fmt: skip
    return "\n".join([f"cuda:0, {name}", *[f"  {what:16} {memory.readable(size):>10}" for what, size in rows.items()]])


class _Foreign:
    """Another library's array on the GPU: keeps it alive, and says where it lies."""

    def __init__(self, owner: Any, interface: dict[str, Any]):
        self.owner = owner
        keys = "shape", "typestr", "strides"
        data = interface["data"]
        self.__array_interface__ = {"version": 3, "data": data, **{key: interface.get(key) for key in keys}}


def as_tensor(array: Any) -> Tensor:
    """A tensor that shares the memory of another library's array on the GPU (PyTorch's, CuPy's, Numba's).

    Args:
        array: what has `__cuda_array_interface__`; of float32, int64 or int32.

    Raises:
        DTypeError: it has no such attribute, or another dtype.
        DeviceError: there is no GPU; says why.
    """
    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is None or interface.get("mask") is not None:
        raise DTypeError(
            f"as_tensor: needs an array on a GPU, with __cuda_array_interface__ and no mask, got {type(array).__name__}"
        )
    if np.dtype(interface["typestr"]) not in KINDS:
        raise DTypeError(
            f"as_tensor: dtype must be one of {', '.join(map(str, KINDS))}, got {np.dtype(interface['typestr'])}"
        )
    transfer.start()
    if interface.get("stream") not in (None, 1):  # it may still be written to on a stream of its own
        synchronize()
    shared: Any = DeviceArray(np.asarray(_Foreign(array, interface)))
    return wrap(shared)

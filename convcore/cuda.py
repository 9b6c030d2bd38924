"""The GPU: availability, name and memory, and sharing tensors with other libraries."""

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
    """Whether there is a usable GPU."""
    return probe.probe()[0] is not None


def why_not_available() -> str:
    """Why there is no usable GPU, and what to do about it; empty if there is one."""
    return probe.probe()[1]


def device_count() -> int:
    """The number of GPUs; convcore uses the first. 0 if none is usable."""
    found, _ = probe.probe()
    return 0 if found is None else found.count()


def get_device_name(device: Any = None) -> str:
    """The product name of the GPU.

    Raises:
        DeviceError: there is no usable GPU; the message says why.
    """
    transfer.gpu(device)
    return probe.driver().name()


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has finished all work. Without this, a clock measures only the launches of kernels."""
    transfer.gpu(device)
    probe.driver().synchronize()


def memory_allocated(device: Any = None) -> int:
    """Bytes of GPU memory held by tensors."""
    transfer.gpu(device)
    pool = memory.current()
    return 0 if pool is None else pool.used


def max_memory_allocated(device: Any = None) -> int:
    """The peak of the bytes held by tensors."""
    transfer.gpu(device)
    pool = memory.current()
    return 0 if pool is None else pool.peak


def empty_cache() -> None:
    """Free the idle blocks of the GPU memory pool, for other programs."""
    pool = memory.current()
    if pool is not None:
        pool.release_idle()


def copies() -> dict[str, int]:
    """The numbers of copies so far, "to the device" and "to the host". Nothing is copied implicitly."""
    pool = memory.current()
    counted = {} if pool is None else pool.copies
    return {direction: counted.get(direction, 0) for direction in ("to the device", "to the host")}


def memory_summary(device: Any = None) -> str:
    """A table of the GPU's memory: held by tensors, peak, idle in the pool, free and total.

    Raises:
        DeviceError: there is no usable GPU; the message says why.
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
    """Another library's array on the GPU: keeps it alive, and describes its memory."""

    def __init__(self, owner: Any, interface: dict[str, Any]):
        self.owner = owner
        keys = "shape", "typestr", "strides"
        data = interface["data"]
        self.__array_interface__ = {"version": 3, "data": data, **{key: interface.get(key) for key in keys}}


def as_tensor(array: Any) -> Tensor:
    """A tensor that shares the memory of another library's array on the GPU (PyTorch's, CuPy's, Numba's).

    Args:
        array: an object with `__cuda_array_interface__`, of float32, int64 or int32.

    Raises:
        DTypeError: the array has no such attribute, or another dtype.
        DeviceError: there is no usable GPU; the message says why.
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
    if interface.get("stream") not in (None, 1):  # kernels on another stream may still write to it
        synchronize()
    shared: Any = DeviceArray(np.asarray(_Foreign(array, interface)))
    return wrap(shared)

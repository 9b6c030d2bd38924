"""The host's side of a GPU: its memory, copies to and from it, and waiting for it.

Apart from launches, nothing else here calls CUDA. Everything is queued on one stream, the default one, in the order of
the calls. So memory that Python frees while kernels still use it may be reused at once: its next user is queued behind
these kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.cuda.jit import cuda, driver_version, runtime_version


class Block:
    """A piece of the device's memory; it ends with this object.

    Attributes:
        address: where it begins, a multiple of 256.
    """

    def __init__(self, nbytes: int):
        self._array = cuda.device_array(nbytes, np.uint8)
        self.address: int = self._array.__cuda_array_interface__["data"][0]


class Driver:
    """The first GPU of the machine."""

    dlpack_device = (2, 0)  # DLPack's word for the first GPU of CUDA

    def name(self) -> str:
        """The name that the maker gives it."""
        name = cuda.get_current_device().name
        return name.decode() if isinstance(name, bytes) else name

    def count(self) -> int:
        """How many GPUs the machine has."""
        return len(cuda.gpus)

    def capability(self) -> tuple[int, int]:
        """Its generation, as (major, minor)."""
        major, minor = cuda.get_current_device().compute_capability
        return int(major), int(minor)

    def multiprocessors(self) -> int:
        """How many it has."""
        return int(cuda.get_current_device().MULTIPROCESSOR_COUNT)

    def clock(self) -> float:
        """Its highest clock in Hz."""
        return 1e3 * cuda.get_current_device().CLOCK_RATE

    def versions(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of CUDA: what the driver speaks, and what Numba compiles for."""
        return driver_version(), runtime_version()

    def memory(self) -> tuple[int, int]:
        """Bytes that are free, and all."""
        free, total = cuda.current_context().get_memory_info()
        return int(free), int(total)

    def allocate(self, nbytes: int) -> Block:
        """New memory.

        Raises:
            MemoryError: there is not so much.
        """
        try:
            return Block(nbytes)
        except Exception as error:
            if "OUT_OF_MEMORY" in str(error):
                raise MemoryError(str(error)) from None
            raise

    def settle(self) -> None:
        """Give what ended back to the device now; Numba waits until it is much."""
        cuda.current_context().deallocations.clear()

    def upload(self, array: np.ndarray, address: int) -> None:
        """Copy a contiguous array to the device."""
        _bytes_at(address, array.nbytes).copy_to_device(array.reshape(-1).view(np.uint8))

    def download(self, address: int, array: np.ndarray) -> None:
        """Copy from the device into a contiguous array, after all that was queued before."""
        _bytes_at(address, array.nbytes).copy_to_host(array.reshape(-1).view(np.uint8))

    def synchronize(self) -> None:
        """Wait until everything that was queued is done."""
        cuda.synchronize()


def _bytes_at(address: int, nbytes: int) -> Any:
    interface = {"shape": (nbytes,), "typestr": "|u1", "data": (address, False), "version": 3}
    return cuda.from_cuda_array_interface(interface, sync=False)

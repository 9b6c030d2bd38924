"""A GPU with memory, for tensors: addresses are those of NumPy arrays, and kernels run in the simulator."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from simulator import launch

from convcore.engine.cuda import memory, probe
from convcore.engine.cuda.array import DeviceArray
from convcore.ops.core import transfer
from kernels.cuda import jit


class _Block:
    def __init__(self, driver: "SimulatedDriver", nbytes: int):
        self.memory = np.full(nbytes + 256, 0xFF, np.uint8)  # NaN, read as floats
        self.address = self.memory.ctypes.data + -self.memory.ctypes.data % 256
        self.driver, self.nbytes = driver, nbytes
        driver.free -= nbytes

    def __del__(self) -> None:
        self.driver.free += self.nbytes


class SimulatedDriver:
    """What `kernels.cuda.driver.Driver` is for a GPU; with so many bytes of memory, and of a generation."""

    dlpack_device = (1, 0)  # DLPack's word for the memory of a CPU, which this is

    def __init__(self, total: int, generation: tuple[int, int]):
        self.free = self.total = total
        self.generation = generation

    def name(self) -> str:
        return "simulated"

    def count(self) -> int:
        return 1

    def capability(self) -> tuple[int, int]:
        return self.generation

    def memory(self) -> tuple[int, int]:
        return self.free, self.total

    def allocate(self, nbytes: int) -> _Block:
        if nbytes > self.free:
            raise MemoryError
        return _Block(self, nbytes)

    def settle(self) -> None:
        pass

    def upload(self, array: np.ndarray, address: int) -> None:
        _at(address, array.nbytes)[...] = array.reshape(-1).view(np.uint8)

    def download(self, address: int, array: np.ndarray) -> None:
        array.reshape(-1).view(np.uint8)[...] = _at(address, array.nbytes)

    def synchronize(self) -> None:
        pass


class _Address:
    def __init__(self, address: int, nbytes: int):
        self.__array_interface__ = {"version": 3, "shape": (nbytes,), "typestr": "|u1", "data": (address, False)}


def _at(address: int, nbytes: int) -> np.ndarray:
    return np.asarray(_Address(address, nbytes))


Run = Callable[[Any, tuple[int, ...], list[Any]], None]


def simulate(kernel: Any, grid: tuple[int, ...], args: list[Any]) -> None:
    """Run a kernel in the simulator."""
    launch(kernel, grid, args, order=1)


@contextmanager
def device(run: Run = simulate, total: int = 2**30, generation: tuple[int, int] = (9, 0)) -> Iterator[SimulatedDriver]:
    """A GPU for tensors, with `total` bytes, of a generation; `run` gets what is launched, with NumPy arrays."""

    def launched(kernel: Any, grid: tuple[int, ...], args: list[Any]) -> None:
        run(kernel, grid, [arg.numbers if isinstance(arg, DeviceArray) else arg for arg in args])

    driver = SimulatedDriver(total, generation)
    with (
        mock.patch.object(probe, "_answer", (driver, "")),
        mock.patch.object(memory, "_pool", None),
        mock.patch.object(jit.Kernel, "launch", launched),
    ):
        transfer.start()
        yield driver

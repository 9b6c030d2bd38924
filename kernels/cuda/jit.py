"""The only module that imports numba.cuda, and the only one that calls its compiler.

`@kernel` marks an entry point and states what it may use: threads of a block, registers of a thread, bytes of shared
memory. `@device` marks a function that kernels call. Nothing is compiled at import.

The types of a kernel's parameters are annotations, by the names below. A launch converts every argument to the type of
the parameter, so the variant that runs is the one that was compiled and checked ahead, never a second one for int64.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numba import cuda as numba_cuda
from numba import types
from numba.cuda import extending
from numba.cuda.cudadrv.driver import driver as numba_driver
from numba.cuda.cudadrv.runtime import runtime as numba_runtime

__all__ = [
    "Count", "Floats", "Halves", "Integers", "Kernel", "Labels", "Number", "Offset", "Word", "cuda", "device",
    "driver_version", "f32", "i32", "intrinsic", "kernel", "kernel_named", "kernels", "runtime_version", "types", "u16",
    "u32", "u64",
]  # fmt: skip

# A function without its first parameter, the typing context, that emits LLVM IR.
intrinsic: Any = extending.intrinsic

cuda: Any = numba_cuda  # its functions exist in kernels only, where type checkers do not see them

# Conversions. Numba widens u32 + u32 to 64 bits; a conversion around a whole expression takes it back to 32, at no
# cost, for sums and products. It must be put around each operand of a division and of a comparison.
u16: Any = types.uint16
u32: Any = types.uint32
i32: Any = types.int32
f32: Any = types.float32
u64: Any = types.uint64

Floats: TypeAlias = Any  # float32, flat
Halves: TypeAlias = Any  # uint16, flat: the bits of float16 or bfloat16
Integers: TypeAlias = Any  # int32, flat
Labels: TypeAlias = Any  # int64, flat
Count: TypeAlias = Any  # uint32: sizes and indices; an array has fewer than 2^32 elements
Offset: TypeAlias = Any  # int32: what may be negative
Number: TypeAlias = Any  # float32
Word: TypeAlias = Any  # uint64

_TYPES: dict[str, Any] = {
    "Floats": types.Array(types.float32, 1, "C"),
    "Halves": types.Array(types.uint16, 1, "C"),
    "Integers": types.Array(types.int32, 1, "C"),
    "Labels": types.Array(types.int64, 1, "C"),
    "Count": types.uint32,
    "Offset": types.int32,
    "Number": types.float32,
    "Word": types.uint64,
}
_SCALARS: dict[str, Callable[[Any], Any]] = {
    "Count": np.uint32,
    "Offset": np.int32,
    "Number": np.float32,
    "Word": np.uint64,
}

kernels: "list[Kernel]" = []

# Generations of GPUs, as (major, minor), that a kernel is for: from the first on, and before the second.
ALL_GENERATIONS = (0, 0), (1000, 0)


class Kernel:
    """An entry point on the GPU.

    Attributes:
        body: the Python function.
        threads: of a block; a multiple of 32.
        registers, shared: the most registers of a thread and bytes of shared memory of a block that it may take.
        generations: those of GPUs that it is for: from the first on, and before the second.
        parameters: the names of its parameters' types.
    """

    def __init__(
        self, body: Callable[..., None], threads: int, registers: int, shared: int, generations: Any = ALL_GENERATIONS
    ):
        self.body = body
        self.__name__ = body.__name__
        self.__doc__ = body.__doc__
        self.__module__ = body.__module__
        self.threads = threads
        self.registers = registers
        self.shared = shared
        self.generations = generations
        self.parameters = [str(p.annotation) for p in inspect.signature(body).parameters.values()]
        self.signature = types.void(*[_TYPES[name] for name in self.parameters])
        self.dispatcher: Any = cuda.jit(body, launch_bounds=threads)
        kernels.append(self)

    def __call__(self, blocks: int | Sequence[int], *args: Any) -> None:
        """Start it on a grid of blocks: one to three numbers. Empty grids, of empty arrays, start nothing."""
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.__name__}: takes {len(self.parameters)} arguments, got {len(args)}")
        grid = (blocks,) if isinstance(blocks, int) else tuple(blocks)
        if all(grid):
            self.launch(grid, [_SCALARS.get(p, _same)(a) for p, a in zip(self.parameters, args, strict=True)])

    def launch(self, grid: tuple[int, ...], args: list[Any]) -> None:
        """Run the compiled kernel, which the first call compiles, on the current device."""
        self.dispatcher[grid, self.threads](*args)

    def serves(self, capability: tuple[int, int]) -> bool:
        """Whether it is for GPUs of this generation."""
        first, end = self.generations
        return first <= capability < end

    def __repr__(self) -> str:
        return f"<kernel {self.__module__}.{self.__name__}>"


def _same(value: Any) -> Any:
    return value


def kernel(threads: int, registers: int, shared: int = 0) -> Callable[[Callable[..., None]], Kernel]:
    """Mark a function as a kernel's entry point, with its budget; see `Kernel`."""
    return lambda body: Kernel(body, threads, registers, shared)


def kernel_named(
    name: str, threads: int, registers: int, shared: int = 0, generations: Any = ALL_GENERATIONS
) -> Callable[[Callable[..., None]], Kernel]:
    """`kernel` for a body that is defined inside a function and made anew, from other functions, at each call of it."""

    def mark(body: Callable[..., None]) -> Kernel:
        body.__name__ = body.__qualname__ = name
        return Kernel(body, threads, registers, shared, generations)

    return mark


def driver_version() -> tuple[int, int]:
    """Of CUDA, as the driver speaks it."""
    major, minor = numba_driver.get_version()
    return int(major), int(minor)


def runtime_version() -> tuple[int, int]:
    """Of CUDA, as Numba compiles for it."""
    major, minor = numba_runtime.get_version()
    return int(major), int(minor)


def device(function: Callable[..., Any]) -> Any:
    """Mark a function that kernels call: compiled into each of them."""
    return cuda.jit(function, device=True)

"""A GPU in Python: runs the bodies of the kernels in `kernels/cuda`, and notices what a GPU would not say.

Every thread of a block is a greenlet that runs until its next barrier, so a launch is repeatable, and the order of the
threads is a choice. What a kernel does wrong is an error, whatever the order:

- an index outside of an array, also a negative one, or a vector that is not aligned;
- a race: a place that one thread writes and another reads or writes without a barrier between, or from another block;
- shared memory that is read before it is written (it holds NaN, for kernels that compute with it by vectors);
- a barrier that not all threads of the block reach, or at which they stand in different lines;
- an instruction of a warp that not all of its threads reach together;
- more threads, or more shared memory, than the kernel's budget says.

Kernels are rebuilt from their bytecode with other globals: `cuda` is this simulator, conversions to 32 bits are those
of Python's integers, device functions are rebuilt in turn, and instructions have the twins below.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import CellType, FunctionType, SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import tensor_core
from greenlet import greenlet

from kernels.cuda import jit
from kernels.cuda.micro import half as numbers16
from kernels.cuda.micro import mma, vectors

FORWARD, REVERSE = 1, -1


class SimulationError(Exception):
    """What a kernel did wrong."""


class _Now:
    """The thread that runs, and when it runs: `key` is different for every thread between any two barriers.

    A key is epoch * 2048 + number of the thread (from 1). Epochs count all barriers and blocks of a launch.
    READ_BY_MANY stands for a thread where several have read.
    """

    def __init__(self) -> None:
        self.block: Any = None
        self.index = 0
        self.key = 0
        self.epoch_start = 0
        self.block_start = 0


READ_BY_MANY = 2047
WARP = 32
_now = _Now()


class _Block:
    """What the threads of a block share."""

    def __init__(self, number: tuple[int, int, int], kernel: Any):
        self.number = number
        self.kernel = kernel
        self.shared: dict[Any, Memory] = {}


class Memory:
    """A flat array that knows who wrote and who read each place, and since which barrier."""

    def __init__(self, array: np.ndarray, name: str, written: bool):
        self.array = array
        self.name = name
        self.size = array.size
        self.written = written  # whether it has values from the beginning
        self.values = list(array) if array.dtype.kind == "f" else array.tolist()
        self.writers = [0] * self.size
        self.readers = [0] * self.size
        self.changed = False

    def _fail(self, i: Any, fault: str) -> None:
        raise SimulationError(f"{self.name}[{i}]: {fault}, {_place()}")

    def __getitem__(self, i: int) -> Any:
        if not 0 <= i < self.size:
            self._fail(i, f"outside of {self.size} elements")
        writer, key = self.writers[i], _now.key
        if writer:
            if writer != key and (writer > _now.epoch_start or writer < _now.block_start):
                self._fail(i, "race, read without a barrier after a write")
        elif not self.written:
            self._fail(i, "read before it is written")
        reader = self.readers[i]
        self.readers[i] = key if reader < _now.epoch_start or reader == key else _now.epoch_start + READ_BY_MANY
        return self.values[i]

    def __setitem__(self, i: int, value: Any) -> None:
        if not 0 <= i < self.size:
            self._fail(i, f"outside of {self.size} elements")
        for other, fault in ((self.writers[i], "written twice"), (self.readers[i], "written after a read")):
            if other and other != _now.key and (other > _now.epoch_start or other < _now.block_start):
                self._fail(i, f"race, {fault} without a barrier")
        self.writers[i] = _now.key
        self.values[i] = self.array.dtype.type(value) if self.array.dtype.kind == "f" else value
        self.changed = True


def _place() -> str:
    return f"thread {_now.index} of block {_now.block.number} of {_now.block.kernel.__name__}"


class _Shared:
    @staticmethod
    def array(shape: int, dtype: Any, alignment: int = 0) -> Memory:
        frame = sys._getframe(1)
        key, block = (frame.f_code, frame.f_lasti), _now.block
        if key not in block.shared:
            memory = Memory(np.full(shape, *_POISON[dtype]), "shared memory", written=False)
            block.shared[key] = memory
            used = sum(m.array.nbytes for m in block.shared.values())
            if used > block.kernel.shared:
                raise SimulationError(f"{used} bytes of shared memory, budget {block.kernel.shared}, {_place()}")
        return block.shared[key]


class _Local:
    @staticmethod
    def array(shape: int, dtype: Any) -> list:
        return [_POISON[dtype][0]] * shape


class _FakeCuda:
    """What kernels find under the name `cuda`."""

    shared = _Shared
    local = _Local

    def __init__(self) -> None:
        self.threadIdx = SimpleNamespace(x=0)
        self.blockIdx = SimpleNamespace(x=0, y=0, z=0)

    @staticmethod
    def syncthreads() -> None:
        _pause(sys._getframe(1).f_lineno)


def _pause(why: Any) -> Any:
    """Let others run; what comes back is what `_run_warp` gives."""
    parent = greenlet.getcurrent().parent
    assert parent is not None
    return parent.switch(why)


class _Meeting(NamedTuple):
    """Where a thread waits for its warp: in which line, for which instruction, and what it brings."""

    line: int
    instruction: str
    brings: tuple


def _mma(kind: str) -> Callable[..., tuple]:
    return lambda *registers: _pause(_Meeting(sys._getframe(1).f_lineno, kind, registers))


def _u32(value: Any) -> int:
    return int(value) & 0xFFFFFFFF


def _i32(value: Any) -> int:
    return (int(value) + 2**31 & 0xFFFFFFFF) - 2**31


def _u16(value: Any) -> int:
    return int(value) & 0xFFFF


def _u64(value: Any) -> int:
    return int(value) & 0xFFFFFFFFFFFFFFFF


def _check_aligned(array: Memory, at: int, count: int) -> None:
    if at % count:
        what = "four floats" if array.array.itemsize == 4 else f"{count} numbers of 16 bits"
        raise SimulationError(f"{array.name}[{at}] is not aligned to {what}, {_place()}")


def _load4(array: Memory, at: int) -> tuple:
    _check_aligned(array, at, 4)
    return array[at], array[at + 1], array[at + 2], array[at + 3]


def _store4(array: Memory, at: int, *values: Any) -> None:
    _check_aligned(array, at, 4)
    for i, value in enumerate(values):
        array[at + i] = value


def _load2(array: Memory, at: int) -> int:
    _check_aligned(array, at, 2)
    return array[at] | array[at + 1] << 16


def _load8(array: Memory, at: int) -> tuple:
    _check_aligned(array, at, 8)
    return tuple([array[i] | array[i + 1] << 16 for i in range(at, at + 8, 2)])


def _store8(array: Memory, at: int, *words: int) -> None:
    _check_aligned(array, at, 8)
    for i, word in enumerate(words):
        array[at + 2 * i], array[at + 2 * i + 1] = word & 0xFFFF, word >> 16


def _float_bits(value: Any) -> int:
    return int(np.float32(value).view(np.uint32))


def _float_from_bits(bits: int) -> np.float32:
    return np.uint32(bits).view(np.float32)


def _round_float16(value: Any) -> int:
    return int(np.float32(value).astype(np.float16).view(np.uint16))


def _value_float16(bits: int) -> np.float32:
    return np.uint16(bits & 0xFFFF).view(np.float16).astype(np.float32)


# What new memory holds, by the twin of its type, and its NumPy type.
_POISON: dict[Any, tuple[Any, Any]] = {
    np.float32: (np.float32(np.nan), np.float32), _i32: (2**31 - 1, np.int32), _u32: (2**32 - 1, np.uint32),
    _u16: (0x7FFF, np.uint16),
}  # fmt: skip
_fake = _FakeCuda()
_TWINS: list[tuple[Any, Any]] = [
    (jit.cuda, _fake), (jit.u16, _u16), (jit.u32, _u32), (jit.i32, _i32), (jit.u64, _u64), (jit.f32, np.float32),
    (vectors.load2, _load2), (vectors.load4, _load4), (vectors.store4, _store4), (vectors.load8, _load8),
    (vectors.store8, _store8), (mma.mma_float16, _mma("float16")), (mma.mma_bfloat16, _mma("bfloat16")),
    (numbers16.float_bits, _float_bits), (numbers16.float_from_bits, _float_from_bits),
    (numbers16.round_float16, _round_float16), (numbers16.value_float16, _value_float16),
]  # fmt: skip
_rebuilt: dict[Any, FunctionType] = {}


def _in_python(value: Any) -> Any:
    """What stands in the place of a global or a constant of a kernel."""
    for original, twin in _TWINS:
        if value is original:
            return twin
    function = getattr(value, "py_func", None)
    return value if function is None else rebuild(function)


def rebuild(function: Any) -> FunctionType:
    """A kernel's body, or a device function, that runs here."""
    if function not in _rebuilt:
        names = {
            name: function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__
        }
        scope = {"__builtins__": __builtins__, **{name: _in_python(value) for name, value in names.items()}}
        cells = tuple(CellType(_in_python(cell.cell_contents)) for cell in function.__closure__ or ())
        _rebuilt[function] = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)
    return _rebuilt[function]


def launch(kernel: Any, grid: tuple[int, ...], args: list[Any], order: int) -> None:
    """Run a kernel block after block, its threads in an order."""
    if kernel.threads > 1024:
        raise SimulationError(f"{kernel.__name__}: {kernel.threads} threads, a block has at most 1024")
    memories: dict[int, Memory] = {}
    names = kernel.body.__code__.co_varnames
    values = [
        memories.setdefault(id(arg), Memory(arg, name, written=True)) if isinstance(arg, np.ndarray)
        else arg if isinstance(arg, np.floating) else int(arg)
        for name, arg in zip(names, args, strict=False)
    ]  # fmt: skip
    body = rebuild(kernel.body)
    x, y, z = (*grid, 1, 1)[:3]
    _now.epoch_start = 0
    with np.errstate(all="ignore"):
        for number in np.ndindex(z, y, x):
            _run_block(_Block((number[2], number[1], number[0]), kernel), body, values, order)
        for memory in memories.values():
            if memory.changed:
                memory.array[...] = memory.values


def _run_block(block: _Block, body: Callable[..., None], values: list[Any], order: int) -> None:
    _now.block = block
    _now.epoch_start += 2048
    _now.block_start = _now.epoch_start
    _fake.blockIdx.x, _fake.blockIdx.y, _fake.blockIdx.z = block.number
    threads = [(index, greenlet(body)) for index in range(block.kernel.threads)][::order]
    for _, thread in threads:
        thread.gr_context = copy_context()  # it has NumPy's settings, which a greenlet does not inherit
    warps = [threads[start : start + WARP] for start in range(0, len(threads), WARP)]
    arguments = values
    while True:
        lines = set().union(*[_run_warp(warp, arguments) for warp in warps])
        if len(lines) > 1:
            stand = sorted("the end" if line is None else f"line {line}" for line in lines)
            raise SimulationError(f"divergent barrier in {block.kernel.__name__}: threads stand at {', '.join(stand)}")
        if lines == {None}:
            return
        arguments = []
        _now.epoch_start += 2048


def _run_warp(warp: list[tuple[int, greenlet]], arguments: list[Any]) -> set[int | None]:
    """Run the threads of a warp up to their next barrier: the lines where they stand, None at the end."""
    given = {index: arguments for index, _ in warp}
    while True:
        stops = {}
        for index, thread in warp:
            _now.index = _fake.threadIdx.x = index
            _now.key = _now.epoch_start + index + 1
            stop = thread.switch(*given[index])
            stops[index] = None if thread.dead else stop
        meetings = [stop for stop in stops.values() if isinstance(stop, _Meeting)]
        if not meetings:
            return set(stops.values())
        if len({meeting[:2] for meeting in meetings}) > 1 or len(meetings) < WARP:
            raise SimulationError(f"divergent instruction of a warp, {_place()}")
        lanes = sorted(stops)
        results = tensor_core.mma(meetings[0].instruction, [stops[lane].brings for lane in lanes])
        given = {lane: [result] for lane, result in zip(lanes, results, strict=True)}


@contextmanager
def simulated(order: int = FORWARD) -> Iterator[None]:
    """Kernels that are called inside run here, on NumPy arrays."""
    with mock.patch.object(jit.Kernel, "launch", lambda kernel, grid, args: launch(kernel, grid, args, order)):
        yield


def empty(size: int) -> np.ndarray:
    """Memory that nobody wrote to: NaN, so that what is read of it shows."""
    return np.full(size, np.nan, np.float32)

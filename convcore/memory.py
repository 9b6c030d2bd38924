"""Memory for results: a pool of blocks that are used again and again.

A large array fresh from the system costs a page fault for every 4 KiB that is written, more than many kernels take
to compute it. So the pool keeps the blocks of arrays that nobody holds any more and hands them out again. An array from
the pool is an ordinary ndarray; when it and all views of it are gone, its block returns by itself: it waits in a queue,
and the next call sorts it in. What puts it there is C code, for Ctrl-C would be lost in Python code that runs when an
object ends.
"""

import bisect
import contextlib
import math
import operator
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: a cache line, and an AVX-512 register
SMALLEST_POOLED = 16 * 1024  # bytes: below this NumPy's own small-block cache is faster
MAX_IDLE = 2 * 1024**3  # bytes of blocks kept for later; what comes back beyond that goes to the system


class _Block(np.ndarray):
    """The memory of one block of the pool. A class of its own, so that NumPy does not look through a lease to it."""

    arena: "weakref.ref[Arena] | None" = None  # whose it is, if not the pool's


# There is no lock: an interrupt could leave it locked. Each step is a single call of C code; counts that two threads
# changed at once are put right by `_count`.
_idle: dict[int, list[_Block]] = {}  # blocks by size
_NO_BLOCKS: list[_Block] = []
_idle_bytes = 0
_used_bytes = 0
_peak_bytes = 0


class _WayBack(weakref.ref):
    """A reference to a lease, whose end of life puts it into `_returned`."""

    block: _Block | None = None  # none as long as it is not lent
    size = 0
    __eq__, __hash__ = object.__eq__, object.__hash__


_lent: set[_WayBack] = set()
_returned: deque[_WayBack] = deque()  # blocks that nobody holds any more, and that no call has seen yet


class _Lease(np.ndarray):
    """The base of an array from the pool, which lies within it: its end of life returns the block."""

    lent = 0  # bytes of the block; NumPy may make other arrays of this class, and they return nothing


def is_lease(array: object) -> bool:
    """Whether an array stands for a whole block of the pool: what lies behind it is the pool's business."""
    return isinstance(array, _Lease) and array.lent > 0


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
    arena, shown = _lenders.get(threading.get_ident(), _NO_LENDER) if _lenders else _NO_LENDER
    if nbytes < SMALLEST_POOLED:
        array = np.empty(shape, dtype)
        return array if arena is None else shown(array, True)
    size = _size_class(nbytes)
    _sort_in()
    try:
        block = (_idle if arena is None else arena.idle).get(size, _NO_BLOCKS).pop()
    except IndexError:
        block = None
    if block is not None and arena is None:
        _idle_bytes -= size
    _used_bytes += size
    if _used_bytes > _peak_bytes:
        _peak_bytes = _used_bytes
    if block is None:
        block = np.ndarray.__new__(_Block, (size + ALIGNMENT,), np.uint8)
        block = block[-block.ctypes.data % ALIGNMENT :][:size]
        if arena is not None:
            arena.add(block)
    lease = np.ndarray.__new__(_Lease, (nbytes,), np.uint8, block)
    lease.lent = size
    way_back = _WayBack(lease, _returned.append)
    way_back.block, way_back.size = block, size
    _lent.add(way_back)
    array = np.ndarray(shape, dtype, lease)
    return array if arena is None else shown(array, False)


def empty_channels_last(shape: Sequence[int], dtype) -> np.ndarray:
    """An uninitialised array of logical shape (N, C, ...) that lies in memory as (N, ..., C)."""
    n, c, *sizes = shape
    block = empty((n, *sizes, c), dtype)
    return block.transpose(0, block.ndim - 1, *range(1, block.ndim - 1))


def _sort_in() -> None:
    """Make the blocks that came back idle. One whose way an interrupt stops is no longer anybody's, and ends."""
    global _idle_bytes, _used_bytes
    while _returned:
        try:
            way_back = _returned.popleft()
        except IndexError:  # another thread was first
            return
        _lent.discard(way_back)
        block, size = way_back.block, way_back.size
        if block is None:
            continue
        _used_bytes -= size
        if block.arena is not None:
            arena = block.arena()
            if arena is not None:
                arena.idle.setdefault(size, []).append(block)
        elif _idle_bytes + size <= MAX_IDLE:
            _idle_bytes += size
            _idle.setdefault(size, []).append(block)


def _count() -> None:
    """Sort in what came back, and count anew: where an interrupt stopped a call the counts may be wrong."""
    global _idle_bytes, _used_bytes
    _sort_in()
    for way_back in list(_lent):
        if way_back() is None:
            _lent.discard(way_back)
    _idle_bytes = sum([size * len(blocks) for size, blocks in _idle.items()])
    _used_bytes = sum([way_back.size for way_back in list(_lent)])


def owner(array: Any) -> Any:
    """The last object behind an array: the one that owns its memory, the same for all of its views."""
    while True:
        base = getattr(array, "base", None)
        if base is None:
            return array
        array = base


def span(array: np.ndarray) -> tuple[int, int]:
    """The first address of an array's elements, and the first one behind them."""
    start = stop = array.__array_interface__["data"][0]
    if array.size:
        for size, stride in zip(array.shape, array.strides, strict=True):
            reach = (size - 1) * stride
            start, stop = (start + reach, stop) if stride < 0 else (start, stop + reach)
        stop += array.itemsize
    return start, stop


def laid_out_like(array: np.ndarray) -> np.ndarray:
    """Memory for as many numbers, in the same places relative to each other; the base is all of it."""
    start, stop = span(array)
    block = np.zeros(stop - start, np.uint8)
    offset = array.__array_interface__["data"][0] - start
    return np.ndarray(array.shape, array.dtype, block, offset, array.strides)


class Arena:
    """Blocks that are not the pool's: one thread's arrays come from them for a while, and return to them.

    Who keeps the arena finds there later what was computed, at the places where it was.
    """

    def __init__(self) -> None:
        self.idle: dict[int, list[_Block]] = {}  # by size
        self._blocks: list[tuple[int, int, _Block]] = []  # address, number in the order of their making, block

    def add(self, block: _Block) -> None:
        """Make a new block the arena's."""
        block.arena = weakref.ref(self)
        bisect.insort(self._blocks, (block.ctypes.data, len(self._blocks), block), key=operator.itemgetter(0))

    @property
    def nbytes(self) -> int:
        """The size of all blocks."""
        return sum(block.nbytes for _, _, block in self._blocks)

    @contextlib.contextmanager
    def lends(self, shown: Callable[[np.ndarray, bool], np.ndarray]) -> Iterator[None]:
        """Have this thread's arrays come from here.

        Args:
            shown: gets each new array, and whether it is too small for a block; gives the array to use in its place.
        """
        thread = threading.get_ident()
        _lenders[thread] = self, shown
        try:
            yield
        finally:
            del _lenders[thread]

    def _found(self, array: np.ndarray) -> tuple[int, int, _Block] | None:
        address = array.__array_interface__["data"][0]
        place = bisect.bisect_right(self._blocks, address, key=operator.itemgetter(0)) - 1
        if place < 0:
            return None
        start, number, block = self._blocks[place]
        return (address - start, number, block) if address - start < block.nbytes else None

    def place(self, array: np.ndarray) -> tuple[int, int] | None:
        """The number of an array's block and how many bytes into it the array begins; None if it lies elsewhere."""
        found = self._found(array)
        return None if found is None else (found[1], found[0])

    def unleased(self, array: np.ndarray) -> np.ndarray:
        """An array of the arena as one that does not keep its block from being used for others; others as they are."""
        found = self._found(array)
        if found is None:
            return array
        offset, _, block = found
        return np.ndarray(array.shape, array.dtype, block, offset, array.strides)


@contextlib.contextmanager
def from_the_pool() -> Iterator[None]:
    """Have this thread's arrays come from the pool for a while, although an arena lends to it."""
    thread = threading.get_ident()
    lender = _lenders.pop(thread)
    try:
        yield
    finally:
        _lenders[thread] = lender


_NO_LENDER: tuple[Any, Any] = None, None
_lenders: dict[int, tuple[Arena, Any]] = {}  # by the thread that they lend to: an arena, and what its arrays become


def clear() -> None:
    """Return every idle block to the system."""
    global _idle_bytes
    _count()
    _idle.clear()
    _idle_bytes = 0


def stats() -> dict[str, int]:
    """Bytes in use, their peak since the start (or `reset_peak`), and bytes kept idle.

    Neither small arrays nor what compiled models keep is counted.
    """
    _count()
    return {"used": _used_bytes, "peak": _peak_bytes, "idle": _idle_bytes}


def reset_peak() -> None:
    """Start measuring the peak anew from what is in use now."""
    global _peak_bytes
    _count()
    _peak_bytes = _used_bytes

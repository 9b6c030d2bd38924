"""Memory for results: a pool of reusable blocks.

A large array fresh from the operating system costs a page fault for every 4 KiB written, which takes longer than many
kernels. So the pool keeps the blocks of arrays that are no longer referenced, and reuses them. An array from the pool
is an ordinary ndarray. When it and all views of it are gone, C code appends its block to a queue, and the next
call moves the block to the idle ones. Python code must not do that: Ctrl-C is lost in Python code that runs while an
object is destroyed.
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
MAX_IDLE = 2 * 1024**3  # bytes of idle blocks; blocks returned beyond that are freed


class _Block(np.ndarray):
    """The memory of one block. A separate class, so that NumPy does not collapse the base of a view past its lease."""

    arena: "weakref.ref[Arena] | None" = None  # the owner; None for the pool


# There is no lock, because an interrupt could leave it locked. Each step is a single call of C code; `_count` corrects
# counts that two threads changed at once.
_idle: dict[int, list[_Block]] = {}  # blocks by size
_NO_BLOCKS: list[_Block] = []
_idle_bytes = 0
_used_bytes = 0
_peak_bytes = 0


class _LeaseRef(weakref.ref):
    """A weak reference to a lease; its callback appends it to `_returned` when the lease dies."""

    block: _Block | None = None  # None until the block is lent
    size = 0
    __eq__, __hash__ = object.__eq__, object.__hash__


_lent: set[_LeaseRef] = set()
_returned: deque[_LeaseRef] = deque()  # unreferenced blocks that are not idle yet


class _Lease(np.ndarray):
    """The base of an array from the pool: when the lease dies, its block is returned."""

    lent = 0  # bytes of the block; 0 for other arrays of this class that NumPy may create, which hold no block


def is_lease(array: object) -> bool:
    """Whether an array is the lease of a block; its base is internal to the pool."""
    return isinstance(array, _Lease) and array.lent > 0


def _size_class(nbytes: int) -> int:
    """Round up to one of four sizes per power of two, so that at most a fifth of a block is unused."""
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
    _reclaim()
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
    lease_ref = _LeaseRef(lease, _returned.append)
    lease_ref.block, lease_ref.size = block, size
    _lent.add(lease_ref)
    array = np.ndarray(shape, dtype, lease)
    return array if arena is None else shown(array, False)


def empty_channels_last(shape: Sequence[int], dtype) -> np.ndarray:
    """An uninitialised array of logical shape (N, C, ...), channels-last in memory: (N, ..., C)."""
    n, c, *sizes = shape
    block = empty((n, *sizes, c), dtype)
    return block.transpose(0, block.ndim - 1, *range(1, block.ndim - 1))


def _reclaim() -> None:
    """Move returned blocks to the idle ones. An interrupt in between frees the block."""
    global _idle_bytes, _used_bytes
    while _returned:
        try:
            lease_ref = _returned.popleft()
        except IndexError:  # another thread took it
            return
        _lent.discard(lease_ref)
        block, size = lease_ref.block, lease_ref.size
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
    """Move returned blocks to the idle ones, and recount: an interrupted call may have left wrong counts."""
    global _idle_bytes, _used_bytes
    _reclaim()
    for lease_ref in list(_lent):
        if lease_ref() is None:
            _lent.discard(lease_ref)
    _idle_bytes = sum([size * len(blocks) for size, blocks in _idle.items()])
    _used_bytes = sum([lease_ref.size for lease_ref in list(_lent)])


def owner(array: Any) -> Any:
    """The last base of an array: the object that owns the memory, the same for all views of it."""
    while True:
        base = getattr(array, "base", None)
        if base is None:
            return array
        array = base


def span(array: np.ndarray) -> tuple[int, int]:
    """The first address of an array's elements, and the first address after them."""
    start = stop = array.__array_interface__["data"][0]
    if array.size:
        for size, stride in zip(array.shape, array.strides, strict=True):
            reach = (size - 1) * stride
            start, stop = (start + reach, stop) if stride < 0 else (start, stop + reach)
        stop += array.itemsize
    return start, stop


def laid_out_like(array: np.ndarray) -> np.ndarray:
    """A zeroed array of the same shape, dtype and strides, in memory of its own; the base covers all of it."""
    start, stop = span(array)
    block = np.zeros(stop - start, np.uint8)
    offset = array.__array_interface__["data"][0] - start
    return np.ndarray(array.shape, array.dtype, block, offset, array.strides)


class Arena:
    """Blocks outside the pool, which serve the arrays of one thread for a while, and return to the arena.

    The blocks live as long as the arena, so that results stay at fixed addresses.
    """

    def __init__(self) -> None:
        self.idle: dict[int, list[_Block]] = {}  # by size
        self._blocks: list[tuple[int, int, _Block]] = []  # address, number in the order of creation, block

    def add(self, block: _Block) -> None:
        """Add a new block to the arena."""
        block.arena = weakref.ref(self)
        bisect.insort(self._blocks, (block.ctypes.data, len(self._blocks), block), key=operator.itemgetter(0))

    @property
    def nbytes(self) -> int:
        """The total size of all blocks."""
        return sum(block.nbytes for _, _, block in self._blocks)

    @contextlib.contextmanager
    def lends(self, shown: Callable[[np.ndarray, bool], np.ndarray]) -> Iterator[None]:
        """Allocate the arrays of this thread from the arena.

        Args:
            shown: called with each new array and whether it is too small for a block; returns the array to use instead.
        """
        thread = threading.get_ident()
        _lenders[thread] = self, shown
        try:
            yield
        finally:
            del _lenders[thread]

    def _found(self, array: np.ndarray) -> tuple[int, int, _Block] | None:
        address = array.__array_interface__["data"][0]
        position = bisect.bisect_right(self._blocks, address, key=operator.itemgetter(0)) - 1
        if position < 0:
            return None
        start, number, block = self._blocks[position]
        return (address - start, number, block) if address - start < block.nbytes else None

    def place(self, array: np.ndarray) -> tuple[int, int] | None:
        """The number of an array's block, and the array's offset in it in bytes; None for arrays outside the arena."""
        found = self._found(array)
        return None if found is None else (found[1], found[0])

    def unleased(self, array: np.ndarray) -> np.ndarray:
        """A view of an arena array without its lease: the block may be reused. Other arrays are returned unchanged."""
        found = self._found(array)
        if found is None:
            return array
        offset, _, block = found
        return np.ndarray(array.shape, array.dtype, block, offset, array.strides)


@contextlib.contextmanager
def from_the_pool() -> Iterator[None]:
    """Allocate the arrays of this thread from the pool again, inside `Arena.lends`."""
    thread = threading.get_ident()
    lender = _lenders.pop(thread)
    try:
        yield
    finally:
        _lenders[thread] = lender


_NO_LENDER: tuple[Any, Any] = None, None
_lenders: dict[int, tuple[Arena, Any]] = {}  # by thread: the arena, and the function `shown` of `Arena.lends`


def clear() -> None:
    """Free all idle blocks."""
    global _idle_bytes
    _count()
    _idle.clear()
    _idle_bytes = 0


def stats() -> dict[str, int]:
    """Bytes in use, the peak since the start (or `reset_peak`), and bytes of idle blocks.

    Small arrays and the memory of compiled models are not counted.
    """
    _count()
    return {"used": _used_bytes, "peak": _peak_bytes, "idle": _idle_bytes}


def reset_peak() -> None:
    """Restart the measurement of the peak, from the bytes in use now."""
    global _peak_bytes
    _count()
    _peak_bytes = _used_bytes

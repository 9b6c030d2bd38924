"""Derived arrays: what an operation computes from a tensor's numbers again and again, kept until the numbers change.

A convolution packs its filters into panels before it multiplies. The filters change once per training step, and not at
all in inference; so the panels are kept with the tensor's memory (`convcore.autograd.deferred.Memory`). That they are
never stale rests on the same rules as deferred tensors: every change through tensors counts (`Memory.changes`), and of
memory that NumPy code may write to ("exposed") nothing is kept.

What is kept is bounded: beyond `LIMIT` bytes the arrays that were used longest ago go first. They go with their tensor,
too, and `clear` drops them all.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd.deferred import Memory
from convcore.recording import current as current_recording
from convcore.traced import original

if TYPE_CHECKING:
    from convcore.tensor import Tensor

LIMIT = 1024**3  # bytes
OVERHEAD = 1024  # bytes that an entry counts besides its arrays, so that their number is bounded, too

# An RLock: Python's garbage collector can run anywhere, also while the lock is held, and then an entry may end.
_lock = threading.RLock()
_recent: OrderedDict[int, tuple[Any, int]] = OrderedDict()  # reference and bytes by id, first what was used long ago
_bytes = 0


def _after_fork_in_child() -> None:
    """Another thread of the parent may have held the lock; it does not exist in the child to release it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _Entry:
    """A result, what it was computed from, and where it is kept."""

    __slots__ = ("__weakref__", "array", "changes", "memory", "nbytes", "place", "result")

    def __init__(self, memory: Memory, place: Hashable, array: np.ndarray, changes: int, result: Any):
        self.memory = weakref.ref(memory)
        self.place = place
        self.array = array  # as long as it lives no other array has its id, or its place in memory
        self.changes = changes
        self.result = result
        self.nbytes = OVERHEAD + sum(part.nbytes for part in (result if isinstance(result, tuple) else (result,)))

    def __del__(self) -> None:
        _forget(id(self))


def derived(tensor: Tensor, key: Hashable, build: Callable[[], Any]) -> Any:
    """`build()`, an array or a tuple of arrays computed from `tensor`, or what it gave since the last change.

    Args:
        tensor: the only thing that the result depends on, apart from `key`.
        key: tells this result from others of the same tensor: its purpose and everything else that it depends on.
        build: computes it. Nobody may write to the result.
    """
    recording = current_recording()
    if recording is not None:
        if recording.is_of_inputs(tensor.array):
            return build()
        with recording.paused():  # what is kept is not computed again
            return derived(tensor, key, build)
    memory = tensor.version.watched()
    if memory.exposures:
        return build()
    array, changes = original(tensor.array), memory.changes
    place = (_place(array), key)
    entry = memory.derived.get(place)
    if entry is not None and entry.changes == changes:
        with _lock:
            if id(entry) in _recent:
                _recent.move_to_end(id(entry))
        return entry.result
    result = build()
    if memory.changes == changes and not memory.exposures:
        _keep(_Entry(memory, place, array, changes, result))
    return result


def _place(array: np.ndarray) -> Hashable:
    """What tells an array from others of the same memory: of a view, which is new at every call, what it shows."""
    if array.base is None or not isinstance(array, np.ndarray):  # on a GPU there are few views
        return id(array)
    shown = array.__array_interface__
    return shown["data"][0], shown["shape"], array.strides, shown["typestr"]


def derived_from_all(tensors: Sequence[Tensor | None], key: Hashable, build: Callable[[], Any]) -> Any:
    """`derived` for a result that depends on several tensors, of which None are left out; kept with the first."""
    first, recording = None, current_recording()
    for tensor in tensors:
        if tensor is None:
            continue
        if recording is not None and recording.is_of_inputs(tensor.array):
            return build()
        if first is None:
            first = tensor
            continue
        memory = tensor.version.watched()
        if memory.exposures:
            return build()
        # The key holds the Memory itself: as long as it lives no other one can be taken for it.
        key = key, memory, memory.changes, _place(original(tensor.array))
    return build() if first is None else derived(first, key, build)


def _keep(entry: _Entry) -> None:
    global _bytes
    memory = entry.memory()
    if memory is None or entry.nbytes > LIMIT:
        return
    with _lock:
        for other in list(memory.derived.values()):
            if other.changes != memory.changes:  # nobody will ask for it again
                _drop(id(other))
        memory.derived[entry.place] = entry
        _recent[id(entry)] = weakref.ref(entry), entry.nbytes
        _bytes += entry.nbytes
        while _bytes > LIMIT:
            _drop(next(iter(_recent)))


def _drop(identity: int) -> None:
    """Take an entry from its tensor, which ends it."""
    entry = _recent[identity][0]()
    _forget(identity)
    memory = None if entry is None else entry.memory()
    if entry is not None and memory is not None and memory.derived.get(entry.place) is entry:
        del memory.derived[entry.place]


def _forget(identity: int) -> None:
    global _bytes
    with _lock:
        _bytes -= _recent.pop(identity, (None, 0))[1]


def clear() -> None:
    """Drop everything that is kept."""
    with _lock:
        while _recent:
            _drop(next(iter(_recent)))


def stats() -> dict[str, int]:
    """How many results are kept, and how many bytes they count."""
    with _lock:
        return {"entries": len(_recent), "bytes": _bytes}

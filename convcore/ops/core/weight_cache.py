"""The weight cache: arrays computed from a tensor's values, cached until the values change.

A convolution packs its filters into panels before it multiplies. The filters change once per training step, and not at
all in inference; so the panels are cached with the tensor's memory (`convcore.engine.memory_watch`). Two rules, shared
with lazy tensors, keep them from going stale: every change through tensors counts (`Memory.changes`), and nothing is
cached for memory that NumPy code may write to ("exposed").

The cache is bounded: beyond `LIMIT` bytes the least recently used arrays are dropped first. An entry ends with its
tensor, and `clear` drops all entries.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.engine.capture import current as current_recording
from convcore.engine.memory_watch import Memory
from convcore.engine.traced import original

if TYPE_CHECKING:
    from convcore.tensor import Tensor

LIMIT = 1024**3  # bytes
OVERHEAD = 1024  # bytes that an entry counts besides its arrays, so that the number of entries is bounded, too

# The bytes of each living entry, least recently used first. Only the callback of its weak reference removes an entry
# from here, when it dies. All changes are single calls of C code, so Ctrl-C can interrupt anywhere and these still
# hold: every entry found with a memory is listed here, and every entry listed here is alive.
_recent: OrderedDict[weakref.ref[_Entry], int] = OrderedDict()


class _Entry:
    """A cached result, the array that it was computed from, and its key in that array's memory."""

    __slots__ = ("__weakref__", "array", "changes", "memory", "nbytes", "place", "result")

    def __init__(self, memory: Memory, place: Hashable, array: np.ndarray, changes: int, result: Any):
        self.memory = weakref.ref(memory)
        self.place = place
        self.array = array  # kept alive, so that no other array gets the same id or address
        self.changes = changes
        self.result = result
        self.nbytes = OVERHEAD + sum(part.nbytes for part in (result if isinstance(result, tuple) else (result,)))

    def drop(self) -> None:
        """Remove the entry from its tensor; it dies unless a caller is using it right now."""
        memory = self.memory()
        if memory is not None and memory.derived.get(self.place) is self:
            memory.derived.pop(self.place, None)


def derived(tensor: Tensor, key: Hashable, build: Callable[[], Any]) -> Any:
    """`build()`, an array or a tuple of arrays computed from `tensor`; cached until the tensor changes.

    Args:
        tensor: the only thing that the result depends on, apart from `key`.
        key: identifies the result among others of this tensor: its purpose and everything else that it depends on.
        build: computes the result, which is read-only for all callers.
    """
    recording = current_recording()
    if recording is not None:
        if recording.is_of_inputs(tensor.array):
            return build()
        with recording.paused():  # a replay uses the cached result and does not compute it again
            return derived(tensor, key, build)
    memory = tensor.version.watched()
    if memory.exposures:
        return build()
    array, changes = original(tensor.array), memory.changes
    place = (_place(array), key)
    entry = memory.derived.get(place)
    if entry is not None and entry.changes == changes:
        _recent.move_to_end(weakref.ref(entry))
        return entry.result
    result = build()
    if memory.changes == changes and not memory.exposures:
        _keep(_Entry(memory, place, array, changes, result))
    return result


def _place(array: np.ndarray) -> Hashable:
    """Identifies an array within its memory: by id, or by address and layout for a view, which is new at every call."""
    if array.base is None or not isinstance(array, np.ndarray):  # GPU arrays are rarely views
        return id(array)
    shown = array.__array_interface__
    return shown["data"][0], shown["shape"], array.strides, shown["typestr"]


def derived_from_all(tensors: Sequence[Tensor | None], key: Hashable, build: Callable[[], Any]) -> Any:
    """`derived` for a result that depends on several tensors; None is skipped. Cached with the first tensor."""
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
        # The key holds the Memory object itself: while the entry lives, no other Memory can have the same identity.
        key = key, memory, memory.changes, _place(original(tensor.array))
    return build() if first is None else derived(first, key, build)


def _keep(entry: _Entry) -> None:
    memory = entry.memory()
    if memory is None or entry.nbytes > LIMIT:
        return
    for other in list(memory.derived.values()):
        if other.changes != memory.changes:  # stale
            other.drop()
    _recent[weakref.ref(entry, _recent.pop)] = entry.nbytes  # before anybody can find it
    memory.derived[entry.place] = entry
    listed = _listed()
    excess = sum(nbytes for _, nbytes in listed) - LIMIT
    for reference, nbytes in listed:
        if excess <= 0:
            break
        _drop(reference)
        excess -= nbytes


def _listed() -> list[tuple[weakref.ref[_Entry], int]]:
    """All entries, least recently used first."""
    while True:
        try:
            return list(_recent.items())
        except RuntimeError:  # one died meanwhile: the list's own tuples may set off the garbage collector
            continue


def _drop(reference: weakref.ref[_Entry]) -> None:
    entry = reference()
    if entry is not None:
        entry.drop()


def clear() -> None:
    """Drop all entries."""
    for reference, _ in _listed():
        _drop(reference)


def stats() -> dict[str, int]:
    """The number of cached results, and their bytes."""
    sizes = [nbytes for _, nbytes in _listed()]
    return {"entries": len(sizes), "bytes": sum(sizes)}

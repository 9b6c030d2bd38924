"""Derived arrays: what an operation computes from a tensor's numbers again and again, kept until the numbers change.

A convolution packs its filters into panels before it multiplies. The filters change once per training step, and not at
all in inference; so the panels are kept with the tensor's memory (`convcore.autograd.lazy.Memory`). That they are
never stale rests on the same rules as deferred tensors: every change through tensors counts (`Memory.changes`), and of
memory that NumPy code may write to ("exposed") nothing is kept.

What is kept is bounded: beyond `LIMIT` bytes the arrays that were used longest ago go first. They go with their tensor,
too, and `clear` drops them all.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd.lazy import Memory
from convcore.engine.capture import current as current_recording
from convcore.engine.traced import original

if TYPE_CHECKING:
    from convcore.tensor import Tensor

LIMIT = 1024**3  # bytes
OVERHEAD = 1024  # bytes that an entry counts besides its arrays, so that their number is bounded, too

# The bytes of the entries alive, first of what was used long ago. An entry leaves it by the callback of its reference,
# when it ends, and in no other way. All steps are single calls of C code: wherever Ctrl-C comes, what is found with a
# memory is known here, and what is known here is alive.
_recent: OrderedDict[weakref.ref[_Entry], int] = OrderedDict()


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

    def drop(self) -> None:
        """Take it from its tensor, which ends it unless somebody is using it right now."""
        memory = self.memory()
        if memory is not None and memory.derived.get(self.place) is self:
            memory.derived.pop(self.place, None)


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
        _recent.move_to_end(weakref.ref(entry))
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
    memory = entry.memory()
    if memory is None or entry.nbytes > LIMIT:
        return
    for other in list(memory.derived.values()):
        if other.changes != memory.changes:  # nobody will ask for it again
            other.drop()
    _recent[weakref.ref(entry, _recent.pop)] = entry.nbytes  # before anybody can find it
    memory.derived[entry.place] = entry
    excess = sum(_recent.values()) - LIMIT
    for reference, nbytes in list(_recent.items()):
        if excess <= 0:
            break
        _drop(reference)
        excess -= nbytes


def _drop(reference: weakref.ref[_Entry]) -> None:
    entry = reference()
    if entry is not None:
        entry.drop()


def clear() -> None:
    """Drop everything that is kept."""
    for reference in list(_recent):
        _drop(reference)


def stats() -> dict[str, int]:
    """How many results are kept, and how many bytes they count."""
    return {"entries": len(_recent), "bytes": sum(_recent.values())}

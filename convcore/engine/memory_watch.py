"""Who must hear of changes of memory: lazy tensors that are to be computed from it, and results kept until it changes.

Memory that NumPy code may write to is *exposed*. While it is, nothing may wait to be computed from it, and nothing that
was computed from it is kept; what waits when it becomes exposed is computed at once. It is exposed as long as an array
from `numpy()` lives, and until the end of the program after `from_numpy`. The array of a tensor belongs to the engine
and exposes nothing: code that writes to it calls `Variable.before_write` first and `mark_changed` afterwards.
"""

from __future__ import annotations

import weakref
from typing import Any, Protocol

import numpy as np


class Dependants(Protocol):
    """What is to be computed from memory, as the memory knows it."""

    def settle_dependants(self) -> None:
        """Compute it now, from the present numbers."""


_FOR_EVER = object()


class Memory:
    """Who must hear of changes of one piece of memory. It exists only where somebody must.

    Attributes:
        changes: how often it was changed, or may have been, since this object exists.
        dependants: references to the inputs of deferred tensors, if it is one of them.
        exposures: references to what lets NumPy code write to it, or `_FOR_EVER`; empty if nothing does.
        derived: results computed from it and kept until it changes (`convcore.ops.core.weight_cache`).
    """

    __slots__ = ("__weakref__", "changes", "dependants", "derived", "exposures")

    def __init__(self) -> None:
        self.changes = 0
        self.dependants: set[weakref.ref[Dependants]] = set()
        self.exposures: set[Any] = set()
        self.derived: dict[Any, Any] = {}

    def settle_dependants(self) -> None:
        """Compute everything that waits to be computed from this memory."""
        for reference in list(self.dependants):
            inputs = reference()
            if inputs is not None:
                inputs.settle_dependants()

    def expose(self, array: np.ndarray) -> np.ndarray:
        """The same memory as an array for NumPy code; until it and all views of it are gone, the memory is exposed."""
        if _FOR_EVER in self.exposures:
            return array
        result = np.asarray(Exposure(self, array))
        self._begin_exposure()
        return result

    def expose_for_ever(self) -> None:
        """From now on anybody may write to the memory at any time."""
        self.exposures.add(_FOR_EVER)
        self._begin_exposure()

    def _begin_exposure(self) -> None:
        self.settle_dependants()
        self.changes += 1
        self.derived.clear()


class Exposure:
    """The base object of an array that was handed out: NumPy keeps it alive as long as any view of the array."""

    __slots__ = ("__array_interface__", "__weakref__", "array")

    def __init__(self, memory: Memory, array: np.ndarray):
        self.array = array
        self.__array_interface__ = array.__array_interface__
        # A callback of C code: Python code could be stopped by Ctrl-C, which would be lost there.
        memory.exposures.add(weakref.ref(self, memory.exposures.discard))

"""Hooks in tables, and the handles that take them away again."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

_ids = itertools.count()


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away, as does leaving a `with` block."""

    def __init__(self, hooks: HookTable):
        self.id = next(_ids)
        self._hooks = weakref.ref(hooks)

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class HookTable(dict):
    """Hooks of one kind, by the ids of their handles, in the order of their calls."""

    def add(self, registered: Any, prepend: bool = False) -> RemovableHandle:
        """Put a hook behind the others, or before them."""
        handle = RemovableHandle(self)
        others = dict(self) if prepend else {}
        if prepend:
            self.clear()
        self[handle.id] = registered
        self.update(others)
        return handle

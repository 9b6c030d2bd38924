"""Recordings: a computation as the list of the calls it made, which can be made again without Python in between.

What a network computes on one small image takes less time than to find out what to compute: to look up geometries,
algorithms, packed filters and memory. All of that is the same at each call. So the calls of kernels are noted once,
with the very arrays that they got, and are then made again in their order. NumPy code that computes on tensors' numbers
goes through `call` or `made`, to be noted too.

The arrays come from an arena of their own (`convcore.memory.Arena`), for later calls must find them as they were.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from convcore import memory
from kernels import jit


class Recording:
    """Calls in their order, and the memory that they work on.

    Attributes:
        steps: functions and what each is called with.
        looks: what, while this was recorded, looked at numbers; the steps may depend on these, so they do not tell all.
    """

    def __init__(self) -> None:
        self.arena = memory.Arena()
        self.steps: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self.looks: list[str] = []

    def note(self, function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]) -> None:
        """Add a call."""
        given = tuple([self._own(a) for a in args])
        self.steps.append((function, given, {name: self._own(value) for name, value in settings.items()}))

    def _own(self, value: Any) -> Any:
        """An argument in whose place the recording can keep it: an array of the arena without its lease."""
        if isinstance(value, np.ndarray):
            return self.arena.unleased(value)
        return [self._own(item) for item in value] if isinstance(value, list) else value

    def replay(self) -> None:
        """Make all calls again."""
        with np.errstate(all="ignore"):
            for function, args, settings in self.steps:
                function(*args, **settings)


_recordings: dict[int, Recording] = {}  # by the thread that makes them


@contextlib.contextmanager
def recorded(recording: Recording) -> Iterator[None]:
    """Have what this thread computes noted."""
    thread = threading.get_ident()
    _recordings[thread] = recording
    try:
        with recording.arena.lends(), jit.watched(lambda kernel, args: recording.note(kernel, args, {})):
            yield
    finally:
        del _recordings[thread]


def call(function: Callable[..., Any], *args: Any, **settings: Any) -> None:
    """Call NumPy code that writes into one of its arguments, and note it where a recording is made."""
    function(*args, **settings)
    note_call(function, *args, **settings)


def note_call(function: Callable[..., Any], *args: Any, **settings: Any) -> None:
    """Note where a recording is made that this was called, and wrote into one of its arguments."""
    if _recordings:
        recording = _recordings.get(threading.get_ident())
        if recording is not None:
            recording.note(function, args, settings)


def made(function: Callable[..., Any], *args: Any, **settings: Any) -> np.ndarray:
    """`np.asarray(function(*args, **settings))`, which is no view of them, noted where a recording is made."""
    result = np.asarray(function(*args, **settings))
    note_made(result, function, *args, **settings)
    return result


def note_made(result: np.ndarray, function: Callable[..., Any], *args: Any, **settings: Any) -> None:
    """Note where a recording is made that `result` is what `function(*args, **settings)` gave."""
    if _recordings:
        note_call(_make_again, result, function, list(args), settings)


def _make_again(result: np.ndarray, function: Callable[..., Any], args: list[Any], settings: dict[str, Any]) -> None:
    np.copyto(result, function(*args, **settings))


def is_made() -> bool:
    """Whether this thread's computations are being recorded."""
    return threading.get_ident() in _recordings


def looked_at(what: str) -> None:
    """Note that numbers became known to Python code, which may decide by them."""
    if _recordings:
        recording = _recordings.get(threading.get_ident())
        if recording is not None:
            recording.looks.append(what)

"""Algorithms are visible: which ones an operation has, which one is chosen, and why the others are not.

For each pass (forward, gradient of the input, gradient of the weight) an operation has an ordered tuple of records. A
record accepts a geometry or refuses it with a reason. "auto" takes the first that accepts; the plain reference comes
last and accepts everything. An algorithm asked for by name must accept, or UnsupportedError says why it does not.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convcore.errors import UnsupportedError


def accepts_everything(geometry: Any, dtype: np.dtype) -> str | None:
    """No reason to refuse."""
    return None


@dataclass(frozen=True)
class Algorithm:
    """One way to compute one pass.

    Attributes:
        name: what users write in `algorithm=`.
        summary: half a line on how it works.
        run: computes the pass; its arguments depend on the pass.
        refuses: (geometry, dtype) -> None, or the reason why this algorithm cannot take it.
        fuses: whether `run` takes `relu`, to rectify what it stores, and `kept`, to keep rearranged weights.
    """

    name: str
    summary: str
    run: Callable[..., Any]
    refuses: Callable[[Any, np.dtype], str | None] = accepts_everything
    fuses: bool = False


class _Default(threading.local):
    name = "auto"


_default = _Default()


@contextlib.contextmanager
def use_algorithm(name: str) -> Iterator[None]:
    """Let every convolution in the block use algorithm `name`, whole models included.

    An `algorithm=` other than "auto" in a call goes first. Backward passes use what their forward was given.
    """
    previous, _default.name = _default.name, name
    try:
        yield
    finally:
        _default.name = previous


def requested(name: str) -> str:
    """What a call that was given `name` asks for, the surrounding `use_algorithm` considered."""
    return _default.name if name == "auto" else name


def select(op: str, records: Sequence[Algorithm], name: str, geometry: Any, dtype: np.dtype) -> Algorithm:
    """The record called `name`, or for "auto" the first that accepts."""
    for record in records:
        if name in ("auto", record.name):
            reason = record.refuses(geometry, dtype)
            if reason is None:
                return record
            if name != "auto":
                raise UnsupportedError(f"{op}: algorithm {name!r} cannot compute this: {reason}")
    known = ", ".join(repr(record.name) for record in records)
    raise UnsupportedError(f"{op}: there is no algorithm {name!r}; it must be 'auto' or one of {known}")


def explain(records: Sequence[Algorithm], name: str, geometry: Any, dtype: np.dtype) -> list[tuple[str, str]]:
    """(name, verdict) of every record: "chosen", its reason for refusing, or why it was not reached."""
    chosen = None
    lines = []
    for record in records:
        reason = record.refuses(geometry, dtype)
        if reason is not None:
            verdict = f"refused: {reason}"
        elif chosen is None and name in ("auto", record.name):
            chosen = record.name
            verdict = "chosen"
        elif name != "auto" and record.name != name:
            verdict = f"not asked for: algorithm={name!r}"
        else:
            verdict = f"accepts, but {chosen!r} comes first"
        lines.append((record.name, f"{verdict} ({record.summary})"))
    return lines

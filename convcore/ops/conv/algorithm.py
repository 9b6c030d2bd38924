"""Algorithms are visible: which ones an operation has, which one is chosen, and why the others are not.

For each pass (forward, gradient of the input, gradient of the weight) an operation has an ordered tuple of records. A
record has two kinds of objection to a geometry, each with its reason:

    refuses           it cannot compute this: asking for it by name raises UnsupportedError
    advises against   it can, but something else was measured to be faster here, or is more accurate

"auto" takes the first record without any objection; an algorithm asked for by name must only be able to compute. The
plain reference comes last and has no objections.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convcore.errors import UnsupportedError


def no_objection(geometry: Any, dtype: np.dtype) -> str | None:
    """No reason against any geometry."""
    return None


@dataclass(frozen=True)
class Algorithm:
    """One way to compute one pass.

    Attributes:
        name: what users write in `algorithm=`.
        summary: half a line on how it works.
        run: computes the pass; its arguments depend on the pass.
        refuses: (geometry, dtype) -> None, or the reason why this algorithm cannot compute it.
        advises_against: (geometry, dtype) -> None, or what is lost and why: "slower: ..", "less accurate: ..". Asked
            only where the algorithm does not refuse.
        checked: what "auto" runs in the place of `run`, if anything: it computes by another algorithm where numbers are
            too large for this one.
        fuses: whether `run` takes an `Epilogue`, which the kernel applies as it stores.
    """

    name: str
    summary: str
    run: Callable[..., Any]
    refuses: Callable[[Any, np.dtype], str | None] = no_objection
    advises_against: Callable[[Any, np.dtype], str | None] = no_objection
    fuses: bool = False
    checked: Callable[..., Any] | None = None


Request = str | tuple[str, ...]
"""The name of an algorithm or "auto", or several of them: then the first that can compute is meant."""


class _Default(threading.local):
    request: Request = "auto"


_default = _Default()


@contextlib.contextmanager
def use_algorithm(name: str, *otherwise: str) -> Iterator[None]:
    """Let every convolution in the block use algorithm `name`, whole models included.

    Where it cannot compute a pass, the first of `otherwise` that can does: `use_algorithm("winograd2x2", "direct")`.
    An `algorithm=` other than "auto" in a call goes first. Backward passes use what their forward was given.
    """
    previous, _default.request = _default.request, (name, *otherwise) if otherwise else name
    try:
        yield
    finally:
        _default.request = previous


def requested(name: str) -> Request:
    """What a call that was given `name` asks for, the surrounding `use_algorithm` considered."""
    return _default.request if name == "auto" else name


def select(op: str, records: Sequence[Algorithm], request: Request, geometry: Any, dtype: np.dtype) -> Algorithm:
    """The record asked for, or for "auto" the first without an objection.

    Raises:
        UnsupportedError: there is no such algorithm, or it refuses; of several the last one.
    """
    *first, name = (request,) if isinstance(request, str) else request
    for other in first:
        with contextlib.suppress(UnsupportedError):
            return select(op, records, other, geometry, dtype)
    for record in records:
        if name == record.name:
            reason = record.refuses(geometry, dtype)
            if reason is not None:
                raise UnsupportedError(f"{op}: algorithm {name!r} cannot compute this: {reason}")
            return record
        if name == "auto" and (record.refuses(geometry, dtype) or record.advises_against(geometry, dtype)) is None:
            return record if record.checked is None else replace(record, run=record.checked)
    known = ", ".join(repr(record.name) for record in records)
    raise UnsupportedError(f"{op}: there is no algorithm {name!r}; it must be 'auto' or one of {known}")


def explain(records: Sequence[Algorithm], request: Request, geometry: Any, dtype: np.dtype) -> list[tuple[str, str]]:
    """(name, verdict) of every record: "chosen", its objection, or why it was not reached."""
    name = request if isinstance(request, str) else select("explain", records, request, geometry, dtype).name
    chosen = None
    lines = []
    for record in records:
        refusal = record.refuses(geometry, dtype)
        advice = None if refusal else record.advises_against(geometry, dtype)
        if refusal is not None:
            verdict = f"refused: {refusal}"
        elif name == record.name or (name == "auto" and chosen is None and advice is None):
            chosen = record.name
            verdict = "chosen"
        elif advice is not None:
            verdict = advice
        elif name != "auto":
            verdict = f"not asked for: algorithm={name!r}"
        else:
            verdict = f"accepts, but {chosen!r} comes first"
        lines.append((record.name, f"{verdict} ({record.summary})"))
    return lines

"""A smaller program that fails in the same way: lines are left out as long as it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from random_programs.source import Program

PATIENCE = 60.0  # seconds for one program


def shrunk(program: Program, fails: Callable[[Program], bool], patience: float = PATIENCE) -> Program:
    """Leave out runs of lines, long ones first, while `fails` stays true. A line takes its block with it."""
    end = time.monotonic() + patience
    size = max(len(program.lines) // 2, 1)
    while size:
        start, left_out = len(program.lines), False
        while start > 0 and time.monotonic() < end:
            start = max(start - size, 0)
            smaller = replace(program, lines=_without(program.lines, start, start + size))
            if smaller.lines and len(smaller.lines) < len(program.lines) and fails(smaller):
                program, left_out = smaller, True
        size = size if left_out and size == 1 else size // 2
    return program


def _without(lines: tuple[str, ...], start: int, stop: int) -> tuple[str, ...]:
    """The lines without some; one that is left of `with ..:` or `def ..:` without its block goes, too."""
    left = [*lines[:start], *lines[stop:]]
    for place in range(len(left) - 1, -1, -1):
        following = left[place + 1] if place + 1 < len(left) else ""
        if left[place].endswith(":") and _indent(following) <= _indent(left[place]):
            del left[place]
    return tuple(left)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())

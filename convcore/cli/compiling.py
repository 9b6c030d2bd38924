"""What is printed while kernels are compiled, because a silent half minute looks like a hang."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kernels import cache

WIDTH = 24  # of the bar


@contextmanager
def announce_compile() -> Iterator[Callable[[str, int, int], None]]:
    """Print one line if kernels must be compiled in the block, with the time that the block took.

    Yields a function for `warm_up` to report each kernel to: on a terminal, a bar and the kernel's name follow.
    """
    start, announced = time.perf_counter(), []

    def announce(directory: Path | None) -> None:
        announced.append(directory)
        print("compiling kernels, once per machine ... ", end="\n" if sys.stdout.isatty() else "", flush=True)

    previous, cache.on_first_compile = cache.on_first_compile, announce
    try:
        yield _show_bar if sys.stdout.isatty() else _show_nothing
        if announced:
            where = (
                f"kept for later runs in {announced[0]}" if announced[0] else "no folder could be written to keep them"
            )
            print(f"{time.perf_counter() - start:.1f} s ({where})", flush=True)
    except BaseException:
        if announced:
            print(flush=True)
        raise
    finally:
        cache.on_first_compile = previous


def _show_nothing(name: str, ready: int, total: int) -> None:
    """Where the output is a file."""


def _show_bar(name: str, ready: int, total: int) -> None:
    """Write the bar over the one before; behind the last kernel the line is empty again."""
    columns = shutil.get_terminal_size().columns - 1
    full = WIDTH * ready // total
    line = f"[{'#' * full}{'.' * (WIDTH - full)}] {ready}/{total} {name}"[:columns]
    print(f"\r{line:<{columns}}" if ready < total else f"\r{'':<{columns}}\r", end="", flush=True)

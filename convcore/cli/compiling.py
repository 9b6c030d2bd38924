"""A message while kernels are compiled, because a silent half minute looks like a hang."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernels import cache


@contextmanager
def announce_compile() -> Iterator[None]:
    """Print one line if kernels must be compiled in the block, with the time that the block took."""
    start, announced = time.perf_counter(), []

    def announce(directory: Path | None) -> None:
        announced.append(directory)
        print("compiling kernels, once per machine ... ", end="", flush=True)

    previous, cache.on_first_compile = cache.on_first_compile, announce
    try:
        yield
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

"""Kernels compiled ahead of their first launch, by as many processes as there are threads.

    with noted_launches() as wanted:       launches are noted and not made: what they would compute stays as it is
        model(x)
    compile_ahead(wanted)                  those that are not on disk yet are compiled, and kept there

Numba compiles one function at a time in a process. So each process below gets one kernel after the other, writes it to
the cache, and this process loads it from there at its first launch. Such a process runs `serve`: it reads kernels from
its standard input and answers with a line for each.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from numba import types
from numba.core.typing.typeof import Purpose, typeof

from kernels import cache
from kernels.launch import SKIPPED, Kernel, kernels, watched
from kernels.team import MAX_THREADS

MOST_PROCESSES = 8  # each takes some 250 MB of memory

Wanted = dict[tuple[Kernel, tuple[Any, ...]], None]  # kernels and the types of their arguments, in order of first use


@contextlib.contextmanager
def noted_launches() -> Iterator[Wanted]:
    """Note which kernels this thread launches in the block, and with which types, and skip the launches."""
    wanted: Wanted = {}

    def note(kernel: Kernel, args: tuple[Any, ...]) -> object:
        signature = (types.int64, *(typeof(value, Purpose.argument) for value in args))
        wanted[kernel, signature] = None
        return SKIPPED

    with watched(note):
        yield wanted


def compile_ahead(wanted: Iterable[tuple[Kernel, tuple[Any, ...]]], report: Callable[[str, int, int], None]) -> None:
    """Compile the kernels that are neither loaded nor on disk, where a cache can keep them.

    Args:
        wanted: kernels and the types of their arguments.
        report: called with the name of a kernel that is ready, the number of those that are, and of all.
    """
    missing = [item for item in wanted if not item[0].is_compiled(item[1])]
    processes = min(MAX_THREADS, MOST_PROCESSES, len(missing))
    if processes < 2 or cache.cache_directory() is None:
        return
    cache.announce_compile()
    tasks: queue.SimpleQueue[tuple[Kernel, tuple[Any, ...]]] = queue.SimpleQueue()
    for item in missing:
        tasks.put(item)
    ready: list[str] = []
    workers = [_Worker() for _ in range(processes)]

    def work(worker: _Worker) -> None:
        with contextlib.suppress(queue.Empty, OSError):
            while True:
                kernel, signature = tasks.get_nowait()
                worker.compile(kernel, signature)
                ready.append(kernel.__name__)
                report(kernel.__name__, len(ready), len(missing))

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that compiles. One that dies costs time and nothing else: its kernels compile at their launch."""

    def __init__(self) -> None:
        # With this process's own path: `-m` would look for `kernels` in the current folder first.
        code = f"import sys; sys.path[:] = {sys.path!r}; from kernels.ahead import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def compile(self, kernel: Kernel, signature: tuple[Any, ...]) -> None:
        """Have one kernel compiled.

        Raises:
            OSError: the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        task = pickle.dumps((kernel.__module__, kernel.__name__, signature))
        self._process.stdin.write(base64.b64encode(task) + b"\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise OSError("the compiling process has ended")

    def end(self) -> None:
        """End the process, also in the middle of its work."""
        self._process.kill()
        self._process.communicate()


def serve() -> None:
    """Compile what the lines of the standard input say."""
    for line in sys.stdin.buffer:
        module, name, signature = pickle.loads(base64.b64decode(line))
        importlib.import_module(module)
        (kernel,) = (k for k in kernels if (k.__module__, k.__name__) == (module, name))
        kernel.entry.compile(signature)
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()

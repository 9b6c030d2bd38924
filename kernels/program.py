"""Programs: launches in their order, done by one call from Python."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.cache import numba_config
from kernels.launch import Step
from kernels.team import run

# How many chunks, of some 10 us each, are done before Python may look for Ctrl-C.
CHUNKS_PER_CALL = 8192


class Program:
    """Launches that are made again and again, with the same arrays.

    Args:
        steps: the launches, in their order.
    """

    def __init__(self, steps: Sequence[Step]):
        self.steps = tuple(steps)
        # What `convcore_run` reads, one array for each call of it: a word, then thunk, frame and chunks of each step.
        self._tables: list[np.ndarray] = []
        rows, chunks = [], 0
        for number, step in enumerate(steps, 1):
            rows += [step.thunk, step.frame.ctypes.data, step.chunks]
            chunks += step.chunks
            if chunks >= CHUNKS_PER_CALL or number == len(steps):
                self._tables.append(np.array([0, *rows], np.int64))
                rows, chunks = [], 0
        self._calls = [(table.ctypes.data, table.size // 3) for table in self._tables]

    def run(self) -> None:
        """Make all launches.

        Raises:
            MemoryError: there was none for the buffers of a chunk; what the program writes is then undefined.
        """
        if numba_config.BOUNDSCHECK:
            for step in self.steps:
                step.kernel(*step.args)
            return
        for table, call in zip(self._tables, self._calls, strict=True):
            run.call(*call)
            if table[0]:
                table[0] = 0
                raise MemoryError("no memory for the buffers of a chunk")

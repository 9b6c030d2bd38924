"""Programs and launches from several Python threads at once, with forks in between: nothing hangs, no bit differs.

    python tests/kernels/stress.py 1000000        a million programs; the default is 2,000

`NUMBA_NUM_THREADS` above the number of cores makes threads wait for each other in the middle of their work.
"""

from __future__ import annotations

import os
import sys
import threading
import time

import numpy as np

from kernels.cpu.elementwise.arithmetic import CHUNK, add, multiply
from kernels.cpu.reduce import column_sums, sum_chunks
from kernels.program import Program
from kernels.threads import max_num_threads, set_num_threads

PYTHON_THREADS, FORKS = 4, 20
SIZES = 5, CHUNK - 3, 3 * CHUNK + 7


class Work:
    """The arrays of one Python thread, a program on them, and what it gives."""

    def __init__(self, size: int):
        rng = np.random.default_rng(size)
        self.x, self.y = rng.standard_normal((2, size)).astype(np.float32)
        self.rows = rng.standard_normal((40, 9)).astype(np.float32)
        self.a, self.b = np.empty_like(self.x), np.empty_like(self.x)
        self.parts, self.sums = np.empty((1, 8, 9)), np.empty((1, 9))
        self.program = Program([
            add.step(self.x, self.y, self.a), multiply.step(self.a, self.x, self.b), add.step(self.b, self.a, self.b),
            column_sums.step(self.rows, self.parts[0], 5), sum_chunks.step(self.parts, self.sums),
        ])  # fmt: skip
        self.program.run()
        self.expected = self.result()

    def result(self) -> bytes:
        """What the last run has computed."""
        return self.b.tobytes() + self.sums.tobytes()

    def launch(self) -> None:
        """The program's launches, one by one."""
        add(self.x, self.y, self.a)
        multiply(self.a, self.x, self.b)
        add(self.b, self.a, self.b)
        column_sums(self.rows, self.parts[0], 5)
        sum_chunks(self.parts, self.sums)

    def is_right(self, number: int) -> bool:
        """Run the program, or make its launches, and compare; NaN stands where nothing is computed."""
        self.b.fill(np.nan)
        self.sums.fill(np.nan)
        self.launch() if number % 3 == 0 else self.program.run()
        return self.result() == self.expected


def stress(programs: int) -> int:
    """The number of wrong results."""
    wrong: list[int] = []

    def work(seed: int) -> None:
        works = [Work(size) for size in SIZES]
        for number in range(programs // PYTHON_THREADS):
            if not works[number % len(works)].is_right(number + seed):
                wrong.append(number)

    Work(SIZES[0])  # a child forked while another thread imports a module waits for that import for ever
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(PYTHON_THREADS)]
    for thread in threads:
        thread.start()
    forks = 0
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.02)
        set_num_threads(1 + forks % max_num_threads())
        if forks < FORKS:
            wrong += [forks] * _wrong_in_a_child()
        forks += 1
    set_num_threads(max_num_threads())
    return len(wrong)


def _wrong_in_a_child() -> int:
    """The number of wrong results in a forked child, or what ended it."""
    child = os.fork()
    if child == 0:
        works = [Work(size) for size in SIZES]
        os._exit(sum(not one.is_right(number) for number in range(30) for one in works))
    return abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    print(stress(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))

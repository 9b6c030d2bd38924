"""Groups that need new processes: `start`, the time until the first training step; `memory`, the peak in training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.groups import child
from benchmarks.row import row
from benchmarks.timing import Timing, in_turns

LIBRARIES = ("convcore", "torch")
MAX_ROUNDS = 5


@dataclass(frozen=True)
class ChildCase:
    """A model by the name of its class and the shape of its input."""

    name: str
    model: str
    shape: tuple[int, int, int, int]
    cold: bool = False  # start with an empty cache of compiled kernels


START_CASES = (
    ChildCase("cnn-warm", "CNN", (64, 1, 28, 28)),
    ChildCase("cnn-cold", "CNN", (64, 1, 28, 28), cold=True),
)
START_QUICK = ("cnn-warm",)
MEMORY_CASES = (
    ChildCase("cnn-batch64", "CNN", (64, 1, 28, 28)),
    ChildCase("simple_cnn-batch8", "SimpleCNN", (8, 3, 224, 224)),
)
MEMORY_QUICK = ("simple_cnn-batch8",)  # a case takes 20 s


def _measure(case: ChildCase, rounds: int, threads: int, steps: int) -> dict[str, dict[str, list[float]]]:
    """{what was measured: {library: one value per round}}."""
    # The first process compiles what is not compiled yet, and brings the files into the system's cache.
    for library in LIBRARIES:
        child.run(library, case.model, case.shape, threads, 1)
    measured: dict[str, dict[str, list[float]]] = {}
    for round_number in range(min(rounds, MAX_ROUNDS)):
        for library in in_turns(LIBRARIES, round_number):
            result = child.run(library, case.model, case.shape, threads, steps)
            for key, value in result.items():
                measured.setdefault(key, {name: [] for name in LIBRARIES})[library].append(value)
    return measured


def start_rows(cases: Sequence[ChildCase], rounds: int, threads: int) -> Iterator[dict]:
    """Seconds of the import, and of the import and the first training step; from a cold cache once, without rivals."""
    for case in cases:
        if case.cold:
            with tempfile.TemporaryDirectory() as cache:
                result = child.run("convcore", case.model, case.shape, threads, 1, NUMBA_CACHE_DIR=cache)
            yield row(case.name, "import + first step", Timing({"convcore": [result["first_step"]]}), {})
        else:
            measured = _measure(case, rounds, threads, steps=1)
            for key, work in (("import", "import"), ("first_step", "import + first step")):
                yield row(case.name, work, Timing(measured[key]), {"torch": ["torch"]})


def memory_rows(cases: Sequence[ChildCase], rounds: int, threads: int) -> Iterator[dict]:
    """Peak memory of a process that trains, and how much of the peak was added after the import."""
    for case in cases:
        measured = _measure(case, rounds, threads, steps=3)
        peak, before = measured["memory"], measured["memory_after_import"]
        above = {name: [max(a - b, 1) for a, b in zip(peak[name], before[name], strict=True)] for name in LIBRARIES}
        yield row(case.name, "peak", Timing(peak), {"torch": ["torch"]}, unit="byte")
        yield row(case.name, "peak above import", Timing(above), {"torch": ["torch"]}, unit="byte")

"""Timing two sides fairly: in one process, in turns, in several rounds; the result is a ratio with its spread.

A machine's speed drifts, so a time alone says little, while two times taken within a few milliseconds of each other
compare well. Each round runs every contestant, for long enough to be measured; the ratio is taken inside the round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# The OpenMP threads of a library spin for a while after their work: let them fall asleep before the next one runs.
PAUSE = 0.003


@dataclass(frozen=True)
class Timing:
    """Seconds per call of each contestant, one value per round."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def fastest(self, *names: str) -> str:
        """The contestant with the smallest median."""
        return min(names, key=self.median)

    def ratio(self, slow: str, fast: str) -> tuple[float, float, float]:
        """Median, lower and upper quartile over the rounds of seconds[slow] / seconds[fast]."""
        ratios = sorted(a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True))
        quarter = len(ratios) // 4
        return statistics.median(ratios), ratios[quarter], ratios[-1 - quarter]


def _time(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def compare(contestants: Mapping[str, Callable[[], object]], rounds: int = 7, seconds: float = 0.03) -> Timing:
    """Time every contestant in each of `rounds` rounds, each for about `seconds`.

    The first calls, in which kernels compile and memory is found, are not counted.
    """
    calls = {}
    for name, function in contestants.items():
        function()
        once = min(_time(function, 1) for _ in range(2))
        calls[name] = max(1, min(1000, int(seconds / max(once, 1e-7))))
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for round_number in range(rounds):
        names = list(contestants)
        # Another one begins each round, so that none always follows the same neighbour.
        first = round_number % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(PAUSE)
            contestants[name]()
            results[name].append(_time(contestants[name], calls[name]))
    return Timing(results)

"""Fair times of several contestants: in one process, in turns, in several rounds. The result is a ratio and its spread.

A machine's speed drifts, so a time alone says little, while two times taken within a few milliseconds of each other
compare well. Each round runs every contestant, for long enough to be measured; the ratio is taken inside the round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

# After their work the threads of a library spin for a while, those of GNU OpenMP for about 3 ms. They must be asleep
# before the next contestant runs. Those of ONNX Runtime spin for some 30 ms: convcore took 12 ms for a batch of 64
# digits 5 ms after ONNX Runtime had run, and 4.7 ms when it began 50 ms after.
PAUSE, LONG_PAUSE = 0.005, 0.06


@dataclass(frozen=True)
class Spread:
    """Median, lower and upper quartile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The quartiles interpolate between the sorted values, as `numpy.percentile` does."""
        data = list(values)
        if len(data) == 1:
            return cls(data[0], data[0], data[0])
        low, median, high = statistics.quantiles(data, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Timing:
    """What every contestant needed, one value per round: seconds per call, or bytes."""

    values: dict[str, list[float]]

    def spread(self, name: str) -> Spread:
        return Spread.of(self.values[name])

    def fastest(self, names: Sequence[str]) -> str:
        """The contestant with the smallest median."""
        return min(names, key=lambda name: self.spread(name).median)

    def ratio(self, slow: str, fast: str) -> Spread:
        """The ratio slow / fast inside each round."""
        return Spread.of(a / b for a, b in zip(self.values[slow], self.values[fast], strict=True))

    @staticmethod
    def total(timings: Sequence[Timing]) -> Timing:
        """One piece of work after the other: the sum of each contestant's values, round by round."""
        names = timings[0].values
        return Timing({name: [sum(r) for r in zip(*(t.values[name] for t in timings), strict=True)] for name in names})


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean of ratios: the mean of 2 (twice as fast) and 1/2 (half as fast) is 1."""
    return statistics.geometric_mean(ratios)


def _time(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def in_turns(names: Sequence[str], round_number: int) -> list[str]:
    """The names in the order of a round: each round begins with the next one, so that none is always first."""
    first = round_number % len(names)
    return [*names[first:], *names[:first]]


def compare(
    contestants: Mapping[str, Callable[[], object]], rounds: int, seconds: float = 0.03, pause: float = PAUSE
) -> Timing:
    """Time every contestant in each of `rounds` rounds, each for about `seconds`, after a pause.

    The first calls, in which kernels compile and memory is allocated, are not counted.
    """
    calls = {}
    for name, function in contestants.items():
        function()
        once = min(_time(function, 1) for _ in range(2))
        calls[name] = max(1, min(1000, int(seconds / max(once, 1e-7))))
    values: dict[str, list[float]] = {name: [] for name in contestants}
    for round_number in range(rounds):
        for name in in_turns(list(contestants), round_number):
            time.sleep(pause)
            contestants[name]()
            values[name].append(_time(contestants[name], calls[name]))
    return Timing(values)

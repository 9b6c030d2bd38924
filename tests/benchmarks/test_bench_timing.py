"""The statistics on made-up numbers; how long anything takes is not tested."""

import pytest

from benchmarks.row import check_same, row
from benchmarks.timing import Spread, Timing, compare, geometric_mean, in_turns


def test_quartiles():
    assert Spread.of([4.0, 1.0, 3.0, 2.0, 5.0]) == Spread(median=3.0, low=2.0, high=4.0)
    assert Spread.of([1.0, 2.0]) == Spread(median=1.5, low=1.25, high=1.75)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)


def test_ratios_are_taken_inside_each_round():
    """A machine that is ten times slower in one round changes no ratio."""
    timing = Timing({"a": [2.0, 20.0, 3.0], "b": [1.0, 10.0, 1.0]})
    assert timing.ratio("a", "b") == Spread(median=2.0, low=2.0, high=2.5)


def test_the_fastest_has_the_smallest_median_not_the_smallest_value():
    timing = Timing({"lucky once": [0.1, 5.0, 5.0], "steady": [2.0, 2.0, 2.0], "own": [1.0, 1.0, 1.0]})
    assert timing.fastest(["lucky once", "steady"]) == "steady"


def test_total_adds_round_by_round():
    total = Timing.total([Timing({"a": [1.0, 2.0], "b": [3.0, 4.0]}), Timing({"a": [10.0, 20.0], "b": [0.5, 0.5]})])
    assert total.values == {"a": [11.0, 22.0], "b": [3.5, 4.5]}


def test_geometric_mean():
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_each_name_has_its_turn_to_begin():
    assert [in_turns("abc", i) for i in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_compare_excludes_first_calls_and_alternates(monkeypatch):
    from benchmarks import timing

    clock, calls = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: calls.append("pause"))

    def contestant(name, seconds, first=0.0):
        def function():
            clock[0] += seconds if name in calls else seconds + first
            calls.append(name)

        return function

    result = compare({"slow": contestant("slow", 0.25, first=100.0), "fast": contestant("fast", 0.125)}, 3, seconds=0.5)
    assert result.values == {"slow": [0.25] * 3, "fast": [0.125] * 3}
    rounds = calls[calls.index("pause") :]
    turns = [name for i, name in enumerate(rounds) if rounds[i - 1] == "pause"]
    assert turns == ["slow", "fast", "fast", "slow", "slow", "fast"]
    # A call to get warm and then as many as fill half a second.
    assert rounds[:4] == ["pause", "slow", "slow", "slow"]
    assert rounds[4:10] == ["pause", *["fast"] * 5]


def test_row_takes_the_best_variant():
    timing = Timing({"convcore": [1.0, 1.0], "torch NCHW": [3.0, 3.0], "torch channels_last": [2.0, 2.0]})
    stored = row("case", "forward", timing, {"torch": ["torch NCHW", "torch channels_last"]}, flops=5.0)
    assert stored["convcore"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    (rival,) = stored["rivals"]
    assert (rival["name"], rival["variant"]) == ("torch", "channels_last")
    assert rival["ratio"] == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_unequal_results_are_refused():
    import numpy as np

    from benchmarks import BenchmarkError

    right = np.array([1.0, -100.0])
    check_same("case", right + 0.05, right)
    for wrong in (right + 0.2, right[:1], right * np.nan):
        with pytest.raises(BenchmarkError, match="case: convcore and torch differ by"):
            check_same("case", wrong, right)

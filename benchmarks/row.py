"""One row of a result: what was measured, the values of convcore and its rivals, and their ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from benchmarks import BenchmarkError
from benchmarks.timing import Timing

OWN = "convcore"


def row(
    case: str,
    work: str,
    timing: Timing,
    rivals: Mapping[str, Sequence[str]],
    *,
    flops: float | None = None,
    traffic: float | None = None,
    unit: str = "s",
    own: str = OWN,
) -> dict:
    """A row as it is stored.

    Args:
        case: the name of what is measured.
        work: which part of it: a pass, a training step, ..
        timing: with convcore's contestant and those of the rivals.
        rivals: for each rival its contestants, such as torch in both memory formats; the best of them counts.
        flops: floating-point operations of one call (a multiply-add is two).
        traffic: bytes that one call must at least read and write if nothing stays in a cache.
        unit: the unit of the values, "s" or "byte".
        own: the contestant that is convcore in this row.
    """
    compared = []
    for name, variants in rivals.items():
        best = timing.fastest(variants)
        variant = best.removeprefix(name).strip()
        spread, ratio = asdict(timing.spread(best)), asdict(timing.ratio(best, own))
        compared.append({"name": name, "variant": variant, "value": spread, "ratio": ratio})
    return {
        "case": case,
        "work": work,
        "unit": unit,
        "convcore": asdict(timing.spread(own)),
        "rivals": compared,
        "flops": flops,
        "traffic": traffic,
    }


def check_same(what: str, own: np.ndarray, other: np.ndarray) -> None:
    """Raise BenchmarkError where two results differ by more than the rounding errors of Winograd's algorithm."""
    scale = max(float(np.abs(other).max(initial=0.0)), 1e-30)
    error = float(np.abs(own - other).max(initial=0.0)) / scale if own.shape == other.shape else float("inf")
    if not error <= 1e-3:
        raise BenchmarkError(f"{what}: convcore and torch differ by {error:.2g} of the largest value")

"""When two runs of a program differ.

What is compared with torch may be rounded otherwise, so a first bound is wide enough for the length of the sums in
these small programs: TOLERANCE of the largest number of a tensor. In float32 the reference is torch's run in float64,
and torch's own float32 run shows how far the program spreads rounding. Where a number still differs, torch runs the
program again with noise in all its numbers, of the size of some roundings: if this moves the result as far, then the
result is not a matter of the library (the gradient of a bias before a batch norm is zero but for rounding, and Adam
divides it by its own size).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from random_programs.source import Outcome, Program, run

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
NOISE = {"float64": 1e-14, "float32": 3e-6}
LEAST = 1e-3  # what is smaller counts as this large: numbers are of the order of 1, and zeros are rounded
TRIALS = 4
SPREAD = 30.0  # how many times further than noise, or torch's own rounding, a result may be off


@dataclass(frozen=True)
class Difference:
    """What is wrong with a program's run.

    Attributes:
        kind: "error", "refusal", "value", "form", "bits" or "warning": what stays the same while a program shrinks.
        text: for people.
    """

    kind: str
    text: str


def with_torch(program: Program, actual: Outcome) -> Difference | None:
    """How a run of convcore differs from torch's."""
    expected = run(program, torch, "float64" if program.dtype == "float32" else None)
    own = run(program, torch) if program.dtype == "float32" else expected
    if own.error is not None or expected.error is not None:
        return None  # the shrinker has made a program that is none
    if actual.error is not None:
        kind = "error " + type(actual.error).__name__
        return Difference(kind, f"line {actual.line}: {type(actual.error).__name__}: {actual.error}")
    if list(actual.seen) != list(expected.seen):
        missing = sorted(set(actual.seen) ^ set(expected.seen))
        return Difference("form", f"not the same is seen: {', '.join(missing)}")
    precision = "float64" if _is_double(program, expected) else "float32"
    noisy: list[Outcome] = []
    for name, right in expected.seen.items():
        array, other = actual.seen[name], own.seen[name]
        difference = form_difference(name, array, other)
        if difference is not None:
            return difference
        if array is None or right is None or other is None:
            continue
        error, scale = distance(array, right)
        scale = max(scale, LEAST)
        bound = TOLERANCE[precision] * scale + SPREAD * distance(other, right)[0]
        if not error <= bound:
            if not noisy:
                noisy = [run(program, torch, noise=NOISE[precision] * n) for n in range(1, TRIALS + 1)]
            if not error <= bound + SPREAD * moved(name, right, noisy):
                return Difference("value", f"{name}: off by {error:.3g} of {scale:.3g}\n{shown(array, right)}")
    return None


def _is_double(program: Program, outcome: Outcome) -> bool:
    """Whether all that it computes is in float64. Models that are compiled here have integer inputs, too."""
    foreign = any(word in str(program) for word in ("float32", ".float()", "compile("))
    singles = any(array is not None and array.dtype == np.float32 for array in outcome.seen.values())
    return program.dtype == "float64" and not foreign and not singles


def form_difference(name: str, actual: np.ndarray | None, expected: np.ndarray | None) -> Difference | None:
    """Where one is None, or of another shape or dtype."""
    if actual is None or expected is None:
        there = "None" if actual is None else "there"
        return None if actual is expected else Difference("form", f"{name} is {there} in convcore only")
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return Difference(
            "form", f"{name}: {actual.dtype} {actual.shape} for torch's {expected.dtype} {expected.shape}"
        )
    return None


def distance(actual: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """(largest difference, largest finite number); infinite where NaN or infinities are not in the same places."""
    a, b = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if a.size == 0:
        return 0.0, 0.0
    finite = np.isfinite(b)
    scale = float(np.abs(b[finite]).max(initial=0.0))
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return np.inf, scale
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0)), scale


def moved(name: str, right: np.ndarray, noisy: list[Outcome]) -> float:
    """How far noise moves a result."""
    others = [outcome.seen.get(name) for outcome in noisy]
    if any(other is None or other.shape != right.shape for other in others):
        return np.inf
    return max(distance(other, right)[0] for other in others if other is not None)


def same_bits(actual: Outcome, expected: Outcome) -> Difference | None:
    """How two runs of convcore differ that must agree in every bit."""
    if (actual.error is None) != (expected.error is None):
        which, error = ("compiled", actual.error) if actual.error else ("plain", expected.error)
        return Difference(f"error {type(error).__name__}", f"{which} only: {type(error).__name__}: {error}")
    for name, right in expected.seen.items():
        if name not in actual.seen:
            return Difference("form", f"{name} is not seen in the compiled run")
        array = actual.seen[name]
        difference = form_difference(name, array, right)
        if difference is not None:
            return difference
        if array is not None and right is not None and not equal(array, right):
            return Difference("bits", f"{name}: other bits\n{shown(array, right)}")
    return None


def equal(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Whether all elements are the same, NaN too."""
    return bool(np.array_equal(actual, expected, equal_nan=actual.dtype.kind == "f"))


def shown(actual: np.ndarray, expected: np.ndarray) -> str:
    """The first elements that differ most."""
    a, b = (np.asarray(array, np.float64).reshape(-1) for array in (actual, expected))
    with np.errstate(all="ignore"):
        worst = np.argsort(-np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf), kind="stable")[:3]
    return "\n".join(f"    element {place} of {a.size}: {a[place]!r} for {b[place]!r}" for place in worst)


def known(difference: Difference, reasons: dict[str, str]) -> str | None:
    """The reason of a known difference, by a piece of its text."""
    return next((reason for piece, reason in reasons.items() if piece in difference.text), None)


def describe(program: Program, difference: Difference, header: str) -> str:
    """A finding, to be read and run again."""
    lines = [f"    {line}" for line in program.lines]
    return "\n".join([header, f"  {difference.text}", f"  ({program.dtype})", *lines])

"""Explanations of a choice: every algorithm of an operation, and why it is chosen or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Explanation(dict[str, list[tuple[str, str]]]):
    """{pass: [(algorithm, verdict), ...]}; prints as a table below its title."""

    def __init__(self, title: str, geometry: Any, passes: dict[str, list[tuple[str, str]]]):
        super().__init__(passes)
        self.title, self.geometry = title, geometry

    def chosen(self, pass_name: str) -> str:
        """The algorithm that a pass uses."""
        return next(name for name, verdict in self[pass_name] if verdict.startswith("chosen"))

    def __repr__(self) -> str:
        lines = [self.title]
        for pass_name, verdicts in self.items():
            lines.append(f"{pass_name}:")
            lines += [f"  {name:<11} {verdict}" for name, verdict in verdicts]
        return "\n".join(lines)


def verdicts(answers: Iterable[tuple[Any, str | None, str | None]], request: str = "auto") -> list[tuple[str, str]]:
    """(name, verdict) of every algorithm: "chosen", its objection, or why it was not reached.

    Args:
        answers: in the order of the table, (algorithm, why it refuses or None, what it advises against or None).
        request: the name of the one to be chosen; "auto" for the first without an objection.
    """
    chosen = None
    lines = []
    for algorithm, refusal, advice in answers:
        if refusal is not None:
            verdict = f"refused: {refusal}"
        elif request == algorithm.name or (request == "auto" and chosen is None and advice is None):
            chosen = algorithm.name
            verdict = "chosen"
        elif advice is not None:
            verdict = advice
        elif request != "auto":
            verdict = f"not asked for: algorithm={request!r}"
        else:
            verdict = f"accepts, but {chosen!r} comes first"
        lines.append((algorithm.name, f"{verdict} ({algorithm.summary})"))
    return lines

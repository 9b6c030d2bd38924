"""Writing a program line by line: each line is run with torch at once, and stays if torch takes it.

So a generator may propose what fits only mostly, and the shapes that a line leads to are known when the next one is
written.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from random_programs.source import Program, namespace, recording_mode

LARGEST = 20_000  # elements of one tensor
NUMBERS = ("0.5", "-1.5", "2", "3", "1", "-1", "0", "0.25", "True")


class AbandonedError(Exception):
    """A line that the program needs cannot be had: begin another one."""


class Writer:
    """A program that is being written.

    Attributes:
        size: how many steps a network shall have.
        lines: what it consists of so far.
        names: the values of all its names, with torch.
    """

    def __init__(self, seed: Sequence[int], dtype: str, size: int = 3, records: bool = True):
        self.random = np.random.default_rng(seed)
        self.size = size
        self.dtype, self.records = dtype, records
        self.lines: list[str] = []
        self.names = namespace(torch, dtype, 0.0, {})
        self._counts: dict[str, int] = {}

    # Chance

    def pick(self, values: Sequence[Any]) -> Any:
        if not values:
            raise AbandonedError("nothing to choose from")
        return values[int(self.random.integers(len(values)))]

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def seed(self) -> int:
        """The seed of a tensor's numbers."""
        return int(self.random.integers(1, 1000))

    def name(self, letter: str) -> str:
        """A new name."""
        self._counts[letter] = self._counts.get(letter, 0) + 1
        return f"{letter}{self._counts[letter]}"

    # Lines

    def accepts(self, text: str) -> bool:
        """Run lines with torch and leave them out of the program; whether they run."""
        try:
            with recording_mode(torch, self.records), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(text, self.names)
        except Exception:
            return False
        return True

    def add(self, text: str) -> bool:
        """Add lines if torch takes them; whether it did."""
        accepted = self.accepts(text)
        if accepted:
            self.lines += text.split("\n")
        return accepted

    def need(self, text: str) -> None:
        """Add lines without which there is no program."""
        if not self.add(text):
            raise AbandonedError(text)

    def value(self, expression: str) -> Any:
        """What an expression is now."""
        return eval(expression, self.names)

    def shape(self, expression: str) -> tuple[int, ...]:
        """A tensor's shape."""
        return tuple(self.value(expression).shape)

    def program(self) -> Program:
        """The program as it is now."""
        return Program(tuple(self.lines), self.dtype, self.records)

    # Templates

    def filled(self, template: str, pool: Sequence[str], subject: str | None = None) -> str | None:
        """A template with tensors and numbers in its places; None if there is none that fits.

        {x:f} is the subject, of a kind: f float, i integer, b bool, n number, a any. {x} is the subject again, and {f},
        {i}, {b}, {n}, {a} are tensors of these kinds, mostly of the subject's shape. {d} and {e} are axes of the
        subject, {s} the size of axis 0, {shape} its shape; {k} is a small integer, {p} a positive one, {c} a number.
        """
        found = re.search(r"\{x:(\w)\}", template)
        kind = found.group(1) if found else "a"
        candidates = [name for name in ([subject] if subject else pool) if self._is(name, kind)]
        if not candidates:
            return None
        chosen = self.pick(candidates)
        shape = self.shape(chosen)
        axes = max(len(shape), 1)

        def place(match: re.Match) -> str:
            slot = match.group(1)
            if slot.startswith("x"):
                return chosen
            if slot in "fibna":
                return self._like(slot, shape, pool) or chosen
            return {
                "d": lambda: str(int(self.random.integers(-axes, axes))),
                "e": lambda: str(int(self.random.integers(axes))),
                "s": lambda: str(shape[0] if shape else 1),
                "shape": lambda: str(shape),
                "k": lambda: str(self.pick([0, 0, 1, 1, 2, -1])),
                "p": lambda: str(self.pick([1, 2, 2, 3])),
                "c": lambda: str(self.pick(NUMBERS)),
                "perm": lambda: str(tuple(self.random.permutation(len(shape)).tolist())),
                "seed": lambda: str(self.seed()),
            }[slot]()

        return re.sub(r"\{([\w:]+)\}", place, template)

    def _is(self, name: str, kind: str) -> bool:
        value = self.names.get(name)
        if not isinstance(value, torch.Tensor):
            return False
        floats, bools = value.is_floating_point(), value.dtype is torch.bool
        return {
            "f": floats, "i": not floats and not bools, "b": bools, "n": not bools, "a": True,
        }[kind]  # fmt: skip

    def _like(self, kind: str, shape: tuple[int, ...], pool: Sequence[str]) -> str | None:
        """A tensor of a kind, rather of this shape than of another."""
        fitting = [name for name in pool if self._is(name, kind)]
        same = [name for name in fitting if self.shape(name) == shape]
        return self.pick(same if same and self.chance(0.8) else fitting) if fitting else None

    def small(self, name: str) -> bool:
        """Whether a tensor is small enough to go on with."""
        value = self.names.get(name)
        return isinstance(value, torch.Tensor) and value.numel() <= LARGEST

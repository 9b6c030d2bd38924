"""A run: the groups by name, their cases, and the result of measuring them with each number of threads."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import convcore
from benchmarks import BenchmarkError, machine
from benchmarks.groups import algorithms, children, conv, nets, ops
from kernels.threads import max_num_threads

QUICK_ROUNDS, ROUNDS = 3, 9
VERSIONS = ("convcore", "numba", "numpy", "torch", "onnxruntime")


@dataclass(frozen=True)
class Group:
    """Cases, each with a name, and the function (cases, rounds, threads) that measures them."""

    summary: str
    cases: tuple[Any, ...]
    quick: tuple[str, ...]  # the names of the cases of a quick run
    rows: Callable[[Sequence[Any], int, int], Iterator[dict]]


GROUPS = {
    "conv": Group("convolution layers: forward, both gradients", conv.CASES, conv.QUICK, conv.rows),
    "ops": Group("the layers around them, losses, optimiser steps", ops.CASES, ops.QUICK, ops.rows),
    "nets": Group("whole networks: inference and a training step", nets.CASES, nets.QUICK, nets.rows),
    "start": Group("import and first training step", children.START_CASES, children.START_QUICK, children.start_rows),
    "memory": Group(
        "peak memory of a training step", children.MEMORY_CASES, children.MEMORY_QUICK, children.memory_rows
    ),
    "algorithms": Group(
        "convolutions around the thresholds of the selection, by every algorithm",
        algorithms.CASES,
        algorithms.QUICK,
        algorithms.rows,
    ),
}


def select(groups: Sequence[str], only: str = "", quick: bool = False) -> dict[str, list[Any]]:
    """The cases whose names contain `only`, of the named groups or, if none is named, of all groups.

    Raises:
        BenchmarkError: there is no such group, or no case is left.
    """
    for name in groups:
        if name not in GROUPS:
            near = difflib.get_close_matches(name, GROUPS)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise BenchmarkError(f"there is no group {name!r}; {hint}There are {', '.join(GROUPS)}")
    chosen = {}
    for name in groups or GROUPS:
        group = GROUPS[name]
        chosen[name] = [c for c in group.cases if only in c.name and (not quick or c.name in group.quick)]
    if not any(chosen.values()):
        raise BenchmarkError(f"no case of {', '.join(chosen)} has {only!r} in its name; --list shows the names")
    return chosen


def check_threads(threads: Sequence[int]) -> None:
    """Raise BenchmarkError unless convcore can use so many threads."""
    for number in threads:
        if not 1 <= number <= max_num_threads():
            raise BenchmarkError(f"--threads must be from 1 to {max_num_threads()}, got {number}")


def run(
    chosen: dict[str, list[Any]], threads: Sequence[int], rounds: int, show: Callable[[dict], None] = lambda row: None
) -> dict:
    """Measure the machine and all cases, with each number of threads; `show` gets each row as it is ready."""
    check_threads(threads)
    before = convcore.get_num_threads(), torch.get_num_threads()
    machines, rows = [], []
    try:
        for number in threads:
            convcore.set_num_threads(number)
            torch.set_num_threads(number)
            machines.append(machine.measure().as_dict())
            for name, cases in chosen.items():
                for measured in GROUPS[name].rows(cases, rounds, number):
                    rows.append({"group": name, "threads": number, **measured})
                    show(rows[-1])
    finally:
        convcore.set_num_threads(before[0])
        torch.set_num_threads(before[1])
    return {
        "date": time.strftime("%Y-%m-%d"),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": versions(),
        "rounds": rounds,
        "machine": machines,
        "rows": rows,
    }


def versions() -> dict[str, str]:
    """The version of each library that takes part."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "source tree" if importlib.util.find_spec(name) else "not installed"
    return found

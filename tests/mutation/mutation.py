"""Does the suite notice broken kernels? `python tests/mutation/mutation.py [NAME ...]` breaks them one by one.

Each mutant of `mutants.py` is one edit in a copy of the tree; the tests that should notice it run there, in a process
of their own with a kernel cache of its own. A mutant is "caught" when they fail, and "survived" when they pass: then a
test is missing. The outcome is written to RESULTS.md beside this file when all mutants were run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("RESULTS.md")
COPIED = ["convcore", "kernels", "tests", "benchmarks", "pyproject.toml", "README.md", "CONTRIBUTING.md"]
TIME_LIMIT = 600  # seconds: a mutant that makes a loop endless is noticed by this


@dataclass(frozen=True)
class Mutant:
    """One way to break a kernel.

    Attributes:
        name: what is broken, in a few words.
        file: the source file, from the root.
        before: a piece of it that occurs there once.
        after: what takes its place.
        tests: arguments of pytest that should notice.
    """

    name: str
    file: str
    before: str
    after: str
    tests: str


def apply(mutant: Mutant, root: Path) -> None:
    """Make the edit in the tree at `root`.

    Raises:
        ValueError: the piece to replace does not occur exactly once.
    """
    path = root / mutant.file
    text = path.read_text(encoding="utf-8")
    count = text.count(mutant.before)
    if count != 1:
        raise ValueError(
            f"mutant {mutant.name!r}: {mutant.before!r} must occur once in {mutant.file}, it does {count}x"
        )
    path.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")


def outcome(mutant: Mutant | None, tests: str, root: Path = ROOT) -> str:
    """Run tests in a copy of the tree, broken by the mutant: "caught", "caught (time limit)" or "survived".

    Raises:
        RuntimeError: pytest could not run the tests at all, so they show nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = root / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, copy / name)
        if mutant is not None:
            apply(mutant, copy)
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(copy / "cache"), "PYTHONPATH": str(copy)}
        environment.pop("PYTEST_ADDOPTS", None)  # what it asks of the run around this one, not of this one
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
        try:
            result = subprocess.run(
                command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            return "caught (time limit)"
    if result.returncode == 0:
        return "survived"
    # 1: tests failed; a negative code: a signal ended the process, which a write out of bounds may cause.
    if result.returncode == 1 or result.returncode < 0:
        return "caught"
    raise RuntimeError(f"pytest {tests} ended with {result.returncode}\n{result.stdout[-2000:]}")


def check_unbroken(mutants: list[Mutant]) -> None:
    """The tests must pass in a copy that is not broken, or their failing shows nothing.

    Raises:
        RuntimeError: they do not; the message names them.
    """
    for tests in sorted({mutant.tests for mutant in mutants}):
        if outcome(None, tests) != "survived":
            raise RuntimeError(f"pytest {tests} fails without any mutant: mend that first")


def report(mutants: list[Mutant], outcomes: list[str]) -> str:
    """The table of RESULTS.md."""
    caught = sum(o.startswith("caught") for o in outcomes)
    rows = [f"| {m.name} | `{m.file}` | {o} |" for m, o in zip(mutants, outcomes, strict=True)]
    return "\n".join(
        [
            "# Broken kernels, and whether the suite notices",
            "",
            "Written by `python tests/mutation/mutation.py`.",
            "",
            f"{caught} of {len(mutants)} mutants were caught.",
            "",
            "| mutant | file | outcome |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the mutants whose names contain one of the arguments, or all; 1 if one survived."""
    from mutants import MUTANTS  # beside this file, which is run as a script

    parser = argparse.ArgumentParser(description="Break kernels one by one and see whether the tests notice.")
    parser.add_argument("names", nargs="*", help="parts of names; all mutants if none is given")
    names = parser.parse_args(arguments).names
    chosen = [m for m in MUTANTS if not names or any(part in m.name for part in names)]
    check_unbroken(chosen)
    outcomes = []
    for mutant in chosen:
        started = time.perf_counter()
        outcomes.append(outcome(mutant, mutant.tests))
        print(f"{outcomes[-1]:<20} {time.perf_counter() - started:5.0f} s  {mutant.name}", flush=True)
    if not names:
        RESULTS.write_text(report(chosen, outcomes), encoding="utf-8")
    print(f"{sum(o.startswith('caught') for o in outcomes)} of {len(chosen)} caught")
    return int("survived" in outcomes)


if __name__ == "__main__":
    sys.exit(main())

"""The command `python -m benchmarks`: runs groups of cases; `report` prints a stored result as tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import BenchmarkError, report, store

FAILED = 2
DESCRIPTION = """Measure convcore against PyTorch and, where installed, ONNX Runtime.

`python -m benchmarks cuda` measures on a GPU instead; where there is none it says so. See `python -m benchmarks cuda
--help`.

Groups: conv, ops, nets, start, memory, algorithms; by default all of them. `python -m benchmarks report RESULT.jsonl`
prints a stored result as Markdown tables; see `python -m benchmarks report --help`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 for a wrong request."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["report"]:
            return _report(arguments[1:])
        if arguments[:1] == ["cuda"]:
            from benchmarks import cuda  # needs PyTorch, which a report does not

            return cuda.main(arguments[1:])
        return _run(arguments)
    except (BenchmarkError, OSError) as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return FAILED


def _run(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="what to measure (default: all groups)")
    parser.add_argument("--threads", nargs="+", type=int, metavar="N", help="numbers of threads (default: all cores)")
    parser.add_argument("--quick", action="store_true", help="few rounds, and only some cases of each group")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with TEXT in their names")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how often each case is measured (default: 9, quick: 3)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="store the result as JSON Lines")
    parser.add_argument("--list", action="store_true", help="show groups and cases, measure nothing")
    args = parser.parse_args(arguments)
    if args.rounds is not None and args.rounds < 1:
        raise BenchmarkError(f"--rounds must be at least 1, got {args.rounds}")
    if args.json is not None and not args.json.parent.is_dir():
        raise BenchmarkError(f"--json: there is no folder {args.json.parent}")

    # Here, because a report needs neither library.
    from benchmarks import run

    chosen = run.select(args.groups, args.only, args.quick)
    if args.list:
        for name, cases in chosen.items():
            print(f"{name}: {run.GROUPS[name].summary}")
            print("".join(f"  {case.name}\n" for case in cases), end="")
        return 0
    threads = args.threads or [run.max_num_threads()]
    rounds = args.rounds or (run.QUICK_ROUNDS if args.quick else run.ROUNDS)
    result = run.run(chosen, threads, rounds, show=_show)
    if args.json is not None:
        store.write(result, args.json)
    print(f"\n{report.tables(result)}", end="")
    return 0


def _show(row: dict) -> None:
    """Print one line for a row that was just measured."""
    own = report.amount(row["convcore"]["median"], row["unit"])
    ratios = [f"{rival['ratio']['median']:5.2f} x {rival['name']}" for rival in row["rivals"]]
    line = f"{row['group']:6} {row['threads']} {row['case']:24} {row['work']:20} {own:>9}  {', '.join(ratios)}"
    print(line, file=sys.stderr, flush=True)


def _report(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks report", description="Print a stored result as tables.")
    parser.add_argument("result", type=Path, metavar="RESULT.jsonl", help="what a run stored with --json")
    parser.add_argument("--summary", action="store_true", help="print only the means, and the rows of the networks")
    parser.add_argument("--picture", type=Path, metavar="OUT", help="also draw ratios and roofline (needs matplotlib)")
    args = parser.parse_args(arguments)
    result = store.read(args.result)
    try:
        text = report.summary(result) if args.summary else report.tables(result)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BenchmarkError(f"{args.result} is no result of a benchmark ({type(error).__name__}: {error})") from None
    print(text, end="")
    if args.picture is not None:
        from benchmarks import picture

        picture.draw(result, args.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())

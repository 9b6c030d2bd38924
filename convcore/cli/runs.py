"""What commands that train share: the folder of a run, its settings, resuming, curves, and what to say after Ctrl-C."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from convcore.cli.parser import positive
from convcore.errors import CheckpointError, ShapeError
from convcore.training import Trainer, load_progress
from convcore.training.trainer import CHECKPOINT, WEIGHTS
from kernels import threads

INTERRUPTED = 130


def add_run_options(parser: argparse.ArgumentParser, out: str) -> None:
    """The options that say where and how a run works, not what results from it; `out` is the default."""
    parser.add_argument("--out", type=Path, default=Path(out), help="folder of the results (default %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of the kernels (default: all cores)")
    parser.add_argument("--quiet", action="store_true", help="show only the result")


def given_settings(args: argparse.Namespace, kind: Any) -> dict[str, Any]:
    """The settings, fields of the dataclass `kind`, that stand on the command line."""
    values = {field.name: getattr(args, field.name) for field in fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def resumed_settings(args: argparse.Namespace, kind: Any) -> Any:
    """The settings of the run in `--out`. Others cannot be given: the schedule is made for the run as a whole."""
    path = args.out / CHECKPOINT
    if not path.is_file():
        raise CheckpointError(f"{args.out} holds no {CHECKPOINT} to resume from; start without --resume")
    saved = load_progress(path)["settings"]
    names = {field.name for field in fields(kind)}
    if not names <= saved.keys():
        raise CheckpointError(f"{path} was not written by convcore {args.command}; resume with the command that did")
    settings = kind(**{name: saved[name] for name in names})
    for name, value in given_settings(args, kind).items():
        if value != getattr(settings, name):
            option = "--" + name.replace("_", "-")
            raise ShapeError(
                f"{path} was started with {option} {getattr(settings, name)}, which a resume cannot change to {value}; "
                f"leave {option} out, or start a new run in another --out"
            )
    return settings


def prepare_folder(out: Path) -> None:
    """Make the folder, and find out now rather than after an epoch whether it can be written."""
    out.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=out).close()


def use_threads(n: int | None) -> None:
    """Set the number of threads that kernels use; None leaves it."""
    try:
        if n is not None:
            threads.set_num_threads(n)
    except ValueError as error:
        raise ShapeError(str(error)) from None


def replace_earlier_run(out: Path) -> None:
    """Remove an earlier run's checkpoint: a resume must not find it beside the new run's weights."""
    if (out / CHECKPOINT).exists():
        print(f"replacing the earlier run in {out} (--resume would have continued it)")
        (out / CHECKPOINT).unlink()


def drawn(path: Path, draw: Callable[[Path], object]) -> str:
    """Draw a picture if matplotlib is there; returns where it is, or why it is not."""
    try:
        draw(path)
    except ImportError:
        return "not drawn: matplotlib is missing (python -m pip install matplotlib)"
    return str(path)


def report_interrupt(trainer: Trainer, command: str) -> None:
    """Say what an interrupted run leaves behind and how to go on."""
    best = trainer.best
    if best is None:
        message = "interrupted before the first epoch was complete: nothing to keep"
    else:
        message = (
            f"interrupted in epoch {len(trainer.history) + 1}\n"
            f"best weights so far (epoch {best['epoch']}, validation accuracy {best['validation_accuracy']:.2%}): "
            f"{trainer.out / WEIGHTS}\n"
            f"go on with: convcore {command} --resume --out {shlex.quote(str(trainer.out))}"
        )
    print(message, file=sys.stderr)

"""The common part of training commands: run folder, settings, resuming, and the report after Ctrl-C."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from convcore.cli.arguments import path, positive
from convcore.errors import CheckpointError, ShapeError, UnsupportedError
from convcore.training import Trainer, load_progress
from convcore.training.run_lock import only_run
from convcore.training.trainer import CHECKPOINT, HISTORY, WEIGHTS
from kernels import threads


def add_run_options(parser: argparse.ArgumentParser, out: str) -> None:
    """The options that do not affect the result of a run; `out` is the default folder."""
    parser.add_argument("--out", type=path, default=Path(out), help="folder of the results (default %(default)s)")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="continue the run in --out")
    earlier.add_argument(
        "--overwrite", action="store_true", help="replace the run in --out once the first epoch of the new run is saved"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of the kernels (default: all cores)")
    parser.add_argument("--quiet", action="store_true", help="show only the result")


def given_settings(args: argparse.Namespace, kind: Any) -> dict[str, Any]:
    """The settings given on the command line; they are fields of the dataclass `kind`."""
    values = {field.name: getattr(args, field.name) for field in fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def resumed_settings(args: argparse.Namespace, kind: Any) -> Any:
    """The settings of the run in `--out`. They cannot change: the learning rate schedule spans the whole run."""
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


@contextmanager
def run_folder(args: argparse.Namespace) -> Iterator[None]:
    """The folder `--out` of a run, locked for this run. A folder that stays empty is removed.

    Raises:
        BusyError: another run uses the folder.
        UnsupportedError: the folder holds an earlier run, and neither --resume nor --overwrite is given.
        OSError: the folder cannot be created or is not writable.
    """
    out: Path = args.out
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with only_run(out):
            earlier = [name for name in (CHECKPOINT, WEIGHTS, HISTORY) if (out / name).exists()]
            if earlier and not (args.resume or args.overwrite):
                raise UnsupportedError(
                    f"{args.command}: {out} holds a run already ({', '.join(earlier)}): --resume goes on with it, "
                    "--overwrite replaces it, another --out leaves it alone"
                )
            yield
    finally:
        for folder in made:
            with suppress(OSError):  # the folder is not empty
                folder.rmdir()


def use_threads(n: int | None) -> None:
    """Set the number of threads that kernels use; None keeps the default."""
    try:
        if n is not None:
            threads.set_num_threads(n)
    except ValueError as error:
        raise ShapeError(str(error)) from None


def report_interrupt(trainer: Trainer, command: str) -> None:
    """Print what an interrupted run has saved, and how to continue it."""
    best = trainer.best
    if best is None:
        message = "interrupted before the first epoch was complete: nothing to keep"
        if (trainer.out / CHECKPOINT).exists():
            message += f"; the earlier run in {trainer.out} is as it was"
    else:
        message = (
            f"interrupted in epoch {len(trainer.history) + 1}\n"
            f"best weights so far (epoch {best['epoch']}, validation accuracy {best['validation_accuracy']:.2%}): "
            f"{trainer.out / WEIGHTS}\n"
            f"go on with: convcore {command} --resume --out {shlex.quote(str(trainer.out))}"
        )
    print(message, file=sys.stderr)

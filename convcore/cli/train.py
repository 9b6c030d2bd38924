"""`convcore train`: a CNN learns digits."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from convcore.cli.compiling import announce_compile
from convcore.cli.parser import positive
from convcore.data import DataLoader, TensorDataset
from convcore.errors import CheckpointError, ConvcoreError, ShapeError
from convcore.models import get_model
from convcore.training import Settings, Trainer, evaluate, load_progress, prepare, read_data, warm_up
from convcore.training.recipe import EVALUATION_BATCH, MAX_SHIFT
from convcore.training.trainer import CHECKPOINT, HISTORY, WEIGHTS
from kernels import threads

CURVES = "curves.png"
INTERRUPTED = 130

EXAMPLES = """examples:
  convcore train
  convcore train --epochs 3 --limit 2000 --out runs/quick
  convcore train --resume --out runs/quick
  convcore train --data fashion-mnist:~/data/fashion --epochs 20 --out runs/fashion
  convcore train --data cifar10:~/data/cifar --model simple_cnn --out runs/cifar

The result depends on the settings alone, bit for bit: not on the number of threads, and not on interruptions.
Ctrl-C keeps the best weights so far; --resume goes on after the last complete epoch."""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    defaults = Settings()
    parser = subparsers.add_parser(
        "train",
        help="train a CNN on the bundled digits or on your own files",
        description="Train a CNN with Adam and a one-cycle learning rate on randomly shifted images.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Without a value given, a setting is None: `--resume` takes it from the checkpoint, a new run from `Settings`.
    parser.add_argument("--model", help=f"cnn, simple_cnn or another (default {defaults.model})")
    parser.add_argument(
        "--data", metavar="DATA", help="digits, mnist:FOLDER, fashion-mnist:FOLDER or cifar10:FOLDER (default digits)"
    )
    parser.add_argument("--epochs", type=positive, metavar="N", help=f"(default {defaults.epochs})")
    parser.add_argument("--batch-size", type=positive, metavar="N", help=f"(default {defaults.batch_size})")
    parser.add_argument("--lr", type=float, help=f"the highest learning rate (default {defaults.lr})")
    parser.add_argument("--seed", type=int, help=f"(default {defaults.seed})")
    parser.add_argument("--limit", type=positive, metavar="N", help="use only the first N training images")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/digits"), help="folder of the results (default %(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of the kernels (default: all cores)")
    parser.add_argument("--quiet", action="store_true", help="show only the result")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prepare, train, test; returns the exit code."""
    out: Path = args.out
    if args.threads is not None:
        use_threads(args.threads)
    settings = resumed_settings(args) if args.resume else Settings(**given_settings(args))
    train, test = read_data(settings.data)
    prepare_folder(out)
    compile_kernels(settings, train)
    trainer = prepare(settings, train, out, progress=not args.quiet)
    if args.resume:
        trainer.resume()
    else:
        replace_earlier_run(out)
    describe(trainer, settings, test)
    try:
        trainer.fit(settings.epochs)
    except KeyboardInterrupt:
        report_interrupt(trainer)
        return INTERRUPTED
    report(trainer, test)
    return 0


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that stand on the command line."""
    values = {field.name: getattr(args, field.name) for field in fields(Settings)}
    return {name: value for name, value in values.items() if value is not None}


def resumed_settings(args: argparse.Namespace) -> Settings:
    """The settings of the run in `--out`. Others cannot be given: the schedule is made for the run as a whole."""
    path = args.out / CHECKPOINT
    if not path.is_file():
        raise CheckpointError(f"{args.out} holds no {CHECKPOINT} to resume from; start without --resume")
    settings = Settings(**load_progress(path)["settings"])
    for name, value in given_settings(args).items():
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


def use_threads(n: int) -> None:
    """Set the number of threads that kernels use."""
    try:
        threads.set_num_threads(n)
    except ValueError as error:
        raise ShapeError(str(error)) from None


def replace_earlier_run(out: Path) -> None:
    """Remove an earlier run's checkpoint: a resume must not find it beside the new run's weights."""
    if (out / CHECKPOINT).exists():
        print(f"replacing the earlier run in {out} (--resume would have continued it)")
        (out / CHECKPOINT).unlink()


def compile_kernels(settings: Settings, train: TensorDataset) -> None:
    """Compile before the first epoch, so that its time is that of training; also the first try of model and data."""
    model, shape = get_model(settings.model), train.tensors[0].array.shape[1:]
    try:
        with announce_compile():
            warm_up(model, shape, settings.batch_size)
    except ConvcoreError as error:
        size = "x".join(map(str, shape))
        raise ShapeError(f"the model {settings.model} does not fit images of {size}: {error}") from error


def describe(trainer: Trainer, settings: Settings, test: TensorDataset) -> None:
    """Say what is about to be trained, and how."""
    if not trainer.progress:
        return
    parameters = sum(parameter.array.size for parameter in trainer.model.parameters())
    print(
        f"{settings.model} ({parameters:,} parameters) on {settings.data}: {len(trainer.train_data.dataset):,} images "
        f"to train on, {len(trainer.validation_data.dataset):,} to choose the best epoch, {len(test):,} for the test"
    )
    print(
        f"Adam, learning rate up to {settings.lr:g} in one cycle, batches of {settings.batch_size}, images shifted by "
        f"up to {MAX_SHIFT} pixels, seed {settings.seed}"
    )
    if trainer.history:
        print(f"resumed after epoch {len(trainer.history)}", flush=True)


def report(trainer: Trainer, test: TensorDataset) -> None:
    """Test once, with the weights that are kept."""
    trainer.load_best()
    best = trainer.best
    assert best is not None
    loss, accuracy = evaluate(trainer.model, DataLoader(test, EVALUATION_BATCH, prefetch=0))
    trainer.write_history(best_epoch=best["epoch"], test={"loss": loss, "accuracy": accuracy})
    if trainer.progress:
        print(f"best epoch {best['epoch']}: the lowest validation loss, {best['validation_loss']:.4f}")
    print(
        f"test accuracy {accuracy:.2%} ({round(accuracy * len(test)):,} of {len(test):,} images that were used neither "
        "to train nor to choose)"
    )
    print(f"weights  {trainer.out / WEIGHTS}")
    print(f"history  {trainer.out / HISTORY}")
    print(f"curves   {draw_curves(trainer)}")


def draw_curves(trainer: Trainer) -> str:
    """Draw them if matplotlib is there; returns where they are, or why they are not."""
    try:
        from convcore.plot import training_curves

        training_curves(trainer.history, trainer.out / CURVES)
    except ImportError:
        return "not drawn: matplotlib is missing (python -m pip install matplotlib)"
    return str(trainer.out / CURVES)


def report_interrupt(trainer: Trainer) -> None:
    """Say what an interrupted run leaves behind and how to go on."""
    best = trainer.best
    if best is None:
        message = "interrupted before the first epoch was complete: nothing to keep"
    else:
        message = (
            f"interrupted in epoch {len(trainer.history) + 1}\n"
            f"best weights so far (epoch {best['epoch']}, validation accuracy {best['validation_accuracy']:.2%}): "
            f"{trainer.out / WEIGHTS}\n"
            f"go on with: convcore train --resume --out {shlex.quote(str(trainer.out))}"
        )
    print(message, file=sys.stderr)

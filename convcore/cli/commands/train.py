"""`convcore train`: trains a CNN on digits or other images."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from convcore.cli.arguments import data, positive, seed
from convcore.cli.compiling import announce_compile
from convcore.cli.drawing import drawn
from convcore.cli.output import printable
from convcore.cli.runs import (
    add_run_options,
    given_settings,
    report_interrupt,
    resumed_settings,
    run_folder,
    use_threads,
)
from convcore.data import DataLoader, TensorDataset
from convcore.errors import ConvcoreError, ShapeError
from convcore.interrupts import INTERRUPTED
from convcore.plot import training_curves
from convcore.training import Settings, Trainer, evaluate, prepare, read_data, warm_up
from convcore.training.recipe import EVALUATION_BATCH, MAX_SHIFT, build, part_sizes
from convcore.training.trainer import HISTORY, WEIGHTS

CURVES = "curves.png"

EXAMPLES = """examples:
  convcore train
  convcore train --epochs 3 --limit 2000 --out runs/quick
  convcore train --resume --out runs/quick
  convcore train --data fashion-mnist:~/data/fashion --epochs 20 --out runs/fashion
  convcore train --data cifar10:~/data/cifar --model simple_cnn --out runs/cifar

The settings alone determine the result, bit for bit; the number of threads and interruptions do not change it.
Ctrl-C keeps the best weights so far; --resume continues after the last complete epoch."""


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
    # A setting without a value is None: `--resume` then uses the checkpoint's value, a new run that of `Settings`.
    parser.add_argument("--model", help=f"cnn, simple_cnn or another (default {defaults.model})")
    parser.add_argument(
        "--data",
        metavar="DATA",
        type=data,
        help="digits, mnist:FOLDER, fashion-mnist:FOLDER or cifar10:FOLDER (default digits)",
    )
    parser.add_argument("--epochs", type=positive, metavar="N", help=f"(default {defaults.epochs})")
    parser.add_argument("--batch-size", type=positive, metavar="N", help=f"(default {defaults.batch_size})")
    parser.add_argument("--lr", type=float, help=f"peak learning rate (default {defaults.lr})")
    parser.add_argument("--seed", type=seed, help=f"(default {defaults.seed})")
    parser.add_argument("--limit", type=positive, metavar="N", help="use only the first N training images")
    add_run_options(parser, "runs/digits")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prepare, train and test; return the exit code."""
    use_threads(args.threads)
    with run_folder(args):
        settings = resumed_settings(args, Settings) if args.resume else Settings(**given_settings(args, Settings))
        train, test = read_data(settings.data)
        part_sizes(settings, len(train))  # check before a batch is allocated
        compile_kernels(settings, train)
        trainer = prepare(settings, train, args.out, progress=not args.quiet)
        if args.resume:
            trainer.resume()
        describe(trainer, settings, test)
        try:
            trainer.fit(settings.epochs)
        except KeyboardInterrupt:
            report_interrupt(trainer, "train")
            return INTERRUPTED
        report(trainer, test)
    return 0


def compile_kernels(settings: Settings, train: TensorDataset) -> None:
    """Compile before the first epoch, so that its time excludes compilation; also checks that model and data fit."""
    model, shape = build(settings), train.tensors[0].array.shape[1:]
    try:
        with announce_compile() as report:
            warm_up(model, shape, settings.batch_size, report)
    except ConvcoreError as error:
        size = "x".join(map(str, shape))
        raise ShapeError(f"the model {settings.model} does not fit images of {size}: {error}") from error


def describe(trainer: Trainer, settings: Settings, test: TensorDataset) -> None:
    """Print what will be trained, and how."""
    if not trainer.progress:
        return
    parameters = sum(parameter.array.size for parameter in trainer.model.parameters())
    print(
        f"{settings.model} ({parameters:,} parameters) on {printable(settings.data)}: "
        f"{len(trainer.train_data.dataset):,} images to train on, {len(trainer.validation_data.dataset):,} to choose "
        f"the best epoch, {len(test):,} for the test"
    )
    print(
        f"Adam, learning rate up to {settings.lr:g} in one cycle, batches of {settings.batch_size}, images shifted by "
        f"up to {MAX_SHIFT} pixels, seed {settings.seed}"
    )
    if trainer.history:
        print(f"resumed after epoch {len(trainer.history)}", flush=True)


def report(trainer: Trainer, test: TensorDataset) -> None:
    """Test once, with the best weights."""
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
    print(printable(f"weights  {trainer.out / WEIGHTS}"))
    print(printable(f"history  {trainer.out / HISTORY}"))
    print(f"curves   {drawn(trainer.out / CURVES, partial(training_curves, trainer.history))}")

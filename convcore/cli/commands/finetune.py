"""`convcore finetune`: trains a pretrained network on the classes of a picture folder."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from convcore.cli.arguments import positive, seed, weights, whole_path
from convcore.cli.compiling import announce_compile
from convcore.cli.drawing import drawn
from convcore.cli.output import printable
from convcore.cli.pictures import add_corrupt_option, open_folder
from convcore.cli.runs import (
    add_run_options,
    given_settings,
    report_interrupt,
    resumed_settings,
    run_folder,
    use_threads,
)
from convcore.data import ImageFolder
from convcore.errors import ShapeError, UnsupportedError
from convcore.interrupts import INTERRUPTED
from convcore.plot import confusion_matrix, training_curves
from convcore.training import FinetuneSettings, Finetuning, score_of, warm_up
from convcore.training.finetune import AUGMENTATIONS, start, unfreeze
from convcore.training.trainer import HISTORY, WEIGHTS

CURVES, CONFUSION = "curves.png", "confusion.png"

EXAMPLES = """examples:
  convcore finetune flowers --out runs/flowers         flowers/rose/1.jpg, flowers/tulip/2.png, ...
  convcore finetune --resume --out runs/flowers
  convcore finetune flowers/train --test flowers/test --model resnet50 --unfreeze 2
  convcore classify unknown.jpg --weights runs/flowers/weights.safetensors

The first phase trains only a new last layer on a frozen network. It is cheap, because frozen parts have no backward
pass. The second phase also trains the last stages, with a smaller learning rate. Batch norms keep their weights and
statistics throughout. Ctrl-C keeps the best weights so far; --resume continues after the last complete epoch."""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    defaults = FinetuneSettings("")
    parser = subparsers.add_parser(
        "finetune",
        help="train a pretrained network on the classes of your own pictures",
        description="Fine-tune a network on a folder of pictures (JPEG, PNG, ..) with one sub-folder per class.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # A setting without a value is None: `--resume` then uses the checkpoint's value, a new run the default.
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=whole_path, help="pictures in one sub-folder per class"
    )
    parser.add_argument("--test", type=whole_path, metavar="FOLDER", help="test pictures, in the same sub-folders")
    parser.add_argument("--model", help="(default: the network of the weights file, else efficientnet_lite0)")
    parser.add_argument(
        "--weights", type=weights, help="initial weights: a file, or a name as in `convcore weights` (default imagenet)"
    )
    parser.add_argument(
        "--size", type=positive, metavar="N", help="size of the network's input (default: as in its training)"
    )
    parser.add_argument(
        "--epochs", type=positive, metavar="N", help=f"epochs of the first phase (default {defaults.epochs})"
    )
    parser.add_argument(
        "--fine-epochs",
        type=int,
        metavar="N",
        help=f"epochs of the second phase, or 0 (default {defaults.fine_epochs})",
    )
    parser.add_argument(
        "--unfreeze", type=positive, metavar="N", help=f"number of last stages to train (default {defaults.unfreeze})"
    )
    parser.add_argument("--batch-size", type=positive, metavar="N", help=f"(default {defaults.batch_size})")
    parser.add_argument(
        "--lr",
        type=float,
        help=f"peak rate of the last layer; a tenth of it in the second phase (default {defaults.lr})",
    )
    parser.add_argument(
        "--backbone-lr", type=float, metavar="LR", help=f"peak rate of the last stages (default {defaults.backbone_lr})"
    )
    parser.add_argument(
        "--patience", type=positive, metavar="N",
        help=f"end a phase after N epochs without a lower validation loss (default {defaults.patience})",
    )  # fmt: skip
    parser.add_argument(
        "--validation", type=float, metavar="SHARE",
        help=f"share of each class that is set aside to choose the best epoch (default {defaults.validation})",
    )  # fmt: skip
    parser.add_argument(
        "--augment", choices=AUGMENTATIONS,
        help="flip: random crops, half of them mirrored; crop: not mirrored, for pictures with a left and a right, "
        f"such as text (default {defaults.augment})",
    )  # fmt: skip
    add_corrupt_option(parser, None)
    parser.add_argument("--seed", type=seed, help=f"(default {defaults.seed})")
    add_run_options(parser, "runs/finetune")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prepare, train and test; return the exit code."""
    use_threads(args.threads)
    with run_folder(args):
        settings = resumed_settings(args, FinetuneSettings) if args.resume else new_settings(args)
        pictures = open_folder("finetune", settings.folder, settings.corrupt)
        test = None if args.test is None else open_test(args.test, settings, pictures)
        job = Finetuning(settings, pictures, args.out, progress=not args.quiet)
        compile_kernels(job)
        if args.resume:
            job.resume()
        describe(job)
        try:
            job.fit()
        except KeyboardInterrupt:
            report_interrupt(job.trainer, "finetune")
            return INTERRUPTED
        report(job, test)
    return 0


def new_settings(args: argparse.Namespace) -> FinetuneSettings:
    """The settings of a new run."""
    if args.folder is None:
        raise UnsupportedError("finetune: needs the FOLDER of the pictures, or --resume")
    return FinetuneSettings(**given_settings(args, FinetuneSettings))


def open_test(folder: str, settings: FinetuneSettings, pictures: ImageFolder) -> ImageFolder:
    """The test pictures; their classes must be those of the training pictures."""
    test = open_folder("finetune", folder, settings.corrupt)
    if test.classes != pictures.classes:
        odd = sorted(set(test.classes) ^ set(pictures.classes))
        raise ShapeError(f"finetune: {folder} must have the sub-folders of {settings.folder}; they differ in {odd}")
    return test


def compile_kernels(job: Finetuning) -> None:
    """Compile before the first epoch, with a throwaway network, so that the epoch's time excludes compilation."""
    network, _, card = start(job.settings, job.pictures.classes)
    for name in job.unfrozen:
        unfreeze(network.get_submodule(name))
    with announce_compile() as report:
        warm_up(network, card.image_shape, min(job.settings.batch_size, len(job.train_data.dataset)), report)


def describe(job: Finetuning) -> None:
    """Print what will be trained, and how."""
    if not job.progress:
        return
    settings, size = job.settings, job.card.image_shape[-1]
    parameters = sum(parameter.array.size for parameter in job.network.parameters())
    print(
        f"{job.card.model} ({parameters:,} parameters) on {printable(settings.folder)}: {len(job.pictures.classes)} "
        f"classes, {len(job.train_data.dataset):,} pictures to train on, {len(job.validation_data.dataset):,} to "
        "choose the best epoch"
    )
    print(f"Adam, batches of {settings.batch_size}, pictures of {size}x{size}, seed {settings.seed}")
    if job.trainer.history:
        print(f"resumed after epoch {len(job.trainer.history)}", flush=True)


def report(job: Finetuning, test: ImageFolder | None) -> None:
    """Test once, with the best weights."""
    trainer, classes, best = job.trainer, job.pictures.classes, job.trainer.best
    assert best is not None
    score = score_of(job.network, job.validation_data if test is None else job.batches_of(test))
    counts = score.confusion(len(classes))
    part = "validation" if test is None else "test"
    results = {"loss": score.loss, "accuracy": score.accuracy, "confusion": counts.tolist()}
    trainer.write_history(best_epoch=best["epoch"], **{part: results})
    if trainer.progress:
        print(f"best epoch {best['epoch']}: the lowest validation loss, {best['validation_loss']:.4f}")
    used = (
        "by which the best epoch was chosen; --test FOLDER measures it on others"
        if test is None
        else "that were used neither to train nor to choose"
    )
    print(f"{part} accuracy {score.accuracy:.2%} ({int(counts.trace()):,} of {score.samples:,} pictures {used})")
    out = trainer.out
    print(printable(f"weights    {out / WEIGHTS}"))
    print(printable(f"history    {out / HISTORY}"))
    print(f"curves     {drawn(out / CURVES, partial(training_curves, trainer.history))}")
    print(f"confusion  {drawn(out / CONFUSION, partial(confusion_matrix, counts, classes))}")

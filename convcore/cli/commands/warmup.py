"""`convcore warmup`: compile the kernels ahead of time."""

from __future__ import annotations

import argparse
import time
from typing import Any

from convcore.cli.compiling import announce_compile
from convcore.models import get_model, image_shape
from convcore.training import warm_up
from kernels.cache import cache_directory

TRAINED = ("cnn", "simple_cnn")  # the usual models of `convcore train`


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "warmup",
        help="compile the kernels that models need, and store them",
        description="Run a small training step of each model, so that all its kernels are compiled and stored.",
    )
    parser.add_argument(
        "models", metavar="MODEL", nargs="*", default=TRAINED, help=f"names of models (default {' '.join(TRAINED)})"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run one training step of each model."""
    start = time.perf_counter()
    with announce_compile() as report:
        for name in args.models:
            warm_up(get_model(name), image_shape(name), report=report)
    print(f"kernels are ready after {time.perf_counter() - start:.1f} s, kept in {cache_directory()}")
    return 0

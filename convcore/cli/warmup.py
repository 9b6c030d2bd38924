"""`convcore warmup`: compile the kernels ahead of time."""

from __future__ import annotations

import argparse
import time
from typing import Any

from convcore.cli.compiling import announce_compile
from convcore.models import get_model, list_models
from convcore.training import INPUT_SHAPES, warm_up
from kernels.cache import cache_directory


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "warmup",
        help="compile all kernels that the models need, and keep them",
        description="Run a tiny training step of every model, so that all kernels it needs are compiled and kept.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Let every model do one training step."""
    start = time.perf_counter()
    with announce_compile():
        for name in list_models():
            model = get_model(name)
            warm_up(model, INPUT_SHAPES[type(model)])
    print(f"kernels are ready after {time.perf_counter() - start:.1f} s, kept in {cache_directory()}")
    return 0

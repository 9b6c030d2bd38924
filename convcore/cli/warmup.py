"""`convcore warmup`: compile the kernels ahead of time."""

from __future__ import annotations

import argparse
import time
from typing import Any

from convcore.cli.compiling import announce_compile
from convcore.models import list_models
from convcore.training import warm_up
from kernels.cache import cache_directory


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "warmup",
        help="compile all kernels that the models need, and keep them",
        description="Run a tiny training step of every model, so that all kernels it needs are compiled and kept.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    start = time.perf_counter()
    with announce_compile():
        for name in list_models():
            warm_up(name)
    print(f"kernels are ready after {time.perf_counter() - start:.1f} s, kept in {cache_directory()}")
    return 0

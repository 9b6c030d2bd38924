"""The command `convcore`: one file per subcommand, each with `add_parser(subparsers)` and `run(args)`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata

from convcore.cli import augment, classify, explore, show, summary, train, warmup, weights
from convcore.cli.parser import Parser
from convcore.errors import ConvcoreError

EXAMPLES = """examples:
  convcore train                       train the 28x28 CNN on the bundled digits
  convcore train --resume              go on where an interrupted training stopped
  convcore classify cat.jpg            what is in a picture
  convcore weights resnet50            where pretrained weights come from, and whether they are here
  convcore summary resnet50            layers, shapes, parameters and receptive fields
  convcore show maps digit_cnn 3.png   what a network's layers see; its filters; why it decides
  convcore augment photo.jpg           what each augmentation makes of a photograph
  convcore explore                     see in the browser what filters and networks detect
  convcore warmup                      compile the kernels ahead of time

`convcore COMMAND --help` shows a command's options."""

FAILED, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 2 for wrong requests and files, 130 after Ctrl-C."""
    parser = Parser(
        prog="convcore",
        description="A from-scratch convolution engine in readable Python.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"convcore {version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for command in (train, classify, weights, summary, show, augment, explore, warmup):
        command.add_parser(commands)
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except (ConvcoreError, OSError, FloatingPointError) as error:
        print(f"convcore {args.command}: error: {one_line(error)}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"convcore {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED


def version() -> str:
    """The installed version; a source tree that is not installed has none."""
    try:
        return metadata.version("convcore")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def one_line(error: BaseException) -> str:
    """The rule that was broken, without the table of shapes that may follow it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__

"""The command `convcore`: one file per subcommand, each with `add_parser(subparsers)` and `run(args)`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata

from convcore import interrupts
from convcore.cli.output import drop_output, escaping_output, flush_output, message_of
from convcore.cli.parser import Parser
from convcore.errors import ConvcoreError
from convcore.interrupts import INTERRUPTED

EXAMPLES = """examples:
  convcore train                       train the 28x28 CNN on the bundled digits
  convcore train --resume              go on where an interrupted training stopped
  convcore finetune flowers            teach a trained network the classes of a folder of pictures
  convcore classify cat.jpg            what is in a picture
  convcore features flowers -o f.npz   what a trained network sees in pictures, as numbers
  convcore weights resnet50            where pretrained weights come from, and whether they are here
  convcore summary resnet50            layers, shapes, parameters and receptive fields
  convcore show maps digit_cnn 3.png   what a network's layers see; its filters; why it decides
  convcore augment photo.jpg           what each augmentation makes of a photograph
  convcore explore                     see in the browser what filters and networks detect
  convcore warmup                      compile the kernels ahead of time

`convcore COMMAND --help` shows a command's options."""

BROKEN, FAILED = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; nothing that happens ends in more than one line on standard error.

    Returns:
        The exit code: 0; 2 for wrong requests and files, and where memory does not suffice; 130 after Ctrl-C; 1 where
        the reader of the output has gone, and for an error that nobody has thought of, which `python -X dev` shows
        with its traceback.
    """
    name = "convcore"
    try:
        with interrupts.raised(), escaping_output():
            try:
                args = command_line().parse_args(argv)
                name = f"convcore {args.command}"
                code = args.run(args)
            except SystemExit:  # after --help, or an error of argparse's
                flush_output()
                raise
            flush_output()
            return code
    except KeyboardInterrupt:
        # Where it has passed an exec() of text, as of a dataclass or in Numba, Python remembers it as unhandled, and
        # would end by the signal in spite of the exit code. The next exec() of text forgets that.
        exec("")
        print(f"{name}: interrupted", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:  # `convcore weights | head -1`
        drop_output()
        return BROKEN
    except (ConvcoreError, OSError, FloatingPointError) as error:
        print(f"{name}: error: {message_of(error)}", file=sys.stderr)
        code = FAILED
    except MemoryError as error:
        print(f"{name}: error: the memory does not suffice: {message_of(error)}", file=sys.stderr)
        code = FAILED
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        kind = type(error).__name__
        print(f"{name}: error: {kind}: {message_of(error)} (`python -X dev -m convcore` shows where)", file=sys.stderr)
        code = BROKEN
    with suppress(OSError):
        flush_output()
    return code


def command_line() -> Parser:
    """The parser of all commands. What they need is imported now: Ctrl-C meanwhile is caught."""
    from convcore.cli import augment, classify, explore, features, finetune, show, summary, train, warmup, weights

    parser = Parser(
        prog="convcore",
        description="A from-scratch convolution engine in readable Python.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"convcore {version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for command in (train, finetune, classify, features, weights, summary, show, augment, explore, warmup):
        command.add_parser(commands)
    return parser


def version() -> str:
    """The installed version; a source tree that is not installed has none."""
    try:
        return metadata.version("convcore")
    except metadata.PackageNotFoundError:
        return "(not installed)"

"""The command `convcore`: the subcommands are in `commands/`, and here is what they share.

parser, arguments    the parser, and the types of arguments
networks, pictures   networks by name or file, folders of pictures
runs                 the run folder of a training, resuming, the report after Ctrl-C
drawing, output      pictures and text for any terminal
compiling            the message while kernels are compiled
"""

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
  convcore train --resume              continue an interrupted training
  convcore finetune flowers            train a pretrained network on the classes of a picture folder
  convcore classify cat.jpg            say what is in a picture
  convcore features flowers -o f.npz   compute the features of pictures with a trained network
  convcore weights resnet50            list pretrained weights: their source, and whether they are here
  convcore summary resnet50            list layers, shapes, parameters and receptive fields
  convcore show maps digit_cnn 3.png   draw feature maps, filters, saliency and Grad-CAM
  convcore augment photo.jpg           draw the result of each augmentation of a photograph
  convcore explore                     see in the browser what filters and networks detect
  convcore warmup                      compile the kernels ahead of time

`convcore COMMAND --help` shows a command's options."""

BROKEN, FAILED = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Every error is one line on standard error.

    Returns:
        The exit code: 0 for success; 2 for a wrong request, a wrong file or too little memory; 130 after Ctrl-C; 1 if
        the reader of the output is gone, or for an unexpected error (`python -X dev` shows its traceback).
    """
    name = "convcore"
    try:
        with interrupts.raised(), escaping_output():
            try:
                args = command_line().parse_args(argv)
                name = f"convcore {args.command}"
                code = args.run(args)
            except SystemExit:  # after --help, or an error of argparse
                flush_output()
                raise
            flush_output()
            return code
    except KeyboardInterrupt:
        # If the interrupt passed through an exec() of source text, as in dataclasses or Numba, Python remembers it as
        # unhandled and would end by the signal despite the exit code. The next exec() of source text resets that.
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
    """The parser of all commands. Their imports happen here, where Ctrl-C is caught."""
    from convcore.cli.commands import (
        augment,
        classify,
        explore,
        features,
        finetune,
        show,
        summary,
        train,
        warmup,
        weights,
    )

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
    """The installed version; an uninstalled source tree has none."""
    try:
        return metadata.version("convcore")
    except metadata.PackageNotFoundError:
        return "(not installed)"

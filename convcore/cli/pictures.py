"""The common part of the commands that read folders of pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from convcore.cli.output import printable
from convcore.data import IMG_EXTENSIONS, ImageFolder, read_image
from convcore.data.folders import counted
from convcore.errors import CheckpointError
from convcore.training.finetune import CORRUPT

SHOWN = 5  # an error message names at most this many unreadable pictures


def add_corrupt_option(parser: argparse.ArgumentParser, default: str | None) -> None:
    """`--corrupt`."""
    parser.add_argument(
        "--corrupt", choices=CORRUPT, default=default,
        help="name the pictures that cannot be read, and stop (refuse) or leave them out (skip) (default refuse)",
    )  # fmt: skip


def open_folder(op: str, folder: str | Path, corrupt: str) -> ImageFolder:
    """The readable pictures of a folder with one sub-folder per class.

    Args:
        op: the command's name, the first word of error messages.
        corrupt: "refuse" or "skip" unreadable pictures. Skipped pictures are named on standard error. Files without a
            picture's suffix are counted there.

    Raises:
        CheckpointError: unreadable pictures are refused; the message names them.
        FileNotFoundError: there is no class, or a class without pictures.
    """
    pictures = _Folder(Path(folder).expanduser())
    if pictures.passed_over:
        passed_over = f"passed over in {pictures.root}: {counted(pictures.passed_over)}"
        print(printable(f"{passed_over} (pictures end in {', '.join(IMG_EXTENSIONS)})"), file=sys.stderr)
    found = pictures.find_corrupt()
    _settle(op, found, corrupt)
    pictures.leave_out(found)
    return pictures


class _Folder(ImageFolder):
    """A folder without warnings of its own: `open_folder` reports on standard error."""

    def notice(self, message: str) -> None:
        """Do nothing: `open_folder` has already reported it."""


def readable(op: str, paths: Sequence[Path], corrupt: str) -> list[str]:
    """The paths whose pictures can be read; arguments and errors as for `open_folder`."""
    found = []
    for path in paths:
        try:
            read_image(path, shrink=True)
        except CheckpointError as error:
            found.append((str(path), str(error).removeprefix(f"{path}: ")))
    _settle(op, found, corrupt)
    left_out = {path for path, _ in found}
    return [str(path) for path in paths if str(path) not in left_out]


def _settle(op: str, found: Sequence[tuple[str, str]], corrupt: str) -> None:
    """Refuse unreadable files, given as (path, reason), or name them on standard error."""
    if found and corrupt == "refuse":
        named = "; ".join(f"{path} ({reason})" for path, reason in found[:SHOWN])
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise CheckpointError(
            f"{op}: cannot read {len(found)} of the pictures: {named}{more}; remove them, or use --corrupt skip"
        )
    for path, reason in found:
        print(printable(f"left out: {path}: {reason}"), file=sys.stderr)

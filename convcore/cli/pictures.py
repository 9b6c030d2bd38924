"""What commands that read folders of pictures share."""

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

SHOWN = 5  # of the pictures that cannot be read, in an error


def add_corrupt_option(parser: argparse.ArgumentParser, default: str | None) -> None:
    """`--corrupt`."""
    parser.add_argument(
        "--corrupt", choices=CORRUPT, default=default,
        help="pictures that cannot be read: stop and name them, or leave them out and name them (default refuse)",
    )  # fmt: skip


def open_folder(op: str, folder: str | Path, corrupt: str) -> ImageFolder:
    """The pictures of a folder with a sub-folder for each class, all of which can be read.

    Args:
        op: who asks, for the beginning of errors.
        corrupt: "refuse" or "skip" those that cannot; skipped ones are named on standard error, and files that end
            otherwise than pictures are counted there.

    Raises:
        CheckpointError: pictures that cannot be read are refused; the message names them.
        FileNotFoundError: there is no class, or a class has no picture.
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
    """A folder of which `open_folder` says on standard error what a person should know."""

    def notice(self, message: str) -> None:
        """Nothing: it is said already."""


def readable(op: str, paths: Sequence[Path], corrupt: str) -> list[str]:
    """Those of the paths whose pictures can be read; for the arguments and errors see `open_folder`."""
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
    """Refuse files, (path, reason), or name them on standard error."""
    if found and corrupt == "refuse":
        named = "; ".join(f"{path} ({reason})" for path, reason in found[:SHOWN])
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise CheckpointError(
            f"{op}: cannot read {len(found)} of the pictures: {named}{more}; remove them, or use --corrupt skip"
        )
    for path, reason in found:
        print(printable(f"left out: {path}: {reason}"), file=sys.stderr)

"""The argument types of the commands: wrong values are refused before anything else happens."""

from __future__ import annotations

import argparse
from pathlib import Path

from convcore.errors import UnsupportedError
from convcore.models.pretrained.card import WEIGHTS
from convcore.models.pretrained.weights import TABLES
from convcore.models.registry import known_name
from convcore.training.recipe import READERS

WEIGHTS_HELP = "a file, the folder of a run, or a name as in `convcore weights`"


def shape(text: str) -> tuple[int, ...]:
    """ "1x28x28" as (1, 28, 28)."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 10 and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"a shape is written CxHxW, such as 1x28x28, got {text!r:.60}")
    return tuple(int(part) for part in parts)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, 1, 10**9)


def seed(text: str) -> int:
    """A whole number of at least 0, the seed of random generators."""
    return _whole(text, 0, 2**64 - 1)


def _whole(text: str, least: int, most: int) -> int:
    digits = text if len(text) < 30 else f"{text[:20]}.."
    if not text.isdecimal() or (text.strip("0") == "" and least > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {digits!r}")
    if len(text) > 30 or int(text) > most:
        raise argparse.ArgumentTypeError(f"must be at most {most:,}, got {digits}")
    return int(text)


def path(text: str) -> Path:
    """A file or folder; "~" is the home folder even where the shell does not expand it, as in --out=~/run."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be the name of a file or folder, got {text!r}")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def whole_path(text: str) -> str:
    """The absolute path of a file or folder, so that a resume from another folder finds it."""
    try:
        return str(path(text).resolve())
    except (RuntimeError, OSError) as error:  # circular links, or a name that is too long
        raise argparse.ArgumentTypeError(f"{text!r:.200}: {error!s:.200}") from None


def data(text: str) -> str:
    """Data as `read_data` takes it, with the absolute path of a folder."""
    kind, _, folder = text.partition(":")
    return f"{kind}:{whole_path(folder)}" if kind in READERS and folder else text


def model(text: str) -> str:
    """The name of a network, or a weights file or the folder of a run, as for `weights`."""
    try:
        known_name(text)
    except UnsupportedError:
        return weights(text)
    return text


def weights(text: str) -> str:
    """A name as in `convcore weights`, or the absolute path of an existing file or folder of a run."""
    names = {member for table in TABLES.values() for member in table.__members__}
    if text == "imagenet" or text.rpartition(".")[2] in names:
        return text
    file = path(text)
    if file.is_dir():
        file = file / WEIGHTS
    # Links are not resolved: the name of a published file identifies it.
    return str(file.absolute()) if file.exists() else str(file)

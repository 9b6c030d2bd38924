"""What the commands print: whatever a file is called, and wherever the lines go."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def escaping_output() -> Iterator[None]:
    """In the block, characters that standard output cannot encode are escaped: file names may hold any bytes."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):  # a notebook's, or none at all
        yield
        return
    before = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=before)


def flush_output() -> None:
    """Write out what was printed.

    Raises:
        OSError: it cannot be written, for the disk is full or the reader has gone; what is left is dropped.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        drop_output()
        raise


def drop_output() -> None:
    """Send what is still to be printed nowhere: Python would try once more at its end, and complain."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def printable(text: str) -> str:
    """The text on one line, with the characters escaped that would break it or drive the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def message_of(error: BaseException) -> str:
    """What an error says, in one line: the rule that was broken, without the table of shapes that may follow it."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    rule, *rest = text.split("\n")
    for line in rest:  # a table's lines are set in; others belong to a name with a line break in it
        if line.startswith("  "):
            break
        rule += "\n" + line
    return printable(rule)

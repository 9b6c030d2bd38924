"""The output of the commands, for any file name and any output stream."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def escaping_output() -> Iterator[None]:
    """Inside the block, characters that standard output cannot encode are escaped: file names may hold any bytes."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):  # a notebook's stream, or none
        yield
        return
    before = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=before)


def flush_output() -> None:
    """Flush standard output.

    Raises:
        OSError: the disk is full, or the reader is gone; the remaining output is dropped.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        drop_output()
        raise


def drop_output() -> None:
    """Discard the remaining output: at exit, Python would try to write it again and print an error."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def printable(text: str) -> str:
    """The text on one line; line breaks and control characters are escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def message_of(error: BaseException) -> str:
    """The message of an error in one line: the violated rule, without the table of shapes that may follow."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    rule, *rest = text.split("\n")
    for line in rest:  # lines of a table are indented; others belong to a name that contains a line break
        if line.startswith("  "):
            break
        rule += "\n" + line
    return printable(rule)

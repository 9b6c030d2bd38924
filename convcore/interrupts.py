"""Ctrl-C outside the reach of the command `convcore`: while Python imports it, and while Python exits.

Python would print the traceback of the interrupted import.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # the exit code after Ctrl-C, as in all shells


def is_command() -> bool:
    """Whether this process is the command `convcore`, or `python -m convcore`."""
    if not getattr(sys, "argv", []):
        return False
    if sys.argv[0] == "-m":  # while Python looks for the module; only the whole command line has the module's name
        return sys.orig_argv[-len(sys.argv)] in ("convcore", "-mconvcore")
    return os.path.splitext(os.path.basename(sys.argv[0]))[0] in ("convcore", "convcore-script")


def end_in_one_line() -> None:
    """From now on Ctrl-C ends the command with one line, unless the parent process set Ctrl-C to be ignored."""
    if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def raised() -> Iterator[None]:
    """Inside the block, Ctrl-C raises KeyboardInterrupt as usual."""
    before = signal.getsignal(signal.SIGINT)
    if before is not _end:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, b"convcore: interrupted\n")
    os._exit(INTERRUPTED)


end_in_one_line()  # at import: the slow imports, which may be interrupted, come next

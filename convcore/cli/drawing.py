"""Pictures that commands draw with matplotlib. A failed picture never fails the run; missing letters are reported."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convcore.cli.output import message_of, printable

NO_FONT = "some letters are drawn as boxes: no font of matplotlib has them"


def drawn(file: Path, draw: Callable[[Path], object]) -> str:
    """Draw a picture; return its path, or the reason why there is none."""
    try:
        with missing_letters() as missing:
            draw(file)
    except ImportError:
        return "not drawn: matplotlib is missing (python -m pip install matplotlib)"
    except Exception as error:
        return f"not drawn: {type(error).__name__}: {message_of(error)}"
    return printable(str(file)) + (f" ({NO_FONT})" if missing else "")


@contextmanager
def missing_letters() -> Iterator[list[str]]:
    """Collect matplotlib's warnings about letters missing in its fonts, instead of printing them."""
    missing: list[str] = []
    show = warnings.showwarning

    def note(message: Any, *details: Any) -> None:
        if str(message).startswith("Glyph "):
            missing.append(str(message))
        else:
            show(message, *details)

    warnings.showwarning = note
    try:
        yield missing
    finally:
        warnings.showwarning = show


def say_missing(missing: list[str]) -> None:
    """Print on standard error that letters are missing, if there are any."""
    if missing:
        print(f"note: {NO_FONT}", file=sys.stderr)

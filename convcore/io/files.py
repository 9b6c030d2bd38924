"""Opening checkpoint files with errors that name them, and replacing them in one step."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import IO, Any

from convcore.errors import CheckpointError

Path = str | os.PathLike[str]


@contextmanager
def opened(op: str, path: Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """A binary file to read from, opened by name or given open; errors inside the block get its name.

    Raises:
        CheckpointError: the file is missing, cannot be read, or the block raised this error.
    """
    given: Any = path
    is_open = hasattr(path, "read")
    name = getattr(path, "name", type(path).__name__) if is_open else os.fspath(given)
    try:
        with nullcontext(given) if is_open else open(name, "rb") as file:
            yield file
    except FileNotFoundError:
        raise CheckpointError(f"{op}: {name}: there is no such file") from None
    except OSError as error:
        reason = "it is a folder, not a file" if os.path.isdir(name) else error
        raise CheckpointError(f"{op}: {name}: cannot be read: {reason}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{op}: {name}: {error}") from None


def bytes_left(file: IO[bytes]) -> int:
    """How many bytes follow the file's position."""
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here


def replace_file(op: str, path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Let `write` fill a new file beside `path`, down to the disk, and give it that name.

    The system renames at once: a crash leaves the old file as it was, never half of a new one.

    Raises:
        CheckpointError: the file cannot be written; an older one of this name is still there, unchanged.
    """
    path = os.path.realpath(path)
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(f"{op}: {path}: cannot be written: {error}") from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)

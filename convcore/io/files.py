"""Opening checkpoint files with errors that name them, and replacing them atomically."""

from __future__ import annotations

import io
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, Any

from convcore.errors import CheckpointError, DTypeError

if sys.platform == "win32":  # Windows does not remove open files, so no lock is needed

    def _hold(file: IO[bytes]) -> None:
        pass

    def _remove_unless_held(path: str) -> None:
        os.remove(path)

else:
    import fcntl

    def _hold(file: IO[bytes]) -> None:
        """Lock a file; the operating system releases the lock when the process ends, even by a crash."""
        with suppress(OSError):  # some network drives have no locks
            fcntl.flock(file, fcntl.LOCK_EX)

    def _remove_unless_held(path: str) -> None:
        """Remove a file unless a process has locked it, which raises OSError."""
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.remove(path)


Path = str | os.PathLike[str]


@contextmanager
def opened(op: str, path: Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """A binary file to read from, given by name or already open; errors inside the block get the file's name.

    Raises:
        CheckpointError: the file is missing or cannot be read, or the block raised this error.
    """
    given: Any = path
    is_open = hasattr(path, "read") and not isinstance(path, io.TextIOBase)
    name = getattr(path, "name", type(path).__name__) if is_open else file_name(op, path)
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


def file_name(op: str, path: Any) -> str:
    """The path as a string.

    Raises:
        DTypeError: it is not a path.
        CheckpointError: no file can have this name.
    """
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(name, str):
        raise DTypeError(f"{op}: needs a path, or a file open in binary mode, got {type(path).__name__}")
    if "\0" in name:
        raise CheckpointError(f"{op}: {name!r}: no file's name has a zero byte in it")
    return name


def bytes_left(file: IO[bytes]) -> int:
    """The number of bytes after the file's position."""
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here


def replace_file(op: str, path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Let `write` write a temporary file beside `path`, flush it to disk, and rename it to `path`.

    The rename is atomic: a crash leaves the old file unchanged, never half of a new one. The temporary file of a killed
    process is removed by the next call for the same name. If `path` is a symbolic link, its target is replaced; the
    permissions of the old file are kept.

    Raises:
        CheckpointError: the file cannot be written, and the old file is unchanged; or `path` is a folder, a device, a
            pipe or a socket.
    """
    name = file_name(op, path)
    try:
        mode = _replaceable(name)
        name = os.path.realpath(name)
        _remove_leftovers(name)
        _write_beside(name, mode, write)
    except OSError as error:
        raise CheckpointError(f"{op}: {name}: cannot be written: {error}") from error


def _replaceable(name: str) -> int | None:
    """The permissions of an existing file, or None if there is none.

    Raises:
        OSError: this is not a regular file, or it is write-protected.
    """
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError("it is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        kind = "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
        raise OSError(f"it is a {kind}, not a file; open it, and pass what open() returns")
    if not os.access(name, os.W_OK):
        raise PermissionError("it is write-protected")
    return stat.S_IMODE(mode)


def _write_beside(name: str, mode: int | None, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a temporary file in the same folder, locked until it is renamed."""
    with _temporary(name) as file:
        temporary = file.name
        try:
            write(file)
            if mode is not None and sys.platform != "win32":
                os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()
            os.replace(temporary, name)
        finally:
            if os.path.exists(temporary):
                file.close()
                os.remove(temporary)
    with suppress(OSError):  # flushes the rename to disk, which not every file system supports
        folder = os.open(os.path.dirname(name), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _temporary(name: str) -> Iterator[IO[bytes]]:
    """A new file beside `name`, open and locked."""
    is_held = False
    while not is_held:
        with open(f"{_stem(name)}.{secrets.token_hex(4)}.tmp", "xb") as file:
            _hold(file)
            is_held = os.fstat(file.fileno()).st_nlink > 0  # another call may have removed it before it was locked
            if is_held:
                yield file


def _remove_leftovers(name: str) -> None:
    """Remove unlocked temporary files for this name."""
    folder, start = os.path.split(_stem(name))
    pattern = re.compile(re.escape(start) + r"\.[0-9a-f]{8}\.tmp")
    with os.scandir(folder) as entries:
        found = [
            entry.path for entry in entries if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
        ]
    for path in found:
        with suppress(OSError):
            _remove_unless_held(path)


def _stem(name: str) -> str:
    """The beginning of the names of temporary files, shortened to stay within the system's limit."""
    folder, base = os.path.split(name)
    return os.path.join(folder, base[:60])

"""One run at a time in a folder: a lock that the system releases when the process ends, even after a crash."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from convcore.errors import BusyError

LOCK = "run.lock"
_FAR = 2**30  # Windows locks this byte: locked bytes cannot be read, and the text of the file must be readable

_holders: dict[str, int] = {}  # path of the lock -> the thread of this process that holds it

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        """Whether the lock could be had."""
        file.seek(_FAR)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        """Whether the lock could be had."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:  # some network drives have no locks; training without a lock is better than none
            warnings.warn(
                f"{file.name}: {error.strerror}: nothing keeps a second run out of this folder", RuntimeWarning, 4
            )
        return True


@contextmanager
def only_run(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other runs out of an existing folder; the thread that holds the lock may enter again.

    Raises:
        BusyError: another run uses the folder; the message names the process.
        OSError: the folder is not writable.
    """
    path = os.path.join(os.path.realpath(folder), LOCK)
    if _holders.get(path) == threading.get_ident():
        yield
        return
    file = _taken(path)
    try:
        _holders[path] = threading.get_ident()
        yield
    finally:
        _holders.pop(path, None)
        _give_back(file, path)


def _taken(path: str) -> IO[bytes]:
    """The locked lock file, which contains one line about this process."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            if not _lock(file):
                raise BusyError(
                    f"{os.path.dirname(path)}: another run uses this folder ({_holder(file)}); wait until it has "
                    "ended, or take another folder"
                )
            # Between opening and locking, the last holder may have removed the file; then this lock excludes nobody.
            if os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                file.truncate(0)
                file.write(_about_this_process().encode("utf-8", "backslashreplace"))
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _give_back(file: IO[bytes], path: str) -> None:
    if sys.platform == "win32":  # Windows cannot remove an open file
        file.close()
    with suppress(OSError):
        os.remove(path)
    file.close()


def _about_this_process() -> str:
    command = " ".join(shlex.join(sys.argv).split())
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"process {os.getpid()} on {socket.gethostname()}, since {started}: {command:.200}"


def _holder(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(1000).decode("utf-8", "replace").strip() or "it has just begun"

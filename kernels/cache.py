"""Compiled kernels on disk: found again by the next process, rebuilt whenever anything about them changed.

Numba's own cache looks only at the file in which a function stands, so an edit in a helper from another
file would leave a stale kernel behind. Here the folder's name carries a digest of all of `kernels/`, and
each compiled function is one file named by everything it depends on. A file that cannot be read, is cut
short or was written by two processes at once costs a rebuild, never a wrong kernel and never a crash.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import shutil
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import llvmlite
import numba
from numba.core import compiler, config, serialize
from numba.core.caching import _Cache
from numba.misc.appdirs import AppDirs

STALE_AFTER_DAYS = 30

# Called once per process, just before the first kernel is compiled rather than loaded.
on_first_compile: Callable[[Path], None] | None = None
_announced = False


@functools.cache
def source_digest() -> str:
    """Digest of every source file below `kernels/` and of the compilers' versions."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def cache_directory() -> Path:
    """The folder of compiled kernels, made on first use.

    `NUMBA_CACHE_DIR` wins; then the user's cache folder; then, where neither can be written (no home, a
    read-only system), a private folder below the temporary one.
    """
    name = f"kernels-{source_digest()}"
    bases = [config.CACHE_DIR] if config.CACHE_DIR else []
    bases.append(AppDirs(appname="convcore", appauthor=False).user_cache_dir)
    for base in bases:
        directory = Path(base) / name
        if _make_writable(directory):
            _remove_stale_siblings(directory)
            return directory
    return _private_temporary_directory(name)


def _make_writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    return True


def _private_temporary_directory(name: str) -> Path:
    """A folder that no other user could have prepared: its files are unpickled, so that matters."""
    user = getattr(os, "getuid", lambda: "user")()
    base = Path(tempfile.gettempdir()) / f"convcore-{user}"
    with contextlib.suppress(OSError):
        base.mkdir(mode=0o700, exist_ok=True)
        status = base.lstat()
        owned = not hasattr(os, "getuid") or status.st_uid == os.getuid()
        if stat.S_ISDIR(status.st_mode) and owned and not status.st_mode & 0o077:
            directory = base / name
            if _make_writable(directory):
                return directory
    return Path(tempfile.mkdtemp(prefix="convcore-"))


def _remove_stale_siblings(directory: Path) -> None:
    """Delete the kernels of versions that nobody has compiled for `STALE_AFTER_DAYS` days."""
    oldest = time.time() - STALE_AFTER_DAYS * 86400
    for sibling in directory.parent.glob("kernels-*"):
        with contextlib.suppress(OSError):
            if sibling != directory and sibling.stat().st_mtime < oldest:
                shutil.rmtree(sibling, ignore_errors=True)


class KernelCache(_Cache):
    """The cache of one function, in the form that a Numba dispatcher expects."""

    def __init__(self, name: str, variant: str):
        self._name = f"{name}-{variant}"
        self._enabled = True

    @property
    def cache_path(self) -> str:
        return str(cache_directory())

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        for path in cache_directory().glob(f"{self._name}-*.bin"):
            path.unlink(missing_ok=True)

    def load_overload(self, sig, target_context):
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        # Whatever a damaged file makes pickle or LLVM raise, the answer is the same: compile again.
        with contextlib.suppress(Exception):
            if self._enabled:
                content = path.read_bytes()
                digest, payload = content[:32], content[32:]
                if hashlib.sha256(payload).digest() == digest:
                    return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
        _announce_compile()
        return None

    def save_overload(self, sig, data) -> None:
        if not self._enabled or data.library.has_dynamic_globals or data.lifted:
            return
        payload = serialize.dumps(data._reduce())
        path = self._path(sig, data.codegen)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
        # A full disk or a folder deleted under us must not stop the computation: the kernel is in memory.
        try:
            temporary.write_bytes(hashlib.sha256(payload).digest() + payload)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _path(self, sig, codegen) -> Path:
        """One file per signature and target: two processes can never give one name to two kernels."""
        key = hashlib.sha256(repr((str(sig), codegen.magic_tuple())).encode()).hexdigest()[:20]
        return cache_directory() / f"{self._name}-{key}.bin"


def _announce_compile() -> None:
    global _announced
    if not _announced:
        _announced = True
        if on_first_compile is not None:
            on_first_compile(cache_directory())

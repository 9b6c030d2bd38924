"""Compiled kernels on disk: found again by the next process, rebuilt whenever anything about them changed.

Numba's own cache looks only at the file that defines a function, so an edit in a helper from another
file would leave a stale kernel behind. Here the folder's name carries a digest of all of `kernels/`, and
each compiled function is one file named by everything it depends on. A file that cannot be read, is cut
short or was written by two processes at once costs a rebuild, never a wrong kernel and never a crash.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import llvmlite
import numba
import numpy as np
from numba.core import compiler, config, serialize
from numba.core.caching import _Cache
from numba.core.registry import cpu_target
from numba.misc.appdirs import AppDirs

numba_config: Any = config  # its settings are made at run time, where type checkers do not see them

STALE_AFTER_DAYS = 30

# How to provide each function that kernels call by name: load or compile it, and tell LLVM where it is. Later calls of
# one do nothing.
providers: dict[str, Callable[[], None]] = {}

# Called once per process, just before the first kernel is compiled rather than loaded, with the folder that will
# keep it; None where no folder can.
on_first_compile: Callable[[Path | None], None] | None = None
_announced = False

_ROOT = Path(__file__).resolve().parent

# Numba's settings (NUMBA_OPT, NUMBA_BOUNDSCHECK, ...) that change the code it makes. CPU_NAME, CPU_FEATURES and
# ENABLE_AVX do too; those reach the key through the code generator's own description of its target.
CODE_SETTINGS = (
    "OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "EXTEND_VARIABLE_LIFETIMES", "LOOP_VECTORIZE", "SLP_VECTORIZE",
    "LLVM_REFPRUNE_PASS", "LLVM_REFPRUNE_FLAGS", "PARFOR_MAX_TUPLE_SIZE", "USING_SVML", "DEBUG_ARRAY_OPT_RUNTIME",
    "DEBUG_NRT",
)  # fmt: skip


def _source_digest() -> str:
    """Digest of every source file below `kernels/`, but those for GPUs, and of the compilers' versions."""
    versions = f"{numba.__version__} {llvmlite.__version__} {np.__version__} {sys.version}"
    digest = hashlib.sha256(versions.encode())
    for path in sorted(_ROOT.rglob("*.py")):
        if "cuda" in path.relative_to(_ROOT).parts:
            continue  # no kernel for the CPU is made of these
        digest.update(path.relative_to(_ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# Read at import, as the kernels are: a file edited later must not lend its digest to code from before the edit.
SOURCE_DIGEST = _source_digest()


@functools.cache
def cache_directory() -> Path | None:
    """The folder of compiled kernels, made on first use; None where no place can be written.

    `NUMBA_CACHE_DIR` wins; then the user's cache folder; then, where neither can be written (no home, a
    read-only system), a private folder below the temporary one.
    """
    name = f"convcore-kernels-{SOURCE_DIGEST}"
    bases = [Path(numba_config.CACHE_DIR)] if numba_config.CACHE_DIR else []
    user_cache = Path(AppDirs(appname="convcore", appauthor=False).user_cache_dir)
    if user_cache.is_absolute():  # "~" stays as it is for a user without a home
        bases.append(user_cache)
    for base in bases:
        directory = base / name
        if _make_writable(directory):
            _remove_stale_siblings(directory)
            return directory
    base = _private_temporary_directory()
    return base / name if base is not None and _make_writable(base / name) else None


def _make_writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
        os.utime(directory)  # the time of its last use, for _remove_stale_siblings
    except OSError:
        return False
    return True


def _private_temporary_directory() -> Path | None:
    """A folder that no other user could have prepared: its files are unpickled, so that matters."""
    user = getattr(os, "getuid", lambda: "user")()
    with contextlib.suppress(OSError):
        base = Path(tempfile.gettempdir()) / f"convcore-{user}"
        base.mkdir(mode=0o700, exist_ok=True)
        status = base.lstat()
        owned = not hasattr(os, "getuid") or (status.st_uid == user and not status.st_mode & 0o077)
        if stat.S_ISDIR(status.st_mode) and owned:
            return base
    return None


def _remove_stale_siblings(directory: Path) -> None:
    """Delete the kernels of versions that no process has used for `STALE_AFTER_DAYS` days."""
    oldest = time.time() - STALE_AFTER_DAYS * 86400
    for sibling in directory.parent.glob("convcore-kernels-*"):
        with contextlib.suppress(OSError):
            ours = re.fullmatch(r"convcore-kernels-[0-9a-f]{16}", sibling.name)
            if ours and sibling != directory and sibling.stat().st_mtime < oldest:
                shutil.rmtree(sibling, ignore_errors=True)


class KernelCache(_Cache):
    """The cache of one function, in the form that a Numba dispatcher expects.

    Only what the digest covers is kept: functions at the top level of a module below `kernels/`. A second function
    of the same name comes from a reloaded, perhaps edited module; like all others it is compiled anew.
    """

    _known_names: ClassVar[set[str]] = set()

    def __init__(self, body: Callable, variant: str):
        self._module = body.__module__
        self._name = f"{body.__module__}.{body.__qualname__}-{variant}"
        covered = _ROOT in Path(body.__code__.co_filename).resolve().parents and "<locals>" not in self._name
        self._enabled = covered and self._name not in self._known_names
        self._known_names.add(self._name)

    @property
    def cache_path(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return str(cache_directory())

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        directory = cache_directory()
        if directory is not None:
            for path in directory.glob(f"{self._name}-*.bin"):
                path.unlink(missing_ok=True)

    def load_overload(self, sig, target_context):  # pyright: ignore[reportIncompatibleMethodOverride]
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        # Whatever a damaged file makes LLVM raise, the answer is the same: compile again.
        with contextlib.suppress(Exception):
            stored = read_entry(path)
            if stored is not None:
                names, compiled = stored
                provide(names)
                return compiler.CompileResult._rebuild(target_context, *compiled)
        announce_compile()
        return None

    def save_overload(self, sig, data) -> None:
        path = self._path(sig, data.codegen)
        if path is None or data.library.has_dynamic_globals or data.lifted:
            return
        write_entry(path, (data.library.names, data._reduce()))

    def has(self, signature: tuple[Any, ...]) -> bool:
        """Whether the folder has a file for arguments of these types."""
        target: Any = cpu_target.target_context  # not at import: kernels/jit.py names the CPU's features first
        path = self._path(signature, target.codegen())
        return path is not None and path.exists()

    def _path(self, sig, codegen) -> Path | None:
        return entry_path(self._name, str(sig), codegen) if self._enabled else None


def provide(names: Iterable[str]) -> None:
    """Provide those of the names that are functions of ours."""
    for name in names:
        if name in providers:
            providers[name]()


def entry_path(name: str, signature: str, codegen: Any) -> Path | None:
    """One file per signature, target and settings: two processes can never give one name to two kernels."""
    directory = cache_directory()
    if directory is None:
        return None
    key = repr((signature, codegen.magic_tuple(), code_settings()))
    return directory / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.bin"


def read_entry(path: Path | None) -> Any:
    """What `write_entry` wrote; None where there is no such file, or it is damaged."""
    with contextlib.suppress(Exception):
        if path is not None:
            content = path.read_bytes()
            digest, payload = content[:32], content[32:]
            if hashlib.sha256(payload).digest() == digest:
                return pickle.loads(payload)
    return None


def write_entry(path: Path, entry: Any) -> None:
    """Write a file at once, with a digest of itself."""
    payload = serialize.dumps(entry)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    # A full disk or a folder deleted under us must not stop the computation: the kernel is in memory.
    try:
        temporary.write_bytes(hashlib.sha256(payload).digest() + payload)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def code_settings() -> str:
    """The values of `CODE_SETTINGS` in this process, as one line."""
    values = [f"{name}={getattr(numba_config, name)!r}" for name in CODE_SETTINGS]
    return " ".join([*values, f"OPT_MAX={numba_config.OPT.is_opt_max}"])


def announce_compile() -> None:
    """Call `on_first_compile`, once per process."""
    global _announced
    if not _announced:
        _announced = True
        if on_first_compile is not None:
            on_first_compile(cache_directory())

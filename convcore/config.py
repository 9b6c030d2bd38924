"""Checks before the first kernel is imported; `import convcore` imports this module before all others.

Settings are environment variables:

    CONVCORE_QUIET=1          no message on stderr when kernels are compiled
    NUMBA_CACHE_DIR=folder    the cache of compiled kernels (default: the user's cache folder)
    NUMBA_NUM_THREADS=n       the most threads that kernels use (default: the number of cores)
    NUMBA_CPU_NAME=name       the CPU to compile for (default: this one)
    OMP_WAIT_POLICY=passive   idle threads of the kernels sleep at once, for programs that share the cores with others
"""

import os
import sys
from pathlib import Path


def check_kernels_package() -> None:
    """Refuse a package `kernels` that is not convcore's: another distribution uses the same import name.

    Raises:
        ImportError: another package was found; the message says which, and what to do.
    """
    try:
        import kernels
    except ModuleNotFoundError as error:
        if error.name != "kernels":
            raise
        raise ImportError("convcore: its package `kernels` is not installed; install convcore again") from None
    if getattr(kernels, "BELONGS_TO", None) == "convcore":
        return
    package = Path(next(iter(kernels.__path__)) if hasattr(kernels, "__path__") else str(kernels.__file__))
    found = kernels.__file__ or package
    # The first entry of the path is the folder of the running script, or the current folder ("").
    if package.resolve().parent in (Path.cwd(), Path(sys.path[0]).resolve()):
        raise ImportError(
            f"convcore needs its own package `kernels`, but `import kernels` found {found}, in the folder that you run "
            f"from; rename {package.name} there or run from another folder"
        )
    raise ImportError(
        f"convcore needs its own package `kernels`, but `import kernels` found {found}, which belongs to something "
        "else; use convcore in a virtual environment of its own, or run `python -m pip uninstall kernels` and install "
        "convcore again"
    )


def announce_compile(directory: Path | None) -> None:
    """Print to stderr that kernels are being compiled; `kernels.cache` calls this before the first one."""
    if os.environ.get("CONVCORE_QUIET", "0") not in ("", "0"):
        return
    if directory is None:
        kept = "no folder can be written to keep them: set NUMBA_CACHE_DIR to one"
    else:
        kept = "once per machine; `convcore warmup` does it ahead"
    print(
        f"convcore: compiling kernels for this CPU, about half a minute a network ({kept})", file=sys.stderr, flush=True
    )


def _install_announcement() -> None:
    from kernels import cache  # not at the top: after the check

    cache.on_first_compile = announce_compile


check_kernels_package()
_install_announcement()

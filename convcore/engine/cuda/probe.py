"""Is there a GPU that convcore can use, and if not, why? The answer is a reason with its fix, whatever is broken."""

from __future__ import annotations

from typing import Any

from convcore.errors import DeviceError

INSTALL = 'install what it needs with: pip install "convcore[cuda]"'
UPDATE = 'update NVIDIA\'s driver, or install the compiler of the older CUDA with: pip install "numba-cuda[cu12]"'

_answer: tuple[Any, str] | None = None  # the driver and no reason, or None and why


def probe() -> tuple[Any, str]:
    """The driver (`kernels.cuda.driver.Driver`) and "", or None and the reason why there is none; asks once."""
    global _answer
    if _answer is None:
        _answer = _ask()
    return _answer


def driver() -> Any:
    """The driver.

    Raises:
        DeviceError: no GPU is usable; says why, and what to do.
    """
    found, reason = probe()
    if found is None:
        raise DeviceError(f'device "cuda" cannot be used: {reason}. Or compute on the CPU: device "cpu", or "auto"')
    return found


def _ask() -> tuple[Any, str]:
    # Broken installations raise all kinds of errors, from ImportError to those of the loader: none may come through.
    try:
        from kernels.cuda.driver import Driver
        from kernels.cuda.jit import cuda
    except Exception as error:
        return None, f"numba.cuda cannot be imported ({_line(error)}); {INSTALL}"
    try:
        if not cuda.is_available():
            error = cuda.cuda_error()
            if error is None:
                return None, f"CUDA's compiler or its libraries are missing; {INSTALL}"
            return None, f"{_line(error)}; a GPU needs NVIDIA's driver"
        found = Driver()
        if found.count() == 0:
            return None, "there is NVIDIA's driver, but no GPU"
        speaks, compiled_for = found.versions()
    except Exception as error:
        return None, f"NVIDIA's driver does not work ({_line(error)}); reinstall it"
    if speaks[0] < compiled_for[0]:
        versions = [".".join(map(str, version)) for version in (speaks, compiled_for)]
        return None, f"NVIDIA's driver is too old: it speaks CUDA {versions[0]}, kernels need {versions[1]}; {UPDATE}"
    return found, ""


def _line(error: Any) -> str:
    """The first line of an error's message, or its type."""
    lines = str(error).strip().splitlines()
    text = lines[0].rstrip(".") if lines else "no message"
    return f"{type(error).__name__}: {text}" if isinstance(error, BaseException) else text

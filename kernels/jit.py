"""The only place that calls Numba's compiler: its flags, its cache and its threads, the same for every kernel.

`@kernel` marks an entry point, called from Python; its outer loop is a `prange`. `@inline` marks a function
that kernels call. Nothing is compiled at import: a kernel compiles, or loads from disk, at its first call.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from threading import get_ident
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import extending, prange
from numba.core.registry import cpu_target

from kernels import threads
from kernels.cache import KernelCache, numba_config
from kernels.entry_points import EntryPointCompiler, Inline

__all__ = [
    "CACHE_LINE_BYTES",
    "FAST_MATH",
    "Kernel",
    "compiler_target",
    "inline",
    "intrinsic",
    "kernel",
    "kernel_named",
    "kernels",
    "overload",
    "prange",
    "watched",
]

# A function that is called without its first parameter, the typing context: no static checker knows that.
intrinsic: Any = extending.intrinsic

# Functions inside of kernels do not count references to their arrays, which the kernel holds: counting is two atomic
# instructions a call and array, and spills of all vectors around them. LLVM removes them only where nothing branches:
# an Adam step of 64 K values took five times as long with them. So such functions must not make or return arrays.
UNCOUNTED: Any = {"_nrt": False}

# A function with a body for each type of its arguments, chosen when a kernel is compiled.
overload: Any = functools.partial(extending.overload, jit_options=UNCOUNTED)

# What textbook algebra allows (reordering sums, fusing a*b + c), and never `nnan` or `ninf`: with those LLVM may
# assume that NaN and infinity do not occur, and they would no longer travel through a network as in PyTorch.
FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

# Only explicit `prange` loops run in parallel. Numba's other transformations would rewrite array expressions,
# which kernels do not use, and cost compile time.
PARALLEL = {
    "prange": True,
    "comprehension": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "numpy": False,
    "stencil": False,
    "fusion": False,
}

if numba_config.DISABLE_JIT:
    raise ImportError(
        "convcore cannot run with NUMBA_DISABLE_JIT=1: its kernels use instructions of the CPU that plain Python does "
        "not have. Unset the variable; kernels/reference/ holds every operation in plain Python."
    )

# To a CPU name without features Numba adds all features of the host: with NUMBA_CPU_NAME=haswell it would still emit
# AVX-512 on a machine that has it. Naming only what every x86-64 CPU has leaves the rest to the name.
if numba_config.CPU_NAME is not None and numba_config.CPU_FEATURES is None:
    numba_config.CPU_FEATURES = (
        "+64bit,+cmov,+cx8,+fxsr,+sse2" if llvm.get_process_triple().startswith("x86_64") else ""
    )

kernels: "list[Kernel]" = []


# Arrays that kernels allocate are aligned to a cache line; Numba aligns them to half of one. Else every second vector
# of 64 bytes crosses a line, and the micro-kernel, for example, loses a twelfth of its speed.
CACHE_LINE_BYTES = 64
_context: Any = cpu_target.target_context
_context.get_preferred_array_alignment = lambda dtype: CACHE_LINE_BYTES


def compiler_target() -> tuple[str, str, str]:
    """What Numba compiles for: LLVM's triple, the CPU's name, and features to add or take away, as "+avx2,-avx"."""
    return _context.codegen().magic_tuple()


def _compile_options(parallel: bool) -> dict[str, Any]:
    return {
        "nogil": True,
        "fastmath": FAST_MATH,
        "error_model": "numpy",
        "parallel": PARALLEL if parallel else False,
        "no_cfunc_wrapper": True,  # nobody calls them through a C pointer
    }


_watchers: dict[int, Callable[["Kernel", tuple[Any, ...]], None]] = {}  # by thread


def _no_watcher(kernel: "Kernel", args: tuple[Any, ...]) -> None:
    """Of a thread that nobody watches."""


@contextlib.contextmanager
def watched(watcher: Callable[["Kernel", tuple[Any, ...]], None]) -> Iterator[None]:
    """Have `watcher(kernel, args)` called before each kernel that this thread calls."""
    thread = get_ident()
    _watchers[thread] = watcher
    try:
        yield
    finally:
        del _watchers[thread]


class Kernel:
    """A compiled entry point, built twice from one body: `parallel`, and `serial` for forked children."""

    def __init__(self, body: Callable[..., None]):
        self.body = body
        self.__name__ = body.__name__
        self.__doc__ = body.__doc__
        self.__module__ = body.__module__
        self.__wrapped__ = body
        self.parallel: Any = numba.njit(body, pipeline_class=EntryPointCompiler, **_compile_options(parallel=True))
        self.serial: Any = numba.njit(body, pipeline_class=EntryPointCompiler, **_compile_options(parallel=False))
        # A dispatcher without `cache=True` carries a null cache; this puts ours in its place.
        self.parallel._cache = KernelCache(body, "parallel")
        self.serial._cache = KernelCache(body, "serial")
        kernels.append(self)

    def __call__(self, *args) -> None:
        # Small networks are all overhead, so the usual case costs three look-ups.
        if _watchers:
            _watchers.get(get_ident(), _no_watcher)(self, args)
        if threads.free_entry:
            self.parallel(*args)
        elif threads.run_serially():
            self.serial(*args)
        else:
            with threads.entry():
                self.parallel(*args)

    def __repr__(self) -> str:
        return f"<kernel {self.__module__}.{self.__name__}>"


def kernel(body: Callable[..., None]) -> Kernel:
    """Mark a function as a kernel's entry point: arrays and integers in, results written into given arrays."""
    return Kernel(body)


def kernel_named(name: str) -> Callable[[Callable[..., None]], Kernel]:
    """`kernel` for a body that is defined inside a function and made anew, from other functions, at each call of it.

    `name` distinguishes the results, in the cache, too. All functions that the body calls must be in `kernels/`.
    """

    def mark(body: Callable[..., None]) -> Kernel:
        body.__name__ = body.__qualname__ = name
        return Kernel(body)

    return mark


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that kernels call: compiled into each of them, never cached on its own.

    It may neither make nor return arrays; see `UNCOUNTED`.
    """
    options = {
        "nopython": True,
        "boundscheck": None,
        "no_cpython_wrapper": True,
        **UNCOUNTED,
        **_compile_options(parallel=False),
    }
    return Inline(function, targetoptions=options)

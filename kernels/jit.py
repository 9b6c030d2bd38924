"""The only place that calls Numba's compiler: its flags and its cache, the same for every kernel.

`@inline` marks a function that kernels call; `kernels.launch` makes kernels of what one chunk does. Nothing is compiled
at import: a kernel compiles, or loads from disk, at its first launch.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import extending, types
from numba.core.registry import cpu_target

from kernels.cache import KernelCache, numba_config
from kernels.entry_points import EntryPointCompiler, Inline

__all__ = [
    "CACHE_LINE_BYTES",
    "FAST_MATH",
    "CFunction",
    "chunk_function",
    "compiler_target",
    "entry_point",
    "inline",
    "intrinsic",
    "overload",
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

# Arrays that kernels allocate are aligned to a cache line; Numba aligns them to half of one. Else every second vector
# of 64 bytes crosses a line, and the micro-kernel, for example, loses a twelfth of its speed.
CACHE_LINE_BYTES = 64
_context: Any = cpu_target.target_context
_context.get_preferred_array_alignment = lambda dtype: CACHE_LINE_BYTES


def compiler_target() -> tuple[str, str, str]:
    """What Numba compiles for: LLVM's triple, the CPU's name, and features to add or take away, as "+avx2,-avx"."""
    return _context.codegen().magic_tuple()


_njit: Any = numba.njit  # takes more than its types say
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FAST_MATH, "error_model": "numpy"}


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that kernels call: compiled into each of them, never cached on its own.

    It may neither make nor return arrays; see `UNCOUNTED`.
    """
    options = {
        "nopython": True, "boundscheck": None, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **UNCOUNTED,
        **_OPTIONS,
    }  # fmt: skip
    return Inline(function, targetoptions=options)


def chunk_function(body: Callable[..., None]) -> Any:
    """What a kernel does with one chunk: compiled into the kernel's entry point only. It may make arrays."""
    options = {
        "nopython": True, "boundscheck": None, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": True,
        **_OPTIONS,
    }  # fmt: skip
    return Inline(body, targetoptions=options)


def entry_point(function: Callable[..., Any], cache: KernelCache) -> Any:
    """A function that Python calls, and the only machine code that is made of it and of all that it calls."""
    compiled = _njit(function, pipeline_class=EntryPointCompiler, no_cfunc_wrapper=True, **UNCOUNTED, **_OPTIONS)
    compiled._cache = cache  # a dispatcher without `cache=True` carries a null cache
    return compiled


class CFunction:
    """A function with C's calling convention, of integers: compiled once, kept on disk, called by kernels by its name.

    Attributes:
        call: calls it from Python, without the interpreter's lock; after `provide`.
    """

    def __init__(self, name: str, body: Callable[..., None], arguments: int):
        self.name = name
        self.signature = types.void(*[types.int64] * arguments)
        self.compiled = _njit(body, pipeline_class=EntryPointCompiler, no_cpython_wrapper=True, **UNCOUNTED, **_OPTIONS)
        self.compiled._cache = KernelCache(body, "c")
        self.call: Callable[..., None] = self._not_provided

    def _not_provided(self, *arguments: int) -> None:
        raise RuntimeError(f"{self.name} is called before any kernel was")

    def provide(self) -> None:
        """Load or compile it, and make its name known to what is compiled later."""
        self.compiled.compile(self.signature)
        result = self.compiled.overloads[self.signature.args]
        address = result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name)
        llvm.add_symbol(self.name, address)
        self.call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(self.signature.args))(address)

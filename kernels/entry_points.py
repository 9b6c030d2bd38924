"""Machine code for entry points only: what a kernel calls stays LLVM IR until it is a part of the kernel.

Numba treats each function as if Python called it, too: it optimises it, translates it to machine code, then copies the
optimised IR into every caller, where both happens again. The body of a parallel loop is a function, and the loop's
driver another, so an expression in a helper was optimised four times and translated four times. Here only a whole
kernel is: the first training step of the 28x28 CNN compiles 25 kernels out of 125 functions in half the time (97 s
before, 45 s after, on two cores of a Zen 3 server; optimising the parts a little, with LLVM's O1 or with what Numba
calls cheap, took 59 and 54 s).
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

from kernels import cache


class Body(JITCodeLibrary):
    """The IR of a function that kernels call, to be copied into them and never run by itself."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """The null pointer, for there is no machine code."""
        return 0

    @property
    def codegen(self) -> "Body":  # pyright: ignore[reportIncompatibleMethodOverride]
        """What Numba asks to `set_env`, and for nothing else."""
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing: what would hold the function's environment has no address yet, either."""


class WholeKernel(JITCodeLibrary):
    """The machine code of a kernel, and of all that it calls except functions by name.

    Attributes:
        names: the functions that it calls by name; those of ours are provided before the code is linked.
    """

    names: tuple[str, ...] = ()

    def _finalize_final_module(self) -> None:
        declared = [function.name for function in self._final_module.functions if function.is_declaration]
        self.names = tuple(name for name in declared if name in cache.providers)
        with _libraries_of(self.codegen, WholeKernel):
            cache.provide(self.names)
        super()._finalize_final_module()


@contextlib.contextmanager
def _libraries_of(codegen: Any, kind: type[JITCodeLibrary]) -> Iterator[None]:
    """Have Numba make libraries of this class in the block: the instance's attribute comes before that of its class."""
    before = codegen._library_class
    codegen._library_class = kind
    try:
        yield
    finally:
        codegen._library_class = before
        if before is type(codegen)._library_class:
            del codegen._library_class


class EntryPointCompiler(Compiler):
    """Numba's compiler for a kernel, which makes machine code of the kernel only."""

    def compile_extra(self, func: Any) -> Any:
        # The lock keeps the kernels of other threads, and functions that are not ours, out of the meantime.
        with global_compiler_lock:
            codegen = self.state.targetctx.codegen()
            self.state.library = WholeKernel(codegen, func.__qualname__)
            self.state.library.enable_object_caching()
            with _libraries_of(codegen, Body):
                return super().compile_extra(func)


class Inline(CPUDispatcher):
    """A function that kernels call, and Python cannot: it has no machine code of its own."""

    def __call__(self, *args: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise TypeError(
            f"{self.py_func.__qualname__} is a part of kernels and has no machine code of its own: call a kernel that "
            "uses it, or its plain Python by .py_func()"
        )

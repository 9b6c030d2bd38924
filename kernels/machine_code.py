"""Functions written as LLVM IR: compiled once, kept on disk, and called by kernels by their name.

A function that Numba compiles is copied into every kernel that calls it, and is optimised and translated again in
each, up to four times per parallel kernel. As a symbol of the process it is translated once, and a kernel contains
only the call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from kernels import cache


class MachineCode:
    """A module of functions in LLVM IR.

    Args:
        name: the name of its cache file.
        symbols: the functions that kernels may call, named for the whole process.
        build: writes the functions into an empty LLVM module.
    """

    def __init__(self, name: str, symbols: list[str], build: Callable[[ir.Module], None]):
        self.name = name
        self.symbols = symbols
        self.build = build
        self.library: Any = None
        for symbol in symbols:
            cache.providers[symbol] = self.provide

    def provide(self) -> None:
        """Load or compile the functions and make their names known; later calls do nothing."""
        if self.library is None:
            with global_compiler_lock:
                context: Any = cpu_target.target_context
                codegen = context.codegen()
                self.library = self._load(codegen) or self._compile(codegen)
                for symbol in self.symbols:
                    llvm.add_symbol(symbol, self.library.get_pointer_to_function(symbol))

    def _load(self, codegen: Any) -> Any:
        # Whatever a file that is not what it says makes LLVM raise, the answer is the same: compile again.
        with contextlib.suppress(Exception):
            stored = cache.read_entry(cache.entry_path(self.name, "", codegen))
            if stored is not None:
                return codegen.unserialize_library(stored)
        return None

    def _compile(self, codegen: Any) -> Any:
        cache.announce_compile()
        library = codegen.create_library(self.name)
        library.enable_object_caching()
        module = library.create_ir_module(self.name)
        self.build(module)
        library.add_ir_module(module)
        library.finalize()
        path = cache.entry_path(self.name, "", codegen)
        if path is not None:
            cache.write_entry(path, library.serialize_using_object_code())
        return library

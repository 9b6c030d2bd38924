"""Memory that several threads share: words of 64 bits at an address, read and changed as a whole.

`load` and `store` alone order nothing. A `load_acquire` that sees the value of a `store_release` also sees everything
that was written before that store. `fetch_add`, `exchange` and `compare_exchange` do both, and all threads see them in
one order.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types

from kernels.jit import intrinsic

_INT = ir.IntType(64)
_TRIPLE = llvm.get_process_triple()
_IS_X86 = _TRIPLE.startswith(("x86_64", "i686"))


def _pointer(builder, address):
    return builder.inttoptr(address, _INT.as_pointer())


def _load(order: str) -> Any:
    @intrinsic
    def load(typing_context, address):
        def codegen(context, builder, signature, arguments):
            return builder.load_atomic(_pointer(builder, arguments[0]), order, 8, typ=_INT)

        return types.int64(types.int64), codegen

    return load


def _store(order: str) -> Any:
    @intrinsic
    def store(typing_context, address, value):
        def codegen(context, builder, signature, arguments):
            builder.store_atomic(arguments[1], _pointer(builder, arguments[0]), order, 8)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return store


def _change(operation: str) -> Any:
    @intrinsic
    def change(typing_context, address, value):
        def codegen(context, builder, signature, arguments):
            return builder.atomic_rmw(operation, _pointer(builder, arguments[0]), arguments[1], "seq_cst")

        return types.int64(types.int64, types.int64), codegen

    return change


load = _load("monotonic")  # (address): the word there
load_acquire = _load("acquire")  # (address): the word there, with all that its writer wrote before
store = _store("monotonic")  # (address, value): write a word
store_release = _store("release")  # (address, value): write a word, after all that this thread wrote before
fetch_add = _change("add")  # (address, value): add to a word; returns what it was
exchange = _change("xchg")  # (address, value): write a word; returns what it was


@intrinsic
def compare_exchange(typing_context, address, expected, value):
    """Write a word if it is as expected; returns what it was."""

    def codegen(context, builder, signature, arguments):
        address, expected, value = arguments
        result = builder.cmpxchg(_pointer(builder, address), expected, value, "seq_cst", "seq_cst")
        return builder.extract_value(result, 0)

    return types.int64(types.int64, types.int64, types.int64), codegen


@intrinsic
def pause(typing_context):
    """Tell the CPU that this thread waits for another one's store."""

    def codegen(context, builder, signature, arguments):
        if _IS_X86:
            function = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.x86.sse2.pause"), [])
        elif _TRIPLE.startswith(("aarch64", "arm64")):
            function = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            hint = cgutils.get_or_insert_function(builder.module, function, "llvm.aarch64.hint")
            builder.call(hint, [ir.Constant(ir.IntType(32), 1)])  # YIELD
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def store_fence(typing_context):
    """Let streamed stores be seen by other threads before the ordinary stores that follow (`vstream`)."""

    def codegen(context, builder, signature, arguments):
        if _IS_X86:
            fence = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, fence, "llvm.x86.sse.sfence"), [])
        return context.get_dummy_value()

    return types.void(), codegen

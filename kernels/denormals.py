"""Denormals count as zero while kernels run.

Numbers below float's normal range cost up to 100 times the time of others, and they appear by themselves in training
(the tail of a decaying average). Whether they are flushed to zero is a register of each thread: the threads of the team
set it once, the thread that launches sets it before and puts the old value back afterwards.
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types

from kernels.jit import intrinsic

# x86: bit 15 flushes results, bit 6 reads denormal inputs as zero (Intel SDM volume 1, section 10.2.3).
_X86_FLUSH = (1 << 15) | (1 << 6)
# Arm: FPCR bit 24, FZ (Arm Architecture Reference Manual, FPCR).
_ARM_FLUSH = 1 << 24

_TRIPLE = llvm.get_process_triple()
_IS_X86 = _TRIPLE.startswith(("x86_64", "i686"))
_IS_ARM = _TRIPLE.startswith(("aarch64", "arm64"))


def _read_mode(builder):
    if _IS_X86:
        slot = cgutils.alloca_once(builder, ir.IntType(32))
        pointer = builder.bitcast(slot, ir.PointerType())
        signature = ir.FunctionType(ir.VoidType(), [ir.PointerType()])
        builder.call(cgutils.get_or_insert_function(builder.module, signature, "llvm.x86.sse.stmxcsr"), [pointer])
        return builder.zext(builder.load(slot), ir.IntType(64))
    if _IS_ARM:
        signature = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, signature, "llvm.aarch64.get.fpcr"), [])
    return ir.Constant(ir.IntType(64), 0)


def _write_mode(builder, mode) -> None:
    if _IS_X86:
        slot = cgutils.alloca_once(builder, ir.IntType(32))
        builder.store(builder.trunc(mode, ir.IntType(32)), slot)
        pointer = builder.bitcast(slot, ir.PointerType())
        signature = ir.FunctionType(ir.VoidType(), [ir.PointerType()])
        builder.call(cgutils.get_or_insert_function(builder.module, signature, "llvm.x86.sse.ldmxcsr"), [pointer])
    elif _IS_ARM:
        signature = ir.FunctionType(ir.VoidType(), [ir.IntType(64)])
        builder.call(cgutils.get_or_insert_function(builder.module, signature, "llvm.aarch64.set.fpcr"), [mode])


@intrinsic
def flush_denormals(typing_context):
    """Let denormals count as zero in this thread. Returns the mode before, for `restore_denormals`."""

    def codegen(context, builder, signature, arguments):
        before = _read_mode(builder)
        flush = _X86_FLUSH if _IS_X86 else _ARM_FLUSH
        _write_mode(builder, builder.or_(before, ir.Constant(ir.IntType(64), flush)))
        return before

    return types.int64(), codegen


@intrinsic
def restore_denormals(typing_context, mode):
    """Put the mode back that was before `flush_denormals`."""

    def codegen(context, builder, signature, arguments):
        _write_mode(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen

"""What the micro-kernels share that are written as LLVM IR: a loop, a pointer kept, calls of intrinsics on vectors."""

import contextlib

from llvmlite import ir
from numba.core import cgutils

_INT = ir.IntType(64)


@contextlib.contextmanager
def loop(builder, count):
    """Count from 0 to `count` - 1; LLVM must not unroll it."""
    before = builder.block
    body, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", count, _INT(0)), body, done)
    builder.position_at_end(body)
    index = builder.phi(_INT)
    index.add_incoming(_INT(0), before)
    yield index
    following = builder.add(index, _INT(1))
    index.add_incoming(following, builder.block)
    back = builder.cbranch(builder.icmp_signed("<", following, count), body, done)
    module = builder.module
    rule = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    name = module.add_metadata([ir.MetaDataString(module, "convcore"), rule])
    name.operands = (name, rule)  # LLVM heeds only a loop's name that contains itself
    back.set_metadata("llvm.loop", name)
    builder.position_at_end(done)


def in_register(builder, pointer):
    """The same pointer, of which LLVM no longer knows how it was computed, so that it keeps it in a register.

    Pointers that are one stride apart it would rather compute from each other, again in every step of a loop.
    """
    # An empty piece of assembler, whose output is the register of its input.
    return builder.asm(ir.FunctionType(pointer.type, [pointer.type]), "", "=r,0", [pointer], False)


def call_intrinsic(builder, name: str, vector: ir.VectorType, result, arguments):
    """Call an LLVM intrinsic, "{}" in its name standing for `vector` (llvmlite's own way refuses vectors)."""
    bits = 32 if isinstance(vector.element, ir.FloatType) else 64
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, signature, name.format(f"v{vector.count}f{bits}"))
    return builder.call(function, arguments)

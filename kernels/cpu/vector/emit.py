"""What the micro-kernels share that are written as LLVM IR: loops, pointers kept, vectors, calls of intrinsics."""

import contextlib
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from kernels.cpu.vector.target import REGISTER_BYTES

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


def emit_prefetch(builder, pointer, write: bool) -> None:
    """Ask for a cache line that will be read or written soon."""
    kind = ir.IntType(32)
    signature = ir.FunctionType(ir.VoidType(), [ir.PointerType(), kind, kind, kind])
    function = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
    builder.call(function, [pointer, kind(int(write)), kind(3), kind(1)])


def emit_stream(builder, value, pointer) -> None:
    """Store a vector past the caches where its place is aligned to its size, else as usual."""
    size = value.type.count * (4 if isinstance(value.type.element, ir.FloatType) else 8)
    address = builder.ptrtoint(pointer, ir.IntType(64))
    aligned = builder.icmp_unsigned("==", builder.and_(address, ir.IntType(64)(size - 1)), ir.IntType(64)(0))
    with builder.if_else(aligned, likely=True) as (past, through):
        with past:
            store = builder.store(value, pointer, align=size)
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        with through:
            builder.store(value, pointer, align=size // value.type.count)


@dataclass
class Lanes:
    """Vectors of one element type, and the few ways to touch memory with them.

    With `used`, an LLVM integer, vectors are partial: only their first `used` lanes are read and written.
    """

    builder: Any
    element: Any  # LLVM's float or double
    used: Any = None

    def __post_init__(self):
        self.lanes = self.count(self.element)
        self.vector = ir.VectorType(self.element, self.lanes)
        if self.used is not None:
            lane_type = ir.VectorType(ir.IntType(8 * REGISTER_BYTES // self.lanes), self.lanes)
            used = self.builder.trunc(self.used, lane_type.element) if lane_type.element != _INT else self.used
            lane = ir.Constant(lane_type, list(range(self.lanes)))
            self.mask = self.builder.icmp_signed("<", lane, self.splat(used))

    @staticmethod
    def count(element) -> int:
        """VL of an element type."""
        return REGISTER_BYTES // (4 if isinstance(element, ir.FloatType) else 8)

    def at(self, pointer, index, stride=None):
        """The address `index * stride` elements behind a pointer."""
        index = _INT(index) if isinstance(index, int) else index
        offset = index if stride is None else self.builder.mul(index, stride)
        return self.builder.gep(pointer, [offset], source_etype=self.element)

    def load(self, pointer):
        if self.used is None:
            return self.builder.load(pointer, align=REGISTER_BYTES // self.lanes, typ=self.vector)
        given = [pointer, self.mask, ir.Constant(self.vector, None)]
        return call_intrinsic(self.builder, "llvm.masked.load.{}.p0", self.vector, self.vector, given)

    def store(self, value, pointer) -> None:
        if self.used is None:
            self.builder.store(value, pointer, align=REGISTER_BYTES // self.lanes)
        else:
            given = [value, pointer, self.mask]
            call_intrinsic(self.builder, "llvm.masked.store.{}.p0", self.vector, ir.VoidType(), given)

    def splat(self, value):
        """A vector of one value."""
        undefined = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        return self.shuffle(first, [0] * self.lanes)

    def shuffle(self, value, places: list[int]):
        """The vector whose lane k is lane places[k] of `value`."""
        return self.builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), places))

    def fma(self, a, b, c):
        """a * b + c, rounded once."""
        return call_intrinsic(self.builder, "llvm.fma.{}", self.vector, self.vector, [a, b, c])

"""For code that is written as LLVM IR: loops, pointers in registers, vectors (`Lanes`), prefetches, intrinsics."""

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
    """The same pointer, kept in a register: LLVM no longer knows how it was computed.

    LLVM would rather compute pointers that are one stride apart from each other, again in every step of a loop.
    """
    # Empty assembler code: its output is the register of its input.
    return builder.asm(ir.FunctionType(pointer.type, [pointer.type]), "", "=r,0", [pointer], False)


def call_intrinsic(builder, name: str, vector: ir.VectorType, result, arguments, fastmath=()):
    """Call an LLVM intrinsic, where "{}" in its name stands for `vector` (llvmlite's own way refuses vectors)."""
    element = vector.element
    suffix = f"i{element.width}" if isinstance(element, ir.IntType) else f"f{8 * element_bytes(element)}"
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, signature, name.format(f"v{vector.count}{suffix}"))
    return builder.call(function, arguments, fastmath=fastmath)


def emit_prefetch(builder, pointer, write: bool) -> None:
    """Prefetch a cache line that will be read or written soon."""
    kind = ir.IntType(32)
    signature = ir.FunctionType(ir.VoidType(), [ir.PointerType(), kind, kind, kind])
    function = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
    builder.call(function, [pointer, kind(int(write)), kind(3), kind(1)])


def element_bytes(element) -> int:
    """The size of LLVM's float, double or integer of some width."""
    if isinstance(element, ir.IntType):
        return element.width // 8
    return 4 if isinstance(element, ir.FloatType) else 8


def array_pointer(context, builder, array_type, array, index=None):
    """The address of element `index` of a flat Numba array, by default of the first one."""
    pointer = context.make_array(array_type)(context, builder, array).data
    if index is None:
        return pointer
    return builder.gep(pointer, [index], source_etype=context.get_data_type(array_type.dtype))


@dataclass
class Lanes:
    """Vectors of one element type, and the ways to touch memory with them.

    A vector has as many lanes as a register holds floats of the type, or `lanes`. With a mask, only the lanes where the
    mask holds are read or written; the others are 0. `used`, an LLVM integer, makes every vector partial: the mask is
    then that of the first `used` lanes, unless another one is given.
    """

    builder: Any
    element: Any  # LLVM's float or double, or an integer
    used: Any = None
    lanes: int = 0

    def __post_init__(self):
        self.lanes = self.lanes or self.count(self.element)
        self.vector = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.vector, None)
        self.mask = None if self.used is None else self.first(self.used)

    @staticmethod
    def count(element) -> int:
        """VL of an element type."""
        return REGISTER_BYTES // element_bytes(element)

    def at(self, pointer, index, stride=None):
        """The address `index * stride` elements behind a pointer."""
        index = _INT(index) if isinstance(index, int) else index
        offset = index if stride is None else self.builder.mul(index, stride)
        return self.builder.gep(pointer, [offset], source_etype=self.element)

    def load(self, pointer, mask=None):
        mask = self.mask if mask is None else mask
        if mask is None:
            return self.builder.load(pointer, align=element_bytes(self.element), typ=self.vector)
        return self.intrinsic("llvm.masked.load.{}.p0", pointer, mask, self.zero)

    def store(self, value, pointer, mask=None) -> None:
        mask = self.mask if mask is None else mask
        if mask is None:
            pointer = self.builder.bitcast(pointer, self.vector.as_pointer())
            self.builder.store(value, pointer, align=element_bytes(self.element))
        else:
            given = [value, pointer, mask]
            call_intrinsic(self.builder, "llvm.masked.store.{}.p0", self.vector, ir.VoidType(), given)

    def stream(self, value, pointer) -> None:
        """Store a whole vector, past the caches where its address is aligned to its size."""
        size = self.lanes * element_bytes(self.element)
        address = self.builder.ptrtoint(pointer, _INT)
        aligned = self.builder.icmp_unsigned("==", self.builder.and_(address, _INT(size - 1)), _INT(0))
        with self.builder.if_else(aligned, likely=True) as (streamed, stored):
            with streamed:
                store = self.builder.store(value, self.builder.bitcast(pointer, self.vector.as_pointer()), align=size)
                store.set_metadata("nontemporal", self.builder.module.add_metadata([ir.IntType(32)(1)]))
            with stored:
                self.store(value, pointer)

    def first(self, count):
        """The mask of the lanes before `count`, a 64-bit integer."""
        places = Lanes(self.builder, _INT, lanes=self.lanes)
        return self.builder.icmp_signed("<", ir.Constant(places.vector, list(range(self.lanes))), places.splat(count))

    def splat(self, value):
        """A vector of one value."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        return self.shuffle(first, [0] * self.lanes)

    def shuffle(self, value, places: list[int], more=None):
        """The vector whose lane k is lane places[k] of `value`; places from VL on are lanes of `more`."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), places)
        return self.builder.shuffle_vector(value, value if more is None else more, mask)

    def fma(self, a, b, c):
        """a * b + c, rounded once."""
        return self.intrinsic("llvm.fma.{}", a, b, c)

    def muladd(self, a, b, c):
        """a * b + c, rounded once where the CPU does that in one instruction."""
        return self.intrinsic("llvm.fmuladd.{}", a, b, c)

    def intrinsic(self, name: str, *arguments):
        """Call an LLVM intrinsic whose result is a vector."""
        return call_intrinsic(self.builder, name, self.vector, self.vector, arguments)

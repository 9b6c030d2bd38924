"""Vectors as values: kernels load, add, multiply and store a whole register as if it were one number.

    a = vload(x, i)             # VL neighbours, x[i] to x[i + VL - 1]
    b = vload_part(x, i, n)     # the first n of these, 0 in the other lanes; nothing beyond is read
    vstore(vfma(a, b, a + b), out, i)
    larger = vselect(vgreater(a, b) | vis_nan(a), a, b)   # comparisons give masks, masks choose lane by lane

LLVM's own vectoriser gives up where it cannot prove that arrays do not overlap, and stays at 256-bit registers. A loop
written with these functions is vectorised as written. VL follows the CPU (kernels/cpu/vector/target.py) and the type.
"""

import operator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from kernels.cpu.vector import target
from kernels.cpu.vector.emit import Lanes, array_pointer, call_intrinsic, emit_prefetch
from kernels.jit import intrinsic


class Vector(types.Type):
    """The Numba type of one register of float32 or float64 values."""

    def __init__(self, dtype: types.Float):
        self.dtype = dtype
        self.lanes = target.lanes(dtype.bitwidth // 8)
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        element = ir.FloatType() if vector.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


class Mask(types.Type):
    """The Numba type of a truth value for each lane of a vector."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, mask):
        super().__init__(manager, mask, ir.VectorType(ir.IntType(1), mask.lanes))


def _operator(function, kind: type, instruction: str) -> None:
    """Let `function`, an operator of two values of one kind, become one LLVM instruction."""

    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], kind) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    def _lower(context, builder, sig, args):
        return getattr(builder, instruction)(*args)

    declare: Any = infer_global(function)
    declare(_Typing)
    lower_builtin(function, kind, kind)(_lower)


_operator(operator.add, Vector, "fadd")
_operator(operator.iadd, Vector, "fadd")  # a vector is a value, so a += b gives a a new one
_operator(operator.sub, Vector, "fsub")
_operator(operator.mul, Vector, "fmul")
_operator(operator.truediv, Vector, "fdiv")
_operator(operator.or_, Mask, "or_")


def lanes_of(context, builder, vector: Vector) -> Lanes:
    """What emits the instructions of a vector type."""
    return Lanes(builder, context.get_value_type(vector.dtype))


@intrinsic
def vlanes(typing_context, array):
    """VL of an array's element type: a constant, where REGISTER_BYTES // array.itemsize would divide each time."""

    def codegen(context, builder, sig, args):
        return context.get_constant(types.int64, Vector(array.dtype).lanes)

    return types.int64(array), codegen


@intrinsic
def vload(typing_context, array, index):
    """VL values of a flat array, beginning at `index`."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        return lanes_of(context, builder, vector).load(array_pointer(context, builder, array, *args))

    return vector(array, types.int64), codegen


@intrinsic
def prefetch(typing_context, array, index):
    """Prefetch the cache line of array[index], which will be read soon; it may lie outside of the array."""

    def codegen(context, builder, sig, args):
        emit_prefetch(builder, array_pointer(context, builder, array, *args), write=False)
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def vload_part(typing_context, array, index, count):
    """The first `count` of VL values; the other lanes are 0 and their memory is not touched."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        lanes = lanes_of(context, builder, vector)
        return lanes.load(array_pointer(context, builder, array, *args[:2]), lanes.first(args[2]))

    return vector(array, types.int64, types.int64), codegen


@intrinsic
def vstore(typing_context, value, array, index):
    """Write VL values to a flat array, beginning at `index`."""

    def codegen(context, builder, sig, args):
        lanes_of(context, builder, value).store(args[0], array_pointer(context, builder, array, *args[1:]))
        return context.get_dummy_value()

    return types.void(value, array, types.int64), codegen


@intrinsic
def vstream(typing_context, value, array, index, stream):
    """`vstore`, past the caches if `stream`: for an array of STREAM_BYTES or more, which outgrows them anyway.

    An ordinary store first reads its cache line from memory, and evicts another line. Other threads see a streamed
    store after the fence with which the team ends its part of a launch.
    """

    def codegen(context, builder, sig, args):
        lanes, pointer = lanes_of(context, builder, value), array_pointer(context, builder, array, *args[1:3])
        with builder.if_else(args[3], likely=False) as (streamed, stored):
            with streamed:
                lanes.stream(args[0], pointer)
            with stored:
                lanes.store(args[0], pointer)
        return context.get_dummy_value()

    return types.void(value, array, types.int64, types.boolean), codegen


@intrinsic
def vstore_part(typing_context, value, array, index, count):
    """Write the first `count` of VL values; the memory of the others is not touched."""

    def codegen(context, builder, sig, args):
        lanes = lanes_of(context, builder, value)
        lanes.store(args[0], array_pointer(context, builder, array, *args[1:3]), lanes.first(args[3]))
        return context.get_dummy_value()

    return types.void(value, array, types.int64, types.int64), codegen


@intrinsic
def vsplat(typing_context, array, value):
    """`value` in every lane of a vector of the array's element type."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        return lanes_of(context, builder, vector).splat(args[1])

    return vector(array, array.dtype), codegen


@intrinsic
def vfma(typing_context, a, b, c):
    """a * b + c, rounded once."""

    def codegen(context, builder, sig, args):
        return lanes_of(context, builder, a).fma(*args)

    return a(a, b, c), codegen


@intrinsic
def vrelu(typing_context, a):
    """max(0, a); NaN stays NaN."""

    def codegen(context, builder, sig, args):
        zero = lanes_of(context, builder, a).zero
        return builder.select(builder.fcmp_ordered("<=", args[0], zero), zero, args[0])

    return a(a), codegen


def _comparison(predicate: str, doc: str):
    """A function of two vectors that gives a mask; false where either lane is NaN."""

    @intrinsic
    def compare(typing_context, a, b):
        if not isinstance(a, Vector) or a != b:
            return None

        def codegen(context, builder, sig, args):
            return builder.fcmp_ordered(predicate, *args)

        return Mask(a.lanes)(a, b), codegen

    compare.__doc__ = doc
    return compare


vgreater = _comparison(">", "a > b, lane by lane; false beside NaN.")
vless = _comparison("<", "a < b, lane by lane; false beside NaN.")
vless_equal = _comparison("<=", "a <= b, lane by lane; false beside NaN.")
vequal = _comparison("==", "a == b, lane by lane; false beside NaN.")


@intrinsic
def vis_nan(typing_context, a):
    """Which lanes are NaN."""

    def codegen(context, builder, sig, args):
        return builder.fcmp_unordered("uno", args[0], args[0])

    return Mask(a.lanes)(a), codegen


@intrinsic
def vselect(typing_context, mask, a, b):
    """a where the mask holds, else b: a blend, never a branch."""
    if not isinstance(mask, Mask) or a != b or mask.lanes != a.lanes:
        return None

    def codegen(context, builder, sig, args):
        return builder.select(*args)

    return a(mask, a, b), codegen


def _bytes_of(builder, vector: Vector) -> Lanes:
    """What emits loads and stores of as many bytes as a vector has lanes."""
    return Lanes(builder, ir.IntType(8), lanes=vector.lanes)


@intrinsic
def vload_bytes(typing_context, array, index, like):
    """VL values of a flat uint8 array as floats, in a vector of the type of `like`."""

    def codegen(context, builder, sig, args):
        loaded = _bytes_of(builder, like).load(array_pointer(context, builder, array, *args[:2]))
        return builder.uitofp(loaded, context.get_value_type(like))

    return like(array, types.int64, like), codegen


@intrinsic
def vstore_bytes(typing_context, value, array, index):
    """Write VL values, whole numbers from 0 to 255, to a flat uint8 array."""

    def codegen(context, builder, sig, args):
        lanes = _bytes_of(builder, value)
        whole = builder.fptoui(args[0], lanes.vector)
        lanes.store(whole, array_pointer(context, builder, array, *args[1:]))
        return context.get_dummy_value()

    return types.void(value, array, types.int64), codegen


@intrinsic
def vmuladd(typing_context, a, b, c):
    """a * b + c, rounded once where the CPU does that in one instruction: `vfma` without its cost elsewhere."""

    def codegen(context, builder, sig, args):
        return lanes_of(context, builder, a).muladd(*args)

    return a(a, b, c), codegen


@intrinsic
def vmax(typing_context, a, b):
    """The larger value of each lane, NaN where either is NaN; of 0 and -0 it may be either."""

    def codegen(context, builder, sig, args):
        vector = args[0].type
        return call_intrinsic(builder, "llvm.maximum.{}", vector, vector, args, fastmath=("nsz",))

    return a(a, b), codegen


def _function_of_lanes(name: str, doc: str):
    """A function of one vector that an LLVM intrinsic computes lane by lane."""

    @intrinsic
    def function(typing_context, a):
        def codegen(context, builder, sig, args):
            return lanes_of(context, builder, a).intrinsic(name, *args)

        return a(a), codegen

    function.__doc__ = doc
    return function


vabs = _function_of_lanes("llvm.fabs.{}", "The magnitude of each lane.")
vsqrt = _function_of_lanes("llvm.sqrt.{}", "The square root of each lane, NaN below 0.")
vfenced = _function_of_lanes(
    "llvm.arithmetic.fence.{}",
    "The value of an expression, never merged with the operations around it: see kernels/cpu/vector/fence.py.",
)


@intrinsic
def vcopysign(typing_context, a, b):
    """The magnitude of each lane of a with the sign of b's."""

    def codegen(context, builder, sig, args):
        return lanes_of(context, builder, a).intrinsic("llvm.copysign.{}", *args)

    return a(a, b), codegen


@intrinsic
def vexceeds(typing_context, a, b):
    """The mask of the lanes where a > b or a is NaN: a takes the place of b as the maximum so far."""

    def codegen(context, builder, sig, args):
        return builder.or_(builder.fcmp_ordered(">", *args), builder.fcmp_unordered("uno", args[0], args[0]))

    return Mask(a.lanes)(a, b), codegen


@intrinsic
def vfirst(typing_context, array, count):
    """The mask of the first `count` lanes of a vector of the array's element type."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        return lanes_of(context, builder, vector).first(args[1])

    return Mask(vector.lanes)(array, types.int64), codegen


@intrinsic
def vsum(typing_context, a):
    """The sum of all lanes, halves added to halves: the same order on every CPU of one width."""

    def codegen(context, builder, sig, args):
        vector = args[0].type
        start = ir.Constant(vector.element, -0.0)
        given = [start, args[0]]
        name = "llvm.vector.reduce.fadd.{}"
        return call_intrinsic(builder, name, vector, vector.element, given, fastmath=("reassoc",))

    return a.dtype(a), codegen


@intrinsic
def vlargest(typing_context, a):
    """The largest of all lanes, NaN if one of them is NaN."""

    def codegen(context, builder, sig, args):
        vector = args[0].type
        name = "llvm.vector.reduce.fmaximum.{}"
        return call_intrinsic(builder, name, vector, vector.element, args, fastmath=("nsz",))

    return a.dtype(a), codegen


@intrinsic
def load_lanes(typing_context, array, index, count):
    """`vload`, or `vload_part` where only `count` lanes are left of a row."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        lanes, pointer = lanes_of(context, builder, vector), array_pointer(context, builder, array, *args[:2])
        whole = builder.icmp_signed(">=", args[2], ir.Constant(args[2].type, lanes.lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                loaded = lanes.load(pointer)
                from_whole = builder.block
            with otherwise:
                part = lanes.load(pointer, lanes.first(args[2]))
                from_part = builder.block
        result = builder.phi(lanes.vector)
        result.add_incoming(loaded, from_whole)
        result.add_incoming(part, from_part)
        return result

    return vector(array, types.int64, types.int64), codegen


@intrinsic
def store_lanes(typing_context, value, array, index, count):
    """`vstore`, or `vstore_part` where only `count` lanes are left of a row."""

    def codegen(context, builder, sig, args):
        lanes, pointer = lanes_of(context, builder, value), array_pointer(context, builder, array, *args[1:3])
        whole = builder.icmp_signed(">=", args[3], ir.Constant(args[3].type, lanes.lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                lanes.store(args[0], pointer)
            with otherwise:
                lanes.store(args[0], pointer, lanes.first(args[3]))
        return context.get_dummy_value()

    return types.void(value, array, types.int64, types.int64), codegen

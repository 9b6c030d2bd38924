"""Vectors as values: a register full of numbers that kernels add, multiply, load and store like a number.

    a = vload(x, i)             # VL neighbours, x[i] to x[i + VL - 1]
    b = vload_part(x, i, n)     # the first n of them, 0 in the other lanes; nothing beyond is read
    vstore(vfma(a, b, a + b), out, i)
    larger = vselect(vgreater(a, b) | vis_nan(a), a, b)   # comparisons give masks, masks choose lane by lane

LLVM's own vectoriser gives up where it cannot prove that arrays do not overlap, and stays at 256-bit registers. Written
with these, an inner loop over channels is what it says. VL follows the CPU (kernels/cpu/vector/target.py) and the type.
"""

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from kernels.cpu.vector.emit import emit_prefetch, emit_stream
from kernels.cpu.vector.target import lanes
from kernels.jit import intrinsic


class Vector(types.Type):
    """The Numba type of one register of float32 or float64 values."""

    def __init__(self, dtype: types.Float):
        self.dtype = dtype
        self.lanes = lanes(dtype.bitwidth // 8)
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


def _address(context, builder, array_type, array, index, llvm_vector):
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.gep(data, [index], source_etype=llvm_vector.element)
    return builder.bitcast(pointer, llvm_vector.as_pointer())


def _call(builder, name: str, result, arguments):
    """Call an LLVM intrinsic (llvmlite's own way to declare one refuses vector types)."""
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _splat(builder, value, llvm_vector):
    undefined = ir.Constant(llvm_vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), llvm_vector.count), [0] * llvm_vector.count)
    return builder.shuffle_vector(first, undefined, zeros)


def _first_lanes(builder, count, llvm_vector):
    """The mask of the lanes before `count`."""
    index = ir.VectorType(ir.IntType(64), llvm_vector.count)
    numbers = ir.Constant(index, list(range(llvm_vector.count)))
    return builder.icmp_signed("<", numbers, _splat(builder, count, index))


def _suffix(vector: Vector) -> str:
    return f"v{vector.lanes}f{vector.dtype.bitwidth}"


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
        llvm_vector = context.get_value_type(vector)
        pointer = _address(context, builder, array, args[0], args[1], llvm_vector)
        return builder.load(pointer, align=vector.dtype.bitwidth // 8, typ=llvm_vector)

    return vector(array, types.int64), codegen


@intrinsic
def prefetch(typing_context, array, index):
    """Ask for the cache line of array[index], which will be read soon; it may lie outside of the array."""

    def codegen(context, builder, sig, args):
        data = context.make_array(array)(context, builder, args[0]).data
        element = context.get_value_type(array.dtype)
        emit_prefetch(builder, builder.gep(data, [args[1]], source_etype=element), write=False)
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def vload_part(typing_context, array, index, count):
    """The first `count` of VL values; the other lanes are 0 and their memory is not touched."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        llvm_vector = context.get_value_type(vector)
        pointer = _address(context, builder, array, args[0], args[1], llvm_vector)
        given = [pointer, _first_lanes(builder, args[2], llvm_vector), ir.Constant(llvm_vector, None)]
        return _call(builder, f"llvm.masked.load.{_suffix(vector)}.p0", llvm_vector, given)

    return vector(array, types.int64, types.int64), codegen


@intrinsic
def vstore(typing_context, value, array, index):
    """Write VL values to a flat array, beginning at `index`."""

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, array, args[1], args[2], context.get_value_type(value))
        builder.store(args[0], pointer, align=value.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(value, array, types.int64), codegen


@intrinsic
def vstream(typing_context, value, array, index, past):
    """`vstore`, past the caches if `past`: for an array of STREAM_BYTES or more, which is not read from them anyway.

    A usual store has its cache line read from memory first, and drives another line out. Others see what was streamed
    after `end_chunk`, which ends each chunk of work.
    """

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, array, args[1], args[2], context.get_value_type(value))
        with builder.if_else(args[3], likely=False) as (streamed, stored):
            with streamed:
                emit_stream(builder, args[0], pointer)
            with stored:
                builder.store(args[0], pointer, align=value.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(value, array, types.int64, types.boolean), codegen


@intrinsic
def vstore_part(typing_context, value, array, index, count):
    """Write the first `count` of VL values; the memory of the others is not touched."""

    def codegen(context, builder, sig, args):
        llvm_vector = context.get_value_type(value)
        pointer = _address(context, builder, array, args[1], args[2], llvm_vector)
        given = [args[0], pointer, _first_lanes(builder, args[3], llvm_vector)]
        _call(builder, f"llvm.masked.store.{_suffix(value)}.p0", ir.VoidType(), given)
        return context.get_dummy_value()

    return types.void(value, array, types.int64, types.int64), codegen


@intrinsic
def vsplat(typing_context, array, value):
    """`value` in every lane of a vector of the array's element type."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        return _splat(builder, args[1], context.get_value_type(vector))

    return vector(array, array.dtype), codegen


@intrinsic
def vfma(typing_context, a, b, c):
    """a * b + c, rounded once."""

    def codegen(context, builder, sig, args):
        return _call(builder, f"llvm.fma.{_suffix(a)}", context.get_value_type(a), args)

    return a(a, b, c), codegen


@intrinsic
def vrelu(typing_context, a):
    """max(0, a); NaN stays NaN."""

    def codegen(context, builder, sig, args):
        zero = ir.Constant(context.get_value_type(a), None)
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


def _bytes(llvm_vector):
    return ir.VectorType(ir.IntType(8), llvm_vector.count)


@intrinsic
def vload_bytes(typing_context, array, index, like):
    """VL values of a flat uint8 array as floats, in a vector of the type of `like`."""

    def codegen(context, builder, sig, args):
        llvm_vector = context.get_value_type(like)
        pointer = _address(context, builder, array, args[0], args[1], _bytes(llvm_vector))
        return builder.uitofp(builder.load(pointer, align=1, typ=_bytes(llvm_vector)), llvm_vector)

    return like(array, types.int64, like), codegen


@intrinsic
def vstore_bytes(typing_context, value, array, index):
    """Write VL values, whole numbers from 0 to 255, to a flat uint8 array."""

    def codegen(context, builder, sig, args):
        kind = _bytes(context.get_value_type(value))
        pointer = _address(context, builder, array, args[1], args[2], kind)
        builder.store(builder.fptoui(args[0], kind), pointer, align=1)
        return context.get_dummy_value()

    return types.void(value, array, types.int64), codegen


@intrinsic
def vmuladd(typing_context, a, b, c):
    """a * b + c, rounded once where the CPU does that in one instruction: `vfma` without its cost elsewhere."""

    def codegen(context, builder, sig, args):
        return _call(builder, f"llvm.fmuladd.{_suffix(a)}", context.get_value_type(a), args)

    return a(a, b, c), codegen


@intrinsic
def vmax(typing_context, a, b):
    """The larger value of each lane, NaN where either is NaN; which of 0 and -0 is not said."""

    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(args[0].type, [args[0].type] * 2)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.maximum.{_suffix(a)}")
        return builder.call(function, args, fastmath=("nsz",))

    return a(a, b), codegen


@intrinsic
def vabs(typing_context, a):
    """The size of each lane, without its sign."""

    def codegen(context, builder, sig, args):
        return _call(builder, f"llvm.fabs.{_suffix(a)}", context.get_value_type(a), args)

    return a(a), codegen


@intrinsic
def vfenced(typing_context, a):
    """The value of an expression, never merged with the operations around it: see kernels/cpu/vector/fence.py."""

    def codegen(context, builder, sig, args):
        return _call(builder, f"llvm.arithmetic.fence.{_suffix(a)}", context.get_value_type(a), args)

    return a(a), codegen


@intrinsic
def vsqrt(typing_context, a):
    """The square root of each lane, NaN below 0."""

    def codegen(context, builder, sig, args):
        return _call(builder, f"llvm.sqrt.{_suffix(a)}", context.get_value_type(a), args)

    return a(a), codegen


@intrinsic
def vcopysign(typing_context, a, b):
    """The size of each lane of a with the sign of b's."""

    def codegen(context, builder, sig, args):
        return _call(builder, f"llvm.copysign.{_suffix(a)}", context.get_value_type(a), args)

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
        return _first_lanes(builder, args[1], context.get_value_type(vector))

    return Mask(vector.lanes)(array, types.int64), codegen


@intrinsic
def vsum(typing_context, a):
    """The sum of all lanes, halves added to halves: the same order on every CPU of one width."""

    def codegen(context, builder, sig, args):
        zero = ir.Constant(args[0].type.element, -0.0)
        kind = ir.FunctionType(zero.type, [zero.type, args[0].type])
        name = f"llvm.vector.reduce.fadd.{_suffix(a)}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [zero, args[0]], fastmath=("reassoc",))

    return a.dtype(a), codegen


@intrinsic
def vlargest(typing_context, a):
    """The largest of all lanes, NaN if one of them is NaN."""

    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(args[0].type.element, [args[0].type])
        name = f"llvm.vector.reduce.fmaximum.{_suffix(a)}"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args, fastmath=("nsz",))

    return a.dtype(a), codegen


@intrinsic
def load_lanes(typing_context, array, index, count):
    """`vload`, or `vload_part` where only `count` lanes are left of a row."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        llvm_vector = context.get_value_type(vector)
        pointer = _address(context, builder, array, args[0], args[1], llvm_vector)
        whole = builder.icmp_signed(">=", args[2], ir.Constant(args[2].type, vector.lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                loaded = builder.load(pointer, align=vector.dtype.bitwidth // 8, typ=llvm_vector)
                from_whole = builder.block
            with otherwise:
                given = [pointer, _first_lanes(builder, args[2], llvm_vector), ir.Constant(llvm_vector, None)]
                part = _call(builder, f"llvm.masked.load.{_suffix(vector)}.p0", llvm_vector, given)
                from_part = builder.block
        result = builder.phi(llvm_vector)
        result.add_incoming(loaded, from_whole)
        result.add_incoming(part, from_part)
        return result

    return vector(array, types.int64, types.int64), codegen


@intrinsic
def store_lanes(typing_context, value, array, index, count):
    """`vstore`, or `vstore_part` where only `count` lanes are left of a row."""

    def codegen(context, builder, sig, args):
        llvm_vector = context.get_value_type(value)
        pointer = _address(context, builder, array, args[1], args[2], llvm_vector)
        whole = builder.icmp_signed(">=", args[3], ir.Constant(args[3].type, value.lanes))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                builder.store(args[0], pointer, align=value.dtype.bitwidth // 8)
            with otherwise:
                given = [args[0], pointer, _first_lanes(builder, args[3], llvm_vector)]
                _call(builder, f"llvm.masked.store.{_suffix(value)}.p0", ir.VoidType(), given)
        return context.get_dummy_value()

    return types.void(value, array, types.int64, types.int64), codegen

"""Vectors as values: a register full of numbers that kernels add, multiply, load and store like a number.

    a = vload(x, i)             # VL neighbours, x[i] to x[i + VL - 1]
    b = vload_part(x, i, n)     # the first n of them, 0 in the other lanes; nothing beyond is read
    vstore(vfma(a, b, a + b), out, i)

LLVM's own vectoriser gives up where it cannot prove that arrays do not overlap, and stays at 256-bit registers. Written
with these, an inner loop over channels is what it says. VL follows the CPU (kernels/cpu/target.py) and the type.
"""

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from kernels.cpu.target import lanes
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


def _arithmetic(function, instruction: str) -> None:
    """Let `function`, an operator of two vectors, become one LLVM instruction."""

    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    def _lower(context, builder, sig, args):
        return getattr(builder, instruction)(*args)

    declare: Any = infer_global(function)
    declare(_Typing)
    lower_builtin(function, Vector, Vector)(_lower)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")


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
def vload(typing_context, array, index):
    """VL values of a flat array, beginning at `index`."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        llvm_vector = context.get_value_type(vector)
        pointer = _address(context, builder, array, args[0], args[1], llvm_vector)
        return builder.load(pointer, align=vector.dtype.bitwidth // 8, typ=llvm_vector)

    return vector(array, types.int64), codegen


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


@intrinsic
def vtranspose(typing_context, source, index, row, out, out_index, out_row):
    """Turn a square of VL x VL values: out[out_index + j * out_row + i] = source[index + i * row + j].

    In log2(VL) rounds of shuffles. In the round with distance d, rows i and i + d (d a bit that i lacks) exchange
    their off-diagonal blocks of d x d values.
    """

    def codegen(context, builder, sig, args):
        vector = Vector(source.dtype)
        llvm_vector, lane_count = context.get_value_type(vector), vector.lanes
        align = vector.dtype.bitwidth // 8
        rows = []
        for i in range(lane_count):
            at = builder.add(args[1], builder.mul(args[2], ir.IntType(64)(i)))
            pointer = _address(context, builder, source, args[0], at, llvm_vector)
            rows.append(builder.load(pointer, align=align, typ=llvm_vector))
        distance = 1
        while distance < lane_count:
            upper = [j if not j & distance else lane_count + j - distance for j in range(lane_count)]
            lower = [j + distance if not j & distance else lane_count + j for j in range(lane_count)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), lane_count), mask) for mask in (upper, lower)]
            for i in range(lane_count):
                if not i & distance:
                    pair = rows[i], rows[i + distance]
                    rows[i], rows[i + distance] = (builder.shuffle_vector(*pair, mask) for mask in masks)
            distance *= 2
        for j, value in enumerate(rows):
            at = builder.add(args[4], builder.mul(args[5], ir.IntType(64)(j)))
            builder.store(value, _address(context, builder, out, args[3], at, llvm_vector), align=align)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, out, types.int64, types.int64), codegen

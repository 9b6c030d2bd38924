"""Squares of VL x VL values turned in registers, and parts of such squares.

Value by value, turning touches a cache line for each; a square is read and written in whole vectors.
"""

from llvmlite import ir
from numba.core import types

from kernels.cpu.vector.values import Vector, _address
from kernels.jit import intrinsic


def _turned(builder, rows):
    """The columns of a square of VL x VL values, given its rows, both as vectors.

    In log2(VL) rounds of shuffles. In the round with distance d, rows i and i + d (d a bit that i lacks) exchange
    their off-diagonal blocks of d x d values.
    """
    lane_count = len(rows)
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
    return rows


@intrinsic
def vtranspose(typing_context, source, index, row, out, out_index, out_row):
    """Turn a square of VL x VL values: out[out_index + j * out_row + i] = source[index + i * row + j]."""

    def codegen(context, builder, sig, args):
        vector = Vector(source.dtype)
        llvm_vector, align = context.get_value_type(vector), vector.dtype.bitwidth // 8
        rows = []
        for i in range(vector.lanes):
            at = builder.add(args[1], builder.mul(args[2], ir.IntType(64)(i)))
            pointer = _address(context, builder, source, args[0], at, llvm_vector)
            rows.append(builder.load(pointer, align=align, typ=llvm_vector))
        for j, value in enumerate(_turned(builder, rows)):
            at = builder.add(args[4], builder.mul(args[5], ir.IntType(64)(j)))
            builder.store(value, _address(context, builder, out, args[3], at, llvm_vector), align=align)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, out, types.int64, types.int64), codegen


@intrinsic
def vtranspose_part(typing_context, source, index, row, rows, columns, out, out_index, out_row):
    """Turn `rows` x `columns` <= VL x VL values: out[out_index + j * out_row + i] = source[index + i * row + j].

    0 for rows <= i < VL. Of the source, whole vectors of each row are read.
    """

    def codegen(context, builder, sig, args):
        vector = Vector(source.dtype)
        llvm_vector, align = context.get_value_type(vector), vector.dtype.bitwidth // 8
        integer = ir.IntType(64)
        lane_type = ir.VectorType(integer, vector.lanes)
        used = ir.Constant(lane_type, ir.Undefined)
        for i in range(vector.lanes):
            used = builder.insert_element(used, args[3], ir.IntType(32)(i))
        used = builder.icmp_signed("<", ir.Constant(lane_type, list(range(vector.lanes))), used)
        last = builder.sub(args[3], integer(1))
        loaded = []
        for i in range(vector.lanes):  # beyond the last row it is read again
            place = builder.select(builder.icmp_signed("<", integer(i), args[3]), integer(i), last)
            at = builder.add(args[1], builder.mul(args[2], place))
            pointer = _address(context, builder, source, args[0], at, llvm_vector)
            loaded.append(builder.load(pointer, align=align, typ=llvm_vector))
        for j, value in enumerate(_turned(builder, loaded)):
            with builder.if_then(builder.icmp_signed("<", integer(j), args[4])):
                at = builder.add(args[6], builder.mul(args[7], integer(j)))
                pointer = _address(context, builder, out, args[5], at, llvm_vector)
                builder.store(builder.select(used, value, ir.Constant(llvm_vector, None)), pointer, align=align)
        return context.get_dummy_value()

    index_type = types.int64
    signature = types.void(
        source, index_type, index_type, index_type, index_type, out, index_type, index_type
    )  # fmt: skip
    return signature, codegen

"""Squares of VL x VL values transposed in registers, and parts of such squares.

A transposition value by value touches a cache line for each; a square is read and written in whole vectors.
"""

from llvmlite import ir
from numba.core import types

from kernels.cpu.vector.emit import Lanes, array_pointer
from kernels.cpu.vector.values import Vector, lanes_of
from kernels.jit import intrinsic


def _transposed(lanes: Lanes, rows: list) -> list:
    """The columns of a square of VL x VL values, given its rows, both as vectors.

    In log2(VL) rounds of shuffles. In the round with distance d, rows i and i + d (d a bit that i lacks) exchange
    their off-diagonal blocks of d x d values.
    """
    count = lanes.lanes
    distance = 1
    while distance < count:
        upper = [j if not j & distance else count + j - distance for j in range(count)]
        lower = [j + distance if not j & distance else count + j for j in range(count)]
        for i in range(count):
            if not i & distance:
                pair = rows[i], rows[i + distance]
                rows[i], rows[i + distance] = (lanes.shuffle(pair[0], places, pair[1]) for places in (upper, lower))
        distance *= 2
    return rows


@intrinsic
def vtranspose(typing_context, source, index, row, out, out_index, out_row):
    """Transpose a square of VL x VL values: out[out_index + j * out_row + i] = source[index + i * row + j]."""

    def codegen(context, builder, sig, args):
        lanes = lanes_of(context, builder, Vector(source.dtype))
        begin = array_pointer(context, builder, source, *args[:2])
        out_begin = array_pointer(context, builder, out, *args[3:5])

        rows = [lanes.load(lanes.at(begin, i, args[2])) for i in range(lanes.lanes)]
        for j, value in enumerate(_transposed(lanes, rows)):
            lanes.store(value, lanes.at(out_begin, j, args[5]))
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, out, types.int64, types.int64), codegen


@intrinsic
def vtranspose_part(typing_context, source, index, row, rows, columns, out, out_index, out_row):
    """Transpose `rows` x `columns` <= VL x VL values: out[out_index + j * out_row + i] = source[index + i * row + j].

    0 for rows <= i < VL. Of the source, whole vectors of each row are read.
    """

    def codegen(context, builder, sig, args):
        lanes, integer = lanes_of(context, builder, Vector(source.dtype)), ir.IntType(64)
        begin = array_pointer(context, builder, source, *args[:2])
        out_begin = array_pointer(context, builder, out, *args[5:7])
        row_count, column_count = args[3:5]
        used = lanes.first(row_count)
        last = builder.sub(row_count, integer(1))
        loaded = []
        for i in range(lanes.lanes):  # beyond the last row it is read again
            place = builder.select(builder.icmp_signed("<", integer(i), row_count), integer(i), last)
            loaded.append(lanes.load(lanes.at(begin, place, args[2])))
        for j, value in enumerate(_transposed(lanes, loaded)):
            with builder.if_then(builder.icmp_signed("<", integer(j), column_count)):
                lanes.store(builder.select(used, value, lanes.zero), lanes.at(out_begin, j, args[7]))
        return context.get_dummy_value()

    index_type = types.int64
    signature = types.void(
        source, index_type, index_type, index_type, index_type, out, index_type, index_type
    )  # fmt: skip
    return signature, codegen

"""Vectors of integers, one for each lane of a vector of floats: counts, positions, and the bits of floats.

    p = visplat(x, 3)                 # 3 in every lane, for vectors of x's type
    places = viload(positions, i, x)  # VL neighbours of an integer array of any width, as wide as x's lanes
    viequal(places, p)                # a mask for vselect

An array may hold integers of fewer bits than a lane: loads widen them, stores truncate them.
"""

import operator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from kernels.cpu.vector.emit import Lanes, array_pointer
from kernels.cpu.vector.values import Mask, Vector, vlanes
from kernels.jit import inline, intrinsic


class IntegerVector(types.Type):
    """The Numba type of one register of integers as wide as the floats of `vector`."""

    def __init__(self, vector: Vector):
        self.vector, self.lanes = vector, vector.lanes
        super().__init__(name=f"IntegerVector({vector.dtype.bitwidth}, {vector.lanes})")


@register_model(IntegerVector)
class _IntegerVectorModel(models.PrimitiveModel):
    def __init__(self, manager, integers):
        vector = integers.vector
        super().__init__(manager, integers, ir.VectorType(ir.IntType(vector.dtype.bitwidth), vector.lanes))


class _AdditionTyping(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 2 and isinstance(args[0], IntegerVector) and args[0] == args[1]:
            return signature(args[0], *args)
        return None


for _operator in (operator.add, operator.iadd):
    _declare: Any = infer_global(_operator)
    _declare(_AdditionTyping)


@lower_builtin(operator.add, IntegerVector, IntegerVector)
@lower_builtin(operator.iadd, IntegerVector, IntegerVector)
def _add(context, builder, sig, args):
    return builder.add(*args)


def _lanes_of(builder, array_type, floats: Vector) -> Lanes:
    """What emits loads and stores of the integers of an array, as many as a vector of floats has lanes."""
    return Lanes(builder, ir.IntType(array_type.dtype.bitwidth), lanes=floats.lanes)


def _splat(builder, value, integers: ir.VectorType):
    """A 64-bit integer in every lane, cut to the lanes' width."""
    element = integers.element
    number = value if element.width == 64 else builder.trunc(value, element)
    return Lanes(builder, element, lanes=integers.count).splat(number)


def _convert(builder, value, element, signed: bool):
    """The integers of a vector in another width."""
    target = ir.VectorType(element, value.type.count)
    if element.width < value.type.element.width:
        return builder.trunc(value, target)
    if element.width > value.type.element.width:
        return (builder.sext if signed else builder.zext)(value, target)
    return value


@intrinsic
def visplat(typing_context, array, value):
    """`value` in every lane of the integers beside a vector of the array's element type."""
    integers = IntegerVector(Vector(array.dtype))

    def codegen(context, builder, sig, args):
        return _splat(builder, args[1], context.get_value_type(integers))

    return integers(array, types.int64), codegen


@intrinsic
def viload(typing_context, array, index, floats):
    """VL values of a flat integer array, beginning at `index`, widened to the lanes of the array `floats`."""
    integers = IntegerVector(Vector(floats.dtype))

    def codegen(context, builder, sig, args):
        loaded = _lanes_of(builder, array, integers.vector).load(array_pointer(context, builder, array, *args[:2]))
        return _convert(builder, loaded, context.get_value_type(integers).element, array.dtype.signed)

    return integers(array, types.int64, floats), codegen


@intrinsic
def viload_part(typing_context, array, index, count, floats):
    """The first `count` of VL values as `viload` has them; the other lanes are 0 and their memory is not touched."""
    integers = IntegerVector(Vector(floats.dtype))

    def codegen(context, builder, sig, args):
        lanes = _lanes_of(builder, array, integers.vector)
        loaded = lanes.load(array_pointer(context, builder, array, *args[:2]), lanes.first(args[2]))
        return _convert(builder, loaded, context.get_value_type(integers).element, array.dtype.signed)

    return integers(array, types.int64, types.int64, floats), codegen


@intrinsic
def vistore(typing_context, value, array, index):
    """Write VL integers to a flat array, beginning at `index`, cut to the width of its elements."""

    def codegen(context, builder, sig, args):
        lanes = _lanes_of(builder, array, value.vector)
        narrow = _convert(builder, args[0], lanes.element, True)
        lanes.store(narrow, array_pointer(context, builder, array, *args[1:]))
        return context.get_dummy_value()

    return types.void(value, array, types.int64), codegen


@intrinsic
def vistore_part(typing_context, value, array, index, count):
    """Write the first `count` of VL integers as `vistore` does; the memory of the others is not touched."""

    def codegen(context, builder, sig, args):
        lanes = _lanes_of(builder, array, value.vector)
        narrow = _convert(builder, args[0], lanes.element, True)
        lanes.store(narrow, array_pointer(context, builder, array, *args[1:3]), lanes.first(args[3]))
        return context.get_dummy_value()

    return types.void(value, array, types.int64, types.int64), codegen


@intrinsic
def viequal(typing_context, a, b):
    """The mask of the lanes where two vectors of integers are equal."""

    def codegen(context, builder, sig, args):
        return builder.icmp_signed("==", *args)

    return Mask(a.lanes)(a, b), codegen


@intrinsic
def vishift_left(typing_context, a, count):
    """Every lane moved `count` bits to the left."""

    def codegen(context, builder, sig, args):
        return builder.shl(args[0], _splat(builder, args[1], args[0].type))

    return a(a, types.int64), codegen


@intrinsic
def vbits(typing_context, a):
    """The bits of floats, as integers."""
    integers = IntegerVector(a)

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], context.get_value_type(integers))

    return integers(a), codegen


@intrinsic
def vfloats(typing_context, a):
    """The floats that have these bits."""

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], context.get_value_type(a.vector))

    return a.vector(a), codegen


@inline
def load_integer_lanes(array, index, count, floats):
    """`viload`, or `viload_part` where only `count` lanes are left of a row."""
    if count >= vlanes(floats):
        return viload(array, index, floats)
    return viload_part(array, index, count, floats)


@inline
def store_integer_lanes(value, array, index, count, floats):
    """`vistore`, or `vistore_part` where only `count` lanes are left of a row."""
    if count >= vlanes(floats):
        vistore(value, array, index)
    else:
        vistore_part(value, array, index, count)

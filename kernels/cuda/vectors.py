"""Four floats in one instruction: half of what a warp costs in addresses, a quarter in instructions.

The place must be a multiple of four floats from the array's start, and the array aligned to 16 bytes: arrays from the
allocator are, and shared ones that ask for it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from kernels.cuda.jit import intrinsic, types

_FOUR = ir.VectorType(ir.FloatType(), 4)
BYTES = 16


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    """The address of an array's element, as that of a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [builder.zext(at, ir.IntType(64))]), _FOUR.as_pointer())


@intrinsic
def load4(typing_context, array, at):
    """(array[at], array[at + 1], array[at + 2], array[at + 3]); `at` is a u32."""
    result = types.UniTuple(types.float32, 4)

    def emit(context, builder, signature, arguments):
        vector = builder.load(_pointer(context, builder, signature.args[0], *arguments), align=BYTES)
        parts = [builder.extract_element(vector, ir.Constant(ir.IntType(32), i)) for i in range(4)]
        return context.make_tuple(builder, result, parts)

    return result(array, types.uint32), emit


@intrinsic
def store4(typing_context, array, at, x0, x1, x2, x3):
    """array[at], array[at + 1], array[at + 2], array[at + 3] = x0, x1, x2, x3; `at` is a u32."""

    def emit(context, builder, signature, arguments):
        vector = ir.Constant(_FOUR, ir.Undefined)
        for i, part in enumerate(arguments[2:]):
            vector = builder.insert_element(vector, part, ir.Constant(ir.IntType(32), i))
        builder.store(vector, _pointer(context, builder, signature.args[0], *arguments[:2]), align=BYTES)
        return context.get_dummy_value()

    return types.void(array, types.uint32, *[types.float32] * 4), emit

"""Four floats, or eight values of 16 bits, in one instruction: a fraction of the cost of single loads and stores.

The place must be a multiple of 16 bytes from the array's start, and the array aligned to 16 bytes: arrays from the
allocator are, and shared ones with alignment. Values of 16 bits come two to a word, the first in its lower half.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from kernels.cuda.jit import intrinsic, types

_WORD = ir.IntType(32)
_FLOATS = ir.VectorType(ir.FloatType(), 4)
_WORDS = ir.VectorType(_WORD, 4)
BYTES = 16


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any, what: Any) -> Any:
    """The address of an array's element, as that of something else."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [builder.zext(at, ir.IntType(64))]), what.as_pointer())


def _load(vector: Any, element: Any) -> Any:
    """How to load a vector, as a tuple of its elements."""
    result = types.UniTuple(element, vector.count)

    def emit(context, builder, signature, arguments):
        array, at = arguments
        value = builder.load(_pointer(context, builder, signature.args[0], array, at, vector), align=BYTES)
        parts = [builder.extract_element(value, ir.Constant(_WORD, i)) for i in range(vector.count)]
        return context.make_tuple(builder, result, parts)

    return lambda array: (result(array, types.uint32), emit)


def _store(vector: Any, element: Any) -> Any:
    """How to store a vector's elements."""

    def emit(context, builder, signature, arguments):
        array, at, *parts = arguments
        value = ir.Constant(vector, ir.Undefined)
        for i, part in enumerate(parts):
            value = builder.insert_element(value, part, ir.Constant(_WORD, i))
        builder.store(value, _pointer(context, builder, signature.args[0], array, at, vector), align=BYTES)
        return context.get_dummy_value()

    return lambda array: (types.void(array, types.uint32, *[element] * vector.count), emit)


_load_floats, _store_floats = _load(_FLOATS, types.float32), _store(_FLOATS, types.float32)
_load_words, _store_words = _load(_WORDS, types.uint32), _store(_WORDS, types.uint32)


@intrinsic
def load4(typing_context, array, at):
    """(array[at], array[at + 1], array[at + 2], array[at + 3]); `at` is a u32."""
    return _load_floats(array)


@intrinsic
def store4(typing_context, array, at, x0, x1, x2, x3):
    """array[at], array[at + 1], array[at + 2], array[at + 3] = x0, x1, x2, x3; `at` is a u32."""
    return _store_floats(array)


@intrinsic
def load8(typing_context, array, at):
    """array[at : at + 8], values of 16 bits, as four words; `at` is a u32."""
    return _load_words(array)


@intrinsic
def store8(typing_context, array, at, w0, w1, w2, w3):
    """array[at : at + 8] = the eight values of 16 bits in four words; `at` is a u32."""
    return _store_words(array)


@intrinsic
def load2(typing_context, array, at):
    """array[at] and array[at + 1], values of 16 bits, as one word; `at` is a u32, and even."""

    def emit(context, builder, signature, arguments):
        array, at = arguments
        return builder.load(_pointer(context, builder, signature.args[0], array, at, _WORD), align=4)

    return types.uint32(array, types.uint32), emit

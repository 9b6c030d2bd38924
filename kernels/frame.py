"""Frames: the arguments of a launch in memory, as slots of 64 bits.

    array in C order    its address, its shape
    any other array     its address, its shape, its strides in bytes
    number, bool        itself; a float by its bits
    tuple               its elements, one after the other
    None                nothing

The first slot is 0; a chunk that fails, for want of memory, writes 1 there.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.np.arrayobj import populate_array

_SLOT = ir.IntType(64)


def _items(kind: Any) -> tuple[Any, ...]:
    """The types of a tuple's elements."""
    return tuple(kind)


def slots(kind: Any) -> int:
    """How many slots a value of one of Numba's types takes."""
    if isinstance(kind, types.Array):
        return 1 + kind.ndim * (1 if kind.layout == "C" else 2)
    if isinstance(kind, types.BaseTuple):
        return sum(map(slots, _items(kind)))
    if isinstance(kind, types.NoneType):
        return 0
    if isinstance(kind, (types.Integer, types.Float, types.Boolean)):
        return 1
    raise TypeError(f"a kernel's argument is an array, a number, a bool, a tuple of these or None, got {kind}")


def most_slots(values: Iterable[Any]) -> int:
    """How many slots a frame of these values needs at most."""
    total = 1
    for value in values:
        if isinstance(value, np.ndarray):
            total += 1 + 2 * value.ndim
        elif isinstance(value, tuple):
            total += most_slots(value) - 1
        else:
            total += 1
    return total


def write(context: Any, builder: Any, kinds: Iterable[Any], values: Iterable[Any], place: Any) -> None:
    """Emit the stores of values of Numba's types into a frame."""
    words = [_SLOT(0)]
    for kind, value in zip(kinds, values, strict=True):
        words += _words(context, builder, kind, value)
    store_words(builder, place, words)


def store_words(builder: Any, place: Any, words: list[Any]) -> None:
    """Emit the stores of 64-bit words to memory."""
    for slot, word in enumerate(words):
        builder.store(word, builder.gep(place, [_SLOT(slot)], source_etype=_SLOT))


def _words(context: Any, builder: Any, kind: Any, value: Any) -> list[Any]:
    """A value as 64-bit integers."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        words = [builder.ptrtoint(array.data, _SLOT), *cgutils.unpack_tuple(builder, array.shape, kind.ndim)]
        return words if kind.layout == "C" else words + cgutils.unpack_tuple(builder, array.strides, kind.ndim)
    if isinstance(kind, types.BaseTuple):
        items = cgutils.unpack_tuple(builder, value, len(_items(kind)))
        words = [_words(context, builder, item, kept) for item, kept in zip(_items(kind), items, strict=True)]
        return [word for of_one in words for word in of_one]
    if isinstance(kind, types.NoneType):
        return []
    if isinstance(kind, types.Float):
        value = builder.bitcast(value, ir.IntType(kind.bitwidth))
    is_whole = not isinstance(kind, types.Boolean) and kind.bitwidth == _SLOT.width
    return [value if is_whole else builder.zext(value, _SLOT)]


def read(context: Any, builder: Any, kinds: Iterable[Any], place: Any) -> list[Any]:
    """Emit the loads of what `write` wrote."""
    slot = 0

    def word():
        nonlocal slot
        slot += 1
        return builder.load(builder.gep(place, [_SLOT(slot)], source_etype=_SLOT), typ=_SLOT)

    return [_value(context, builder, kind, word) for kind in kinds]


def _value(context: Any, builder: Any, kind: Any, word: Callable[[], Any]) -> Any:
    """The value that the next words hold."""
    if isinstance(kind, types.Array):
        return _array(context, builder, kind, word)
    if isinstance(kind, types.BaseTuple):
        return context.make_tuple(builder, kind, [_value(context, builder, item, word) for item in _items(kind)])
    if isinstance(kind, types.NoneType):
        return context.get_dummy_value()
    if isinstance(kind, types.Boolean):
        return cgutils.is_not_null(builder, word())
    value = word() if kind.bitwidth == _SLOT.width else builder.trunc(word(), ir.IntType(kind.bitwidth))
    return builder.bitcast(value, context.get_value_type(kind)) if isinstance(kind, types.Float) else value


def _array(context: Any, builder: Any, kind: Any, word: Callable[[], Any]) -> Any:
    """An array that counts no references: who launches holds it."""
    array = context.make_array(kind)(context, builder)
    data = builder.inttoptr(word(), array.data.type)
    shape = [word() for _ in range(kind.ndim)]
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    strides, step = [], itemsize
    if kind.layout == "C":
        for size in reversed(shape):
            strides.insert(0, step)
            step = builder.mul(step, size)
    else:
        strides = [word() for _ in range(kind.ndim)]
    populate_array(
        array, data=data, shape=cgutils.pack_array(builder, shape), strides=cgutils.pack_array(builder, strides),
        itemsize=itemsize, meminfo=None,
    )  # fmt: skip
    return array._getvalue()

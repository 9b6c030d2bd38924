"""A reader of pickles that builds data and runs no code.

A pickle is a program for a small stack machine, and some of its instructions import and call whatever the file names.
This machine neither imports nor calls. It looks a name up in a table of the types that checkpoints are made of; any
other name is refused, with an error that names it, before anything is built. The other instructions build numbers,
strings, lists, tuples, sets and dictionaries. An instruction of a few bytes can copy a large object again and again; so
copied bytes are counted, and limited in proportion to the bytes read.

The instructions are those of protocols 2 to 5 (Python's `pickletools` describes them) that need no imports.
"""

from __future__ import annotations

import argparse
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from convcore.errors import CheckpointError
from convcore.io.machine import MARK, MAX_NAME, Buildable, Global, Machine, made_set

_INSTRUCTIONS: dict[int, Callable[[Unpickler], None]] = {}


def _instruction(*codes: bytes) -> Callable[[Callable[[Unpickler], None]], Callable[[Unpickler], None]]:
    """Register a method as the implementation of instructions."""

    def register(method: Callable[[Unpickler], None]) -> Callable[[Unpickler], None]:
        for code in codes:
            _INSTRUCTIONS[code[0]] = method
        return method

    return register


class Unpickler(Machine):
    """Reads one pickle, and leaves the file at the first byte after it; the arguments are those of `Machine`."""

    def load(self) -> Any:
        """The object that the pickle describes.

        Raises:
            CheckpointError: the pickle is damaged, or uses a name that is not in the table.
        """
        while True:
            code = self.read(1)
            if code == pickle.STOP:
                return self.plain(self.pop())
            instruction = _INSTRUCTIONS.get(code[0])
            if instruction is None:
                raise CheckpointError(
                    f"damaged or hostile: the pickle has an instruction {code!r} that weights never need"
                )
            instruction(self)

    # Instructions: framing, constants, numbers, strings

    @_instruction(pickle.PROTO)
    def _protocol(self) -> None:
        protocol = self.number("B")
        if not 2 <= protocol <= 5:
            raise CheckpointError(f"damaged: the pickle has protocol {protocol}, PyTorch writes 2 to 5")

    @_instruction(pickle.FRAME)
    def _frame(self) -> None:
        self.read(8)

    @_instruction(pickle.NONE)
    def _none(self) -> None:
        self.push(None)

    @_instruction(pickle.NEWTRUE)
    def _true(self) -> None:
        self.push(True)

    @_instruction(pickle.NEWFALSE)
    def _false(self) -> None:
        self.push(False)

    @_instruction(pickle.BININT)
    def _int4(self) -> None:
        self.push(self.number("<i"))

    @_instruction(pickle.BININT1)
    def _int1(self) -> None:
        self.push(self.number("<B"))

    @_instruction(pickle.BININT2)
    def _int2(self) -> None:
        self.push(self.number("<H"))

    @_instruction(pickle.LONG1)
    def _long(self) -> None:
        self.push(int.from_bytes(self.string("<B"), "little", signed=True))

    @_instruction(pickle.BINFLOAT)
    def _float(self) -> None:
        self.push(self.number(">d"))

    @_instruction(pickle.BINUNICODE)
    def _text4(self) -> None:
        self.push(self.text(self.string("<I")))

    @_instruction(pickle.SHORT_BINUNICODE)
    def _text1(self) -> None:
        self.push(self.text(self.string("<B")))

    @_instruction(pickle.BINSTRING)
    def _python2_text4(self) -> None:
        self.push(self.python2_text(self.string("<I")))

    @_instruction(pickle.SHORT_BINSTRING)
    def _python2_text1(self) -> None:
        self.push(self.python2_text(self.string("<B")))

    @_instruction(pickle.BINBYTES)
    def _bytes4(self) -> None:
        self.push(self.string("<I"))

    @_instruction(pickle.SHORT_BINBYTES)
    def _bytes1(self) -> None:
        self.push(self.string("<B"))

    @_instruction(pickle.BYTEARRAY8)
    def _bytearray(self) -> None:
        self.push(bytearray(self.string("<Q")))

    # Instructions: containers

    @_instruction(pickle.MARK)
    def _mark(self) -> None:
        self.push(MARK)

    @_instruction(pickle.EMPTY_TUPLE)
    def _empty_tuple(self) -> None:
        self.push(())

    @_instruction(pickle.EMPTY_LIST)
    def _empty_list(self) -> None:
        self.push([])

    @_instruction(pickle.EMPTY_DICT)
    def _empty_dict(self) -> None:
        self.push({})

    @_instruction(pickle.TUPLE)
    def _tuple(self) -> None:
        self.push(tuple(self.items()))

    @_instruction(pickle.TUPLE1)
    def _tuple1(self) -> None:
        self.push((self.plain(self.pop()),))

    @_instruction(pickle.TUPLE2)
    def _tuple2(self) -> None:
        second, first = self.plain(self.pop()), self.plain(self.pop())
        self.push((first, second))

    @_instruction(pickle.TUPLE3)
    def _tuple3(self) -> None:
        third, second, first = self.plain(self.pop()), self.plain(self.pop()), self.plain(self.pop())
        self.push((first, second, third))

    @_instruction(pickle.APPEND)
    def _append(self) -> None:
        value = self.plain(self.pop())
        self.top(list).append(value)

    @_instruction(pickle.APPENDS)
    def _appends(self) -> None:
        items = self.items()
        self.top(list).extend(items)

    @_instruction(pickle.SETITEM)
    def _set_item(self) -> None:
        value, key = self.plain(self.pop()), self.plain(self.pop())
        self.set_items(self.top(dict), [key, value])

    @_instruction(pickle.SETITEMS)
    def _set_items(self) -> None:
        items = self.items()
        self.set_items(self.top(dict), items)

    @_instruction(pickle.EMPTY_SET)
    def _empty_set(self) -> None:
        made: set[Any] = set()
        self.spend(made)
        self.push(made)

    @_instruction(pickle.ADDITEMS)
    def _add_items(self) -> None:
        items = made_set(self.items())
        self.spend(items)
        self.top(set).update(items)

    @_instruction(pickle.FROZENSET)
    def _frozenset(self) -> None:
        self.push(frozenset(made_set(self.items())))
        self.spend(self.stack[-1])

    # Instructions: the memo

    @_instruction(pickle.BINPUT)
    def _put1(self) -> None:
        self._remember(self.number("<B"))

    @_instruction(pickle.LONG_BINPUT)
    def _put4(self) -> None:
        self._remember(self.number("<I"))

    @_instruction(pickle.MEMOIZE)
    def _memoize(self) -> None:
        self._remember(len(self.memo))

    @_instruction(pickle.BINGET)
    def _get1(self) -> None:
        self._recall(self.number("<B"))

    @_instruction(pickle.LONG_BINGET)
    def _get4(self) -> None:
        self._recall(self.number("<I"))

    def _remember(self, index: int) -> None:
        self.memo[index] = self.top(object)

    def _recall(self, index: int) -> None:
        if index not in self.memo:
            raise CheckpointError(f"damaged: the pickle refers to object {index}, which it has not made")
        self.push(self.memo[index])

    # Instructions: names, objects, persistent ids

    @_instruction(pickle.GLOBAL)
    def _global(self) -> None:
        module = self.line()
        self.find(module, self.line())

    @_instruction(pickle.STACK_GLOBAL)
    def _stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise CheckpointError("damaged or hostile: the pickle looks up a name that is not a string")
        self.find(module[:MAX_NAME], name[:MAX_NAME])

    @_instruction(pickle.INST)
    def _instance(self) -> None:
        module = self.line()
        self.find(module, self.line())
        raise CheckpointError("damaged or hostile: the pickle has an instruction INST that weights never need")

    @_instruction(pickle.REDUCE, pickle.NEWOBJ)
    def _reduce(self) -> None:
        self.call(self.pop())

    @_instruction(pickle.BUILD)
    def _build(self) -> None:
        state = self.plain(self.pop())
        target = self.pop()
        if isinstance(target, Buildable):
            target.set_state(state)
        elif isinstance(target, argparse.Namespace) and type(state) is dict and all(type(key) is str for key in state):
            self.spend(state)
            vars(target).update(state)
        elif not isinstance(target, OrderedDict):  # the attributes of a state dict are layer versions: not needed
            what = target.name if isinstance(target, Global) else type(target).__name__
            raise CheckpointError(f"damaged or hostile: the pickle sets the state of {what}")
        self.push(target)

    @_instruction(pickle.BINPERSID)
    def _persistent(self) -> None:
        made = self.persistent_load(self.pop())
        self.spend(made)
        self.push(made)

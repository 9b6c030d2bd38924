"""A reader of pickles that builds data and runs nothing.

A pickle is a program for a small stack machine, and some of its instructions import and call whatever the file names.
This machine has no import and no call. A name in the file is looked up in a table of what checkpoints are made of;
anything else is refused, by name, before anything is built from it. What is left are the instructions that make
numbers, strings, lists, tuples and dictionaries, in time and memory proportional to the file's length.

The instructions are those of protocols 2 to 5 (Python's `pickletools` describes them) that need no imports.
"""

from __future__ import annotations

import argparse
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

from convcore.errors import CheckpointError
from convcore.io.files import bytes_left

MAX_NAME = 256  # bytes of a module's or a function's name
MAX_STRING = 1 << 26  # bytes


class Global(NamedTuple):
    """What the table has for a name that may stand in a file.

    Attributes:
        name: module and name.
        value: what the name itself stands for.
        build: what takes the place of a call of it; None if it cannot be called.
    """

    name: str
    value: Any = None
    build: Callable[..., Any] | None = None


class Buildable:
    """Base of what takes a state: pickles set the state of an object after making it."""

    def set_state(self, state: Any) -> None:
        raise NotImplementedError


class _Mark:
    """Stands on the stack where a list of items begins."""


_MARK = _Mark()
_INSTRUCTIONS: dict[int, Callable[[Unpickler], None]] = {}


def _instruction(*codes: bytes) -> Callable[[Callable[[Unpickler], None]], Callable[[Unpickler], None]]:
    """Register a method as what an instruction does."""

    def register(method: Callable[[Unpickler], None]) -> Callable[[Unpickler], None]:
        for code in codes:
            _INSTRUCTIONS[code[0]] = method
        return method

    return register


class Unpickler:
    """Reads one pickle from a file and leaves the file right behind it.

    Args:
        file: open, with `seek`.
        names: the table of names, "module.name", that the pickle may use.
        persistent_load: makes the object of a persistent id (PyTorch writes storages so).
        refusal: more about a name that is not in the table; "" if there is nothing to say.
    """

    def __init__(
        self,
        file: IO[bytes],
        names: Mapping[str, Global],
        persistent_load: Callable[[Any], Any],
        refusal: Callable[[str], str],
    ):
        self.file = file
        self.left = bytes_left(file)
        self.names = names
        self.persistent_load = persistent_load
        self.refusal = refusal
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object that the pickle describes.

        Raises:
            CheckpointError: the pickle is damaged, or wants something that is not in the table.
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

    # Reading

    def read(self, count: int) -> bytes:
        """The next bytes, no fewer."""
        if count > self.left:
            raise CheckpointError(
                f"cut short or damaged: the pickle wants {count:,} more bytes, {self.left:,} are left"
            )
        self.left -= count
        content = self.file.read(count)
        if len(content) != count:
            raise CheckpointError(f"cut short: the pickle wants {count:,} more bytes, {len(content):,} are left")
        return content

    def number(self, form: str) -> Any:
        """The next number in a format of `struct`."""
        return struct.unpack(form, self.read(struct.calcsize(form)))[0]

    def string(self, form: str) -> bytes:
        """A string behind its length."""
        length = self.number(form)
        if length > MAX_STRING:
            raise CheckpointError(f"damaged or hostile: the pickle has a string of {length:,} bytes")
        return self.read(length)

    def text(self, content: bytes) -> str:
        """UTF-8, which may carry lone surrogates, as text."""
        try:
            return content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise CheckpointError("damaged: the pickle has a string that is not UTF-8") from None

    def line(self) -> str:
        """A name up to the end of its line."""
        line = self.file.readline(min(MAX_NAME, self.left))
        self.left -= len(line)
        if not line.endswith(b"\n"):
            raise CheckpointError("damaged: the pickle has a name without an end")
        return self.text(line[:-1])

    # The stack

    def push(self, value: Any) -> None:
        """Put a value onto the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take a value off the stack."""
        if not self.stack or self.stack[-1] is _MARK:
            raise CheckpointError("damaged: the pickle takes a value that is not there")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The value that stays on top, which must be of this kind."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise CheckpointError(f"damaged: the pickle adds to a {kind.__name__} that is not there")
        return self.stack[-1]

    def items(self) -> list[Any]:
        """All values down to the last mark, which goes as well."""
        items: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is _MARK:
                return items[::-1]
            items.append(self.plain(value))
        raise CheckpointError("damaged: the pickle wants a mark that is not there")

    def plain(self, value: Any) -> Any:
        """A value of the file: a name's own meaning in the place of the name."""
        if isinstance(value, Global):
            if value.value is None:
                raise CheckpointError(f"damaged or hostile: the pickle uses {value.name} as if it were data")
            return value.value
        return value

    def set_items(self, target: dict[Any, Any], items: list[Any]) -> None:
        """Add keys and values, in turns, to a dictionary."""
        if len(items) % 2:
            raise CheckpointError("damaged: the pickle has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A tuple of tuples of tuples could be made so that its hash takes for ever.
            flat = key if type(key) is tuple else (key,)
            if not all(isinstance(part, (str, bytes, int, float, type(None))) for part in flat):
                raise CheckpointError(f"damaged or hostile: a dictionary's key is a {type(key).__name__}")
            target[key] = value

    def find(self, module: str, name: str) -> None:
        """Look a name up in the table."""
        full = f"{module}.{name}"
        found = self.names.get(full)
        if found is None:
            raise CheckpointError(
                f"refused: the file wants {full!r}, which is not among the names that weights are made of, and nothing "
                f"of it was run{self.refusal(full)}"
            )
        self.push(found)

    def call(self, arguments: Any) -> None:
        """Let the table's stand-in for the name on top build its object."""
        called = self.pop()
        if not isinstance(called, Global) or called.build is None or not isinstance(arguments, tuple):
            what = called.name if isinstance(called, Global) else f"a {type(called).__name__}"
            raise CheckpointError(f"damaged or hostile: the pickle calls {what}")
        try:
            self.push(called.build(*arguments))
        except (TypeError, UnicodeError):
            kinds = ", ".join(type(argument).__name__ for argument in arguments[:10])
            raise CheckpointError(f"damaged or hostile: the pickle calls {called.name} with ({kinds})") from None

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

    @_instruction(pickle.SHORT_BINUNICODE, pickle.SHORT_BINSTRING)
    def _text1(self) -> None:
        self.push(self.text(self.string("<B")))

    @_instruction(pickle.BINSTRING)
    def _python2_text4(self) -> None:
        self.push(self.text(self.string("<I")))

    @_instruction(pickle.BINBYTES)
    def _bytes4(self) -> None:
        self.push(self.string("<I"))

    @_instruction(pickle.SHORT_BINBYTES)
    def _bytes1(self) -> None:
        self.push(self.string("<B"))

    # Instructions: containers

    @_instruction(pickle.MARK)
    def _mark(self) -> None:
        self.push(_MARK)

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
            vars(target).update(state)
        elif not isinstance(target, OrderedDict):  # a state dict's attributes are versions of layers: not needed
            what = target.name if isinstance(target, Global) else type(target).__name__
            raise CheckpointError(f"damaged or hostile: the pickle sets the state of {what}")
        self.push(target)

    @_instruction(pickle.BINPERSID)
    def _persistent(self) -> None:
        self.push(self.persistent_load(self.pop()))

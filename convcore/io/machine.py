"""The stack machine of pickles: reading, the stack, names, and a memory budget.

`unpickler` has the instructions, and explains the purpose of the machine.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

from convcore.errors import CheckpointError
from convcore.io.files import bytes_left

MAX_NAME = 256  # bytes of a module's or a function's name
MAX_STRING = 1 << 26  # bytes

# The memory budget of arguments and results of calls: FREE bytes, plus COPIED for each byte of the pickle read so far.
# Genuine files stay below: a set of small integers takes 38 bytes of memory for a byte of pickle, a tensor 22.
FREE = 1 << 20
COPIED = 40
MAX_PARTS = 64  # items of a tuple used as a key
OBJECT = 512  # approximate bytes of a tensor, a storage and the like


class Global(NamedTuple):
    """An entry of the table of allowed names.

    Attributes:
        name: module and name.
        value: the value of the name used as data; None if it cannot be.
        build: the function that replaces a call of the name; None if it cannot be called.
    """

    name: str
    value: Any = None
    build: Callable[..., Any] | None = None


class Buildable:
    """Base of objects with a state: a pickle sets the state of an object after creating it."""

    def set_state(self, state: Any) -> None:
        raise NotImplementedError


PLAIN = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


def is_flat(value: Any) -> bool:
    """Whether this may be a key: hashing a long tuple, or nested tuples, could take an unbounded time."""
    parts = value if type(value) is tuple else (value,)
    return len(parts) <= MAX_PARTS and all(
        isinstance(part, (str, bytes, int, float, complex, type(None))) for part in parts
    )


def made_set(items: Any) -> set[Any]:
    """The set of these items, which must be numbers, strings, or tuples of numbers and strings."""
    if not isinstance(items, (list, tuple)) or not all(is_flat(item) for item in items):
        raise CheckpointError("damaged or hostile: a set has an item that is neither a number nor a string")
    return set(items)


class _Mark:
    """Marks the start of a list of items on the stack."""


MARK = _Mark()


class Machine:
    """The file, the stack and the memo of a pickle, and the operations on them.

    Args:
        file: an open, seekable file.
        names: the table of names, "module.name", that the pickle may use.
        persistent_load: returns the object of a persistent id (PyTorch's pickles refer to storages by these).
        refusal: returns an explanation for a name that is not in the table, or "".
        encoding: the encoding of strings written by Python 2, or "bytes" to leave them undecoded.
    """

    def __init__(
        self,
        file: IO[bytes],
        names: Mapping[str, Global],
        persistent_load: Callable[[Any], Any],
        refusal: Callable[[str], str],
        encoding: str = "utf-8",
    ):
        self.file = file
        self.length = self.left = bytes_left(file)
        self.spent = 0
        self.encoding = encoding
        self.names = names
        self.persistent_load = persistent_load
        self.refusal = refusal
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    # Reading

    def read(self, count: int) -> bytes:
        """The next `count` bytes; fewer are an error."""
        if count > self.left:
            raise CheckpointError(
                f"cut short or damaged: the pickle wants {count:,} more bytes, {self.left:,} are left"
            )
        self.left -= count
        content = self.file.read(count)
        if len(content) != count:
            raise CheckpointError(f"cut short: the pickle wants {count:,} more bytes, {len(content):,} are left")
        return content

    def number(self, layout: str) -> Any:
        """The next number, in a format of `struct`."""
        return struct.unpack(layout, self.read(struct.calcsize(layout)))[0]

    def string(self, layout: str) -> bytes:
        """A string preceded by its length."""
        length = self.number(layout)
        if length > MAX_STRING:
            raise CheckpointError(f"damaged or hostile: the pickle has a string of {length:,} bytes")
        return self.read(length)

    def text(self, content: bytes) -> str:
        """Decode UTF-8, which may contain lone surrogates."""
        try:
            return content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise CheckpointError("damaged: the pickle has a string that is not UTF-8") from None

    def line(self) -> str:
        """A name up to the end of the line."""
        line = self.file.readline(min(MAX_NAME, self.left))
        self.left -= len(line)
        if not line.endswith(b"\n"):
            raise CheckpointError("damaged: the pickle has a name without an end")
        return self.text(line[:-1])

    def python2_text(self, content: bytes) -> str | bytes:
        """Decode a string written by Python 2, where text and bytes were the same."""
        try:
            return content if self.encoding == "bytes" else content.decode(self.encoding)
        except UnicodeDecodeError:
            raise CheckpointError(
                f'the pickle has a string of Python 2 that is not {self.encoding}; encoding="latin1" reads all of them'
            ) from None

    def spend(self, made: Any) -> None:
        """Count the memory of an object that is not spelled out in the file; raises as `count` does."""
        self.count(sys.getsizeof(made) if isinstance(made, PLAIN) else OBJECT)

    def count(self, size: int) -> None:
        """Count bytes of memory that instructions read or allocate.

        Raises:
            CheckpointError: the budget of a file of this length is exceeded.
        """
        self.spent += size
        if self.spent > FREE + COPIED * (self.length - self.left):
            raise CheckpointError(
                f"damaged or hostile: {self.length - self.left:,} bytes of the pickle ask for {self.spent:,} bytes of "
                "memory, most of it for copies"
            )

    # The stack

    def push(self, value: Any) -> None:
        """Push a value onto the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Pop a value off the stack."""
        if not self.stack or self.stack[-1] is MARK:
            raise CheckpointError("damaged: the pickle takes a value that is not there")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The value on top of the stack, which must be of this type; it is not popped."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise CheckpointError(f"damaged: the pickle adds to a {kind.__name__} that is not there")
        return self.stack[-1]

    def items(self) -> list[Any]:
        """Pop all values down to the last mark, and the mark."""
        items: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is MARK:
                return items[::-1]
            items.append(self.plain(value))
        raise CheckpointError("damaged: the pickle wants a mark that is not there")

    def plain(self, value: Any) -> Any:
        """The value as data: a name is replaced by its value."""
        if isinstance(value, Global):
            if value.value is None:
                raise CheckpointError(f"damaged or hostile: the pickle uses {value.name} as if it were data")
            return value.value
        return value

    def set_items(self, target: dict[Any, Any], items: list[Any]) -> None:
        """Add alternating keys and values to a dictionary."""
        if len(items) % 2:
            raise CheckpointError("damaged: the pickle has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not is_flat(key):
                raise CheckpointError(f"damaged or hostile: a dictionary's key is a {type(key).__name__}")
            target[key] = value

    def find(self, module: str, name: str) -> None:
        """Push the table's entry for a name."""
        full = f"{module}.{name}"
        found = self.names.get(full)
        if found is None:
            raise CheckpointError(
                f"refused: the file wants {full!r}, which is not among the names that weights are made of, and nothing "
                f"of it was run{self.refusal(full)}"
            )
        self.push(found)

    def call(self, arguments: Any) -> None:
        """Build an object by the table's entry on top of the stack."""
        called = self.pop()
        if not isinstance(called, Global) or called.build is None or not isinstance(arguments, tuple):
            what = called.name if isinstance(called, Global) else f"a {type(called).__name__}"
            raise CheckpointError(f"damaged or hostile: the pickle calls {what}")
        # Reading the arguments takes time, even if the result is small.
        self.count(8 * sum(len(given) for given in (arguments, *arguments) if isinstance(given, PLAIN)))
        try:
            made = called.build(*arguments)
        except (TypeError, UnicodeError):
            kinds = ", ".join(type(argument).__name__ for argument in arguments[:10])
            raise CheckpointError(f"damaged or hostile: the pickle calls {called.name} with ({kinds})") from None
        self.spend(made)
        self.push(made)

"""The stack machine of pickles: reading, the stack, names, and the count of the memory that calls take.

`unpickler` has the instructions, and says what the machine is for.
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

# What calls get and make may take FREE bytes, and COPIED for each byte of the pickle so far. True files stay below: a
# set of small integers has 38 bytes of memory for one of the pickle, a tensor 22.
FREE = 1 << 20
COPIED = 40
MAX_PARTS = 64  # of a tuple that is a key
OBJECT = 512  # bytes of a tensor, a storage and the like, about


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


PLAIN = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


def is_flat(value: Any) -> bool:
    """Whether this may be a key: the hash of a long tuple, or of tuples of tuples, could take for ever."""
    parts = value if type(value) is tuple else (value,)
    return len(parts) <= MAX_PARTS and all(
        isinstance(part, (str, bytes, int, float, complex, type(None))) for part in parts
    )


def made_set(items: Any) -> set[Any]:
    """The set of these items, which must be numbers, strings or tuples of them."""
    if not isinstance(items, (list, tuple)) or not all(is_flat(item) for item in items):
        raise CheckpointError("damaged or hostile: a set has an item that is neither a number nor a string")
    return set(items)


class _Mark:
    """Stands on the stack where a list of items begins."""


MARK = _Mark()


class Machine:
    """The file, the stack and the memo of a pickle, and what instructions do with them.

    Args:
        file: open, with `seek`.
        names: the table of names, "module.name", that the pickle may use.
        persistent_load: makes the object of a persistent id (PyTorch writes storages so).
        refusal: more about a name that is not in the table; "" if there is nothing to say.
        encoding: of the strings that Python 2 wrote, or "bytes" to leave them as they are.
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

    def python2_text(self, content: bytes) -> str | bytes:
        """A string that Python 2 wrote, where text and bytes were the same."""
        try:
            return content if self.encoding == "bytes" else content.decode(self.encoding)
        except UnicodeDecodeError:
            raise CheckpointError(
                f'the pickle has a string of Python 2 that is not {self.encoding}; encoding="latin1" reads all of them'
            ) from None

    def spend(self, made: Any) -> None:
        """Count the memory of something that is not written out in the file; raises as `count` does."""
        self.count(sys.getsizeof(made) if isinstance(made, PLAIN) else OBJECT)

    def count(self, size: int) -> None:
        """Count bytes of memory that instructions read or make.

        Raises:
            CheckpointError: there are too many for a file of this length.
        """
        self.spent += size
        if self.spent > FREE + COPIED * (self.length - self.left):
            raise CheckpointError(
                f"damaged or hostile: {self.length - self.left:,} bytes of the pickle ask for {self.spent:,} bytes of "
                "memory, most of it for copies"
            )

    # The stack

    def push(self, value: Any) -> None:
        """Put a value onto the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take a value off the stack."""
        if not self.stack or self.stack[-1] is MARK:
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
            if value is MARK:
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
            if not is_flat(key):
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
        # Reading them takes time, also where little is made of them.
        self.count(8 * sum(len(given) for given in (arguments, *arguments) if isinstance(given, PLAIN)))
        try:
            made = called.build(*arguments)
        except (TypeError, UnicodeError):
            kinds = ", ".join(type(argument).__name__ for argument in arguments[:10])
            raise CheckpointError(f"damaged or hostile: the pickle calls {called.name} with ({kinds})") from None
        self.spend(made)
        self.push(made)

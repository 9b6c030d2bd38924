"""Writes the pickle of a checkpoint, instruction by instruction, with PyTorch's names, but without importing PyTorch.

It uses protocol 2, and only the instructions that `torch.load(weights_only=True)` reads.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from convcore.autograd import Variable
from convcore.errors import DTypeError
from convcore.io.machine import MAX_STRING, is_flat

MAX_DEPTH = 200


class StorageView(NamedTuple):
    """The position of a tensor in a storage; offset and strides count elements."""

    storage: str
    key: str
    count: int
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool


class Pickler:
    """Writes one object.

    Args:
        storage_view: returns the position of a tensor in a storage.
    """

    def __init__(self, storage_view: Callable[[Any], StorageView]):
        self.storage_view = storage_view
        self.out = bytearray()

    def dump(self, value: Any) -> bytes:
        """The pickle of `value`.

        Raises:
            DTypeError: it contains something that is neither a tensor nor plain data.
        """
        self.out += pickle.PROTO + b"\x02"
        self.save(value, "obj", 0)
        self.out += pickle.STOP
        return bytes(self.out)

    def save(self, value: Any, where: str, depth: int) -> None:
        """Append the instructions that push `value`; `where` names it in errors."""
        if depth > MAX_DEPTH:
            raise DTypeError(f"save: {where:.60}.. lies {MAX_DEPTH} levels deep, or contains itself")
        if value is None:
            self.out += pickle.NONE
        elif isinstance(value, (bool, np.bool_)):
            self.out += pickle.NEWTRUE if value else pickle.NEWFALSE
        elif isinstance(value, (int, np.integer)):
            self._int(int(value), where)
        elif isinstance(value, (float, np.floating)):
            self.out += pickle.BINFLOAT + struct.pack(">d", value)
        elif isinstance(value, str):
            self._text(value, where)
        elif isinstance(value, complex):
            self._global("__builtin__", "complex")
            self._call(lambda: (self.save(value.real, where, depth), self.save(value.imag, where, depth)))
        elif isinstance(value, bytes):
            self._global("_codecs", "encode")
            self._call(lambda: (self._text(value.decode("latin-1"), where), self._text("latin1")))
        elif isinstance(value, bytearray):
            self._global("__builtin__", "bytearray")
            self._call(lambda: (self._text(value.decode("latin-1"), where), self._text("latin-1")))
        elif isinstance(value, Variable):
            self._tensor(value)
        elif isinstance(value, tuple):
            self._tuple(lambda: [self.save(part, f"{where}[{i}]", depth + 1) for i, part in enumerate(value)])
        elif isinstance(value, list):
            self._list(value, where, depth)
        elif isinstance(value, set):
            self._set(value, where, depth)
        elif isinstance(value, dict):
            self._dict(value, where, depth)
        else:
            hint = "; convcore.from_numpy makes a tensor of it" if isinstance(value, np.ndarray) else ""
            hint = "; save its state_dict()" if hasattr(value, "state_dict") else hint
            raise DTypeError(
                f"save: obj must be made of tensors, numbers, strings, bytes, None, lists, tuples, sets and dicts, but "
                f"{where} is {type(value).__module__}.{type(value).__qualname__}{hint}"
            )

    def _list(self, value: list[Any], where: str, depth: int) -> None:
        self.out += pickle.EMPTY_LIST + pickle.MARK
        for index, part in enumerate(value):
            self.save(part, f"{where}[{index}]", depth + 1)
        self.out += pickle.APPENDS

    def _set(self, value: set[Any], where: str, depth: int) -> None:
        """A call with the list of items, in an order that does not depend on hashes."""
        for item in value:
            if not is_flat(item):
                raise DTypeError(
                    f"save: items of sets must be strings, numbers or tuples of them, but {where} has {item!r}"
                )
        self._global("__builtin__", "set")
        items = sorted(value, key=lambda item: (type(item).__name__, repr(item)))
        self._call(lambda: self._list(items, where, depth))

    def _dict(self, value: dict[Any, Any], where: str, depth: int) -> None:
        if isinstance(value, OrderedDict):
            self._empty_ordered_dict()
        else:
            self.out += pickle.EMPTY_DICT
        self.out += pickle.MARK
        for key, part in value.items():
            if not is_flat(key):
                raise DTypeError(
                    f"save: keys of dicts must be strings, numbers or tuples of them, but {where} has {key!r}"
                )
            self.save(key, f"{where}[{key!r}]", depth + 1)
            self.save(part, f"{where}[{key!r}]", depth + 1)
        self.out += pickle.SETITEMS

    def _tensor(self, value: Any) -> None:
        """A call of PyTorch's function with storage, offset, size, stride, requires_grad and hooks."""
        view = self.storage_view(value)
        self._global("torch._utils", "_rebuild_tensor_v2")

        def arguments() -> None:
            self._tuple(lambda: self._storage(view))
            self.out += pickle.BINPERSID
            self._int(view.offset)
            self._tuple(lambda: self._ints(view.size))
            self._tuple(lambda: self._ints(view.stride))
            self.out += pickle.NEWTRUE if view.requires_grad else pickle.NEWFALSE
            self._empty_ordered_dict()

        self._call(arguments)

    def _storage(self, view: StorageView) -> None:
        self._text("storage")
        self._global("torch", view.storage)
        self._text(view.key)
        self._text("cpu")
        self._int(view.count)

    def _empty_ordered_dict(self) -> None:
        self._global("collections", "OrderedDict")
        self.out += pickle.EMPTY_TUPLE + pickle.REDUCE

    def _call(self, arguments: Callable[[], Any]) -> None:
        self._tuple(arguments)
        self.out += pickle.REDUCE

    def _tuple(self, items: Callable[[], Any]) -> None:
        self.out += pickle.MARK
        items()
        self.out += pickle.TUPLE

    def _ints(self, values: Iterable[int]) -> None:
        for value in values:
            self._int(value)

    def _int(self, value: int, where: str = "obj") -> None:
        if -(1 << 31) <= value < 1 << 31:
            self.out += pickle.BININT + struct.pack("<i", value)
            return
        content = pickle.encode_long(value)
        if len(content) > 255:
            raise DTypeError(f"save: integers must have fewer than 2,040 bits, but {where} has {value.bit_length():,}")
        self.out += pickle.LONG1 + bytes([len(content)]) + content

    def _text(self, value: str, where: str = "obj") -> None:
        content = value.encode("utf-8", "surrogatepass")
        if len(content) > MAX_STRING:
            raise DTypeError(
                f"save: strings must have at most {MAX_STRING:,} bytes in UTF-8, but {where:.60} has {len(content):,}; "
                "save a uint8 tensor"
            )
        self.out += pickle.BINUNICODE + struct.pack("<I", len(content)) + content

    def _global(self, module: str, name: str) -> None:
        self.out += pickle.GLOBAL + f"{module}\n{name}\n".encode()

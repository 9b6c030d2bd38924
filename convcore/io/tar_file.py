"""PyTorch's file format of 2016, read without PyTorch: a tar archive of three records.

`storages` holds the elements, `tensors` the position of each tensor in a storage, and `pickle` the object, which refers
to tensors by persistent ids. The ids are numbers. Nothing is unpacked to the disk.
"""

from __future__ import annotations

import struct
import tarfile
from typing import IO, Any

from convcore.errors import CheckpointError
from convcore.io.elements import ElementType, read_elements
from convcore.io.files import bytes_left
from convcore.io.torch_names import NAMES, Storage, rebuild_tensor, refusal
from convcore.io.unpickler import Unpickler

RECORDS = ("storages", "tensors", "pickle")


def is_tar(head: bytes) -> bool:
    """Whether a file with these first 512 bytes is a tar archive."""
    return head[257:262] == b"ustar"


def read_tar(file: IO[bytes], encoding: str) -> Any:
    """Read a file of this format.

    Raises:
        CheckpointError: without the file's name, which the caller adds.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            return _Tar(archive, encoding).read()
    except CheckpointError:
        raise
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, struct.error) as error:
        raise CheckpointError(f"cut short or damaged: {type(error).__name__} in a tar archive") from None


class _Tar:
    """One archive, and the storages and tensors read so far, by id."""

    def __init__(self, archive: tarfile.TarFile, encoding: str):
        self.archive, self.encoding = archive, encoding
        self.members = {member.name: member for member in archive}
        self.made: dict[int, Any] = {}

    def read(self) -> Any:
        """The saved object."""
        if not all(name in self.members for name in RECORDS):
            names = ", ".join(f"{name!r:.40}" for name in list(self.members)[:3])
            raise CheckpointError(f"a tar archive of other files ({names}, ..), not weights; unpack it (tar -xf)")
        with self.record("storages") as record:
            for _ in range(self.count(record)):
                self.add_storage(record)
            self.add_views(self.unpickled(record))
        with self.record("tensors") as record:
            for _ in range(self.count(record)):
                self.add_tensor(record)
        with self.record("pickle") as record:
            return self.unpickled(record)

    def record(self, name: str) -> IO[bytes]:
        """One file of the archive; sparse files are refused, because they could be longer than the archive."""
        member = self.members[name]
        record = self.archive.extractfile(member) if member.isreg() and not member.issparse() else None
        if record is None:
            raise CheckpointError(f"damaged or hostile: {name} in the tar archive is no plain file")
        return record

    def unpickled(self, record: IO[bytes]) -> Any:
        """The next pickle of a record."""
        return Unpickler(record, NAMES, self.persistent_load, refusal, self.encoding).load()

    def count(self, record: IO[bytes]) -> int:
        """The number of entries that follow."""
        count = self.unpickled(record)
        if type(count) is not int:
            raise CheckpointError("damaged: a number of storages or tensors is missing")
        return count

    def described(self, record: IO[bytes], second: type, third: type) -> tuple[int, Any, Any]:
        """The three values before an entry: its id, and two of these types."""
        facts = self.unpickled(record)
        if not isinstance(facts, tuple) or [*map(type, facts)] != [int, second, third]:
            raise CheckpointError("damaged: a storage or tensor is not described by three facts")
        return facts

    def add_storage(self, record: IO[bytes]) -> None:
        """Read a storage: id, device and type; the number of elements, as int64; the elements."""
        key, _, element = self.described(record, str, ElementType)
        (size,) = self.numbers(record, "<q")
        if not 0 <= size * element.itemsize <= bytes_left(record):
            raise CheckpointError(f"cut short or damaged: a storage is to have {size:,} elements of {element.name}")
        storage = Storage.empty(element, size)
        read_elements(record, element, storage.base.array)
        self.made[key] = storage

    def add_views(self, views: Any) -> None:
        """Add storages that are views of others: (id, id of the other, offset, elements)."""
        for view in views if isinstance(views, (list, tuple)) else [None]:
            if not isinstance(view, tuple) or [*map(type, view)] != [int] * 4:
                raise CheckpointError("damaged: a view of a storage is not four numbers")
            key, base, offset, size = view
            self.made[key] = self.find(base, Storage).part(offset, size)

    def add_tensor(self, record: IO[bytes]) -> None:
        """Read the position of a tensor: id, storage id and type; the number of axes, sizes, strides and offset."""
        key, storage, _ = self.described(record, int, str)
        axes, _ = self.numbers(record, "<ii")
        if not 0 <= axes <= bytes_left(record) // 16:
            raise CheckpointError(f"damaged: a tensor is to have {axes:,} axes")
        *sizes, offset = self.numbers(record, f"<{2 * axes + 1}q")
        size, stride = tuple(sizes[:axes]), tuple(sizes[axes:])
        self.made[key] = rebuild_tensor(self.find(storage, Storage), offset, size, stride)

    @staticmethod
    def numbers(record: IO[bytes], layout: str) -> tuple[int, ...]:
        """The next numbers, in a format of `struct`."""
        return struct.unpack(layout, record.read(struct.calcsize(layout)))

    def find(self, key: int, kind: type) -> Any:
        """The storage or tensor with this id."""
        found = self.made.get(key)
        if found is None or not isinstance(found, kind):
            raise CheckpointError(f"damaged: the tar archive refers to object {key}, which is not in it")
        return found

    def persistent_load(self, saved_id: Any) -> Any:
        """The object of an id in a pickle, written as a number or as a string of digits."""
        text = saved_id.decode("ascii", "replace") if isinstance(saved_id, bytes) else saved_id
        text = str(text) if isinstance(text, int) else text  # not of nested lists, whose text could be endless
        if not isinstance(text, str) or not text.isdecimal() or len(text) > 20:
            raise CheckpointError("damaged: the pickle refers to something that is not a tensor")
        return self.find(int(text), object)

"""PyTorch's two file formats since 2017, read without PyTorch; `tar_file` reads the format before.

Since version 1.6 a file is a ZIP archive: `NAME/data.pkl` is a pickle in which each tensor refers to a storage by a
key, and `NAME/data/KEY` holds the bytes of the storage. Before that it was a stream of five pickles: the magic number,
the protocol, properties of the machine, the object, and the list of keys; then for each key the number of elements and
the bytes.

Two guarantees: a file runs no code (see `unpickler`), and takes memory in proportion to the size of the file.
"""

from __future__ import annotations

import copy
import io
import struct
import zipfile
import zlib
from typing import IO, Any

from convcore.errors import CheckpointError
from convcore.io.elements import ElementType, read_elements
from convcore.io.files import bytes_left
from convcore.io.torch_names import NAMES, Storage, refusal
from convcore.io.unpickler import Unpickler

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001

# Raised by `zipfile` for damaged archives.
ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, KeyError, NotImplementedError,
    OverflowError, RuntimeError, ValueError,
)  # fmt: skip


class Storages:
    """The storages of one file, created when the pickle first refers to them.

    Args:
        limit: the largest number of bytes of elements, since the file cannot hold more.
        encoding: the encoding of strings written by Python 2; see `Machine`.
    """

    def __init__(self, limit: int, encoding: str):
        self.left = limit
        self.encoding = encoding
        self.by_key: dict[str, Storage] = {}

    def persistent_load(self, saved_id: Any) -> Storage:
        """The storage of a persistent id: ("storage", type, key, device, elements[, view])."""
        if not isinstance(saved_id, tuple) or len(saved_id) not in (5, 6) or saved_id[0] not in ("storage", b"storage"):
            raise CheckpointError("damaged: the pickle refers to something that is not a storage")
        _, element, key, _, count, *view = saved_id
        key = key.decode("ascii", "replace") if isinstance(key, bytes) else key
        if not isinstance(element, ElementType) or not isinstance(key, str) or type(count) is not int or count < 0:
            raise CheckpointError("damaged: the pickle refers to a storage without type, key or length")
        storage = self.by_key.get(key)
        if storage is None:
            if count * element.itemsize > self.left:
                raise CheckpointError(
                    f"cut short or damaged: storage {key!r:.40} is to have {count:,} elements of {element.name}, the "
                    f"file has {self.left:,} bytes left for it"
                )
            self.left -= count * element.itemsize
            storage = self.by_key[key] = self.make(key, element, count)
        if storage.element is not element or storage.base.array.size != count:
            raise CheckpointError(f"damaged: storage {key!r:.40} has two types or lengths")
        return storage if view in ([], [None]) else self.viewed(storage, view[0])

    def make(self, key: str, element: ElementType, count: int) -> Storage:
        """A new storage, not filled yet."""
        return Storage.empty(element, count)

    @staticmethod
    def viewed(storage: Storage, view: Any) -> Storage:
        """A part of a storage: (key, offset, elements), in files of the first versions."""
        if not isinstance(view, tuple) or len(view) != 3 or not all(type(number) is int for number in view[1:]):
            raise CheckpointError("damaged: the view of a storage is not (key, offset, elements)")
        return storage.part(view[1], view[2])

    def unpickled(self, file: IO[bytes]) -> Any:
        """The object of a pickle with tensors in these storages."""
        return Unpickler(file, NAMES, self.persistent_load, refusal, self.encoding).load()


# The stream


def read_legacy(file: IO[bytes], encoding: str) -> Any:
    """Read a file of the format before PyTorch 1.6.

    Raises:
        CheckpointError: without the file's name, which the caller adds.
    """
    storages = Storages(bytes_left(file), encoding)
    if storages.unpickled(file) != MAGIC_NUMBER:
        raise CheckpointError("a pickle, but not one of torch.save; pickles of other programs are not read")
    version, machine = storages.unpickled(file), storages.unpickled(file)
    if version != PROTOCOL_VERSION or not isinstance(machine, dict):
        raise CheckpointError(f"damaged: not version {PROTOCOL_VERSION} of PyTorch's stream")
    result = storages.unpickled(file)
    keys = storages.unpickled(file)
    if isinstance(keys, list):
        keys = [key.decode("ascii", "replace") if isinstance(key, bytes) else key for key in keys]
    if (
        not isinstance(keys, list)
        or not all(isinstance(key, str) for key in keys)
        or sorted(keys) != sorted(storages.by_key)
    ):
        raise CheckpointError("damaged: the list of storages is not that of the tensors")
    for key in keys:
        storage, prefix = storages.by_key[key], file.read(8)
        array = storage.base.array
        if len(prefix) < 8 or struct.unpack("<q", prefix)[0] != array.size:
            raise CheckpointError(f"cut short or damaged: storage {key!r} does not have {array.size:,} elements")
        read_elements(file, storage.element, array, big_endian=machine.get("little_endian") is False)
    return result


# The archive


class ZipStorages(Storages):
    """The storages of an archive, read when the pickle first refers to them."""

    def __init__(self, limit: int, encoding: str, archive: zipfile.ZipFile, folder: str, big_endian: bool):
        super().__init__(limit, encoding)
        self.archive, self.folder, self.big_endian = archive, folder, big_endian

    def make(self, key: str, element: ElementType, count: int) -> Storage:
        storage = super().make(key, element, count)
        with open_record(self.archive, f"{self.folder}/data/{key}", count * element.itemsize) as record:
            read_elements(record, element, storage.base.array, self.big_endian)
        return storage


def read_zip(file: IO[bytes], archive: zipfile.ZipFile, encoding: str) -> Any:
    """Read a file of the format since PyTorch 1.6.

    Raises:
        CheckpointError: without the file's name, which the caller adds.
    """
    names = archive.namelist()
    folders = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(folders) != 1:
        listed = ", ".join(f"{name!r:.60}" for name in names[:3]) + (", .." if len(names) > 3 else "")
        raise CheckpointError(
            f"a ZIP archive without weights: {len(folders)} data.pkl among {len(names)} files ({listed}); unpack it if "
            "one of them is the file of weights"
        )
    folder = folders[0]
    if f"{folder}/constants.pkl" in names:
        raise CheckpointError("a TorchScript program, which is code; save model.state_dict() with torch.save instead")
    order = b"little"
    if f"{folder}/byteorder" in names:
        with open_record(archive, f"{folder}/byteorder") as record:
            order = record.read(16)
    if order not in (b"little", b"big"):
        raise CheckpointError(f"damaged: the byte order is {order!r}")
    file.seek(0)
    storages = ZipStorages(bytes_left(file), encoding, archive, folder, order == b"big")
    with open_record(archive, f"{folder}/data.pkl") as record:
        content = record.read()  # all of it, so that zipfile verifies the checksum before anything is unpickled
    return storages.unpickled(io.BytesIO(content))


def open_record(archive: zipfile.ZipFile, name: str, size: int | None = None) -> IO[bytes]:
    """Open one file of an archive; compressed ones are refused, because they could be longer than the archive."""
    info = copy.copy(archive.getinfo(name))
    if info.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(
            f"the record {name!r:.80} is compressed, which torch.save never does; unpack and save again"
        )
    if size is not None and info.file_size != size:
        raise CheckpointError(
            f"damaged: the record {name!r:.80} has {info.file_size:,} bytes, its tensors need {size:,}"
        )
    if info.CRC == 0:
        del info.CRC  # PyTorch can be set to write no checksums
    return archive.open(info)

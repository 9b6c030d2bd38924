"""Writes PyTorch's file format (the ZIP archive that `torch_file` describes) without PyTorch."""

from __future__ import annotations

import math
import struct
import sys
import zipfile
from typing import IO, Any, NamedTuple

import numpy as np

from convcore.errors import DTypeError
from convcore.io.elements import ELEMENT_TYPES
from convcore.io.pickler import Pickler, StorageView

FOLDER = "archive"
ALIGNMENT = 64  # bytes; alignment of each storage in the file, so that torch.load(mmap=True) can use it in place
LOCAL_HEADER = 30  # bytes before the name of each file in a ZIP archive
_STORAGE_TYPES = {element.dtype: element.storage for element in ELEMENT_TYPES if element.name == str(element.dtype)}


class _Span(NamedTuple):
    """An array, and the range of addresses of its elements."""

    index: int
    array: np.ndarray
    low: int
    high: int


def write_torch(file: IO[bytes], obj: Any) -> None:
    """Write `obj` for `torch.load(weights_only=True)`. The same object gives the same bytes.

    Tensors that overlap in memory share a storage in the file and keep their strides. A tensor with gaps between its
    elements that no other tensor uses (every second column, say) is written without the gaps.
    """
    tensors: list[Any] = []

    def note(tensor: Any) -> StorageView:
        if tensor.array.dtype not in _STORAGE_TYPES:
            raise DTypeError(f"save: PyTorch's files have no elements of type {tensor.array.dtype}")
        tensors.append(tensor)
        return StorageView("", "", 0, 0, (), (), False)

    Pickler(note).dump(obj)
    storages, views = _storage_views(tensors)
    in_order = iter(views)  # the second pass meets the same tensors in the same order
    content = Pickler(lambda _: next(in_order)).dump(obj)
    with zipfile.ZipFile(file, "w") as archive:
        _write_record(file, archive, "data.pkl", content)
        _write_record(file, archive, "byteorder", sys.byteorder.encode())
        for key, storage in enumerate(storages):
            _write_record(file, archive, f"data/{key}", storage)
        _write_record(file, archive, "version", b"3\n")


def _storage_views(tensors: list[Any]) -> tuple[list[np.ndarray], list[StorageView]]:
    """The storages to write, 1-D arrays, and the position of each tensor in one of them."""
    groups = _overlapping([_span(index, tensor.array) for index, tensor in enumerate(tensors)])
    storages: list[np.ndarray] = []
    views: dict[int, StorageView] = {}
    for group in sorted(groups, key=lambda spans: min(span.index for span in spans)):
        low, high = group[0].low, max(span.high for span in group)
        first, itemsize = group[0].array, group[0].array.itemsize
        has_holes = len(group) == 1 and high - low != first.nbytes and not _is_expanded(first)
        if has_holes:
            storages.append(np.ascontiguousarray(first).reshape(-1))
        else:
            count = (high - low) // itemsize
            storages.append(np.lib.stride_tricks.as_strided(first, (count,), (itemsize,), writeable=False))
        for index, array, start, _ in group:
            views[index] = StorageView(
                storage=_STORAGE_TYPES[array.dtype],
                key=str(len(storages) - 1),
                count=storages[-1].size,
                offset=(start - low) // itemsize,
                size=array.shape,
                stride=_dense(array.shape) if has_holes else tuple(step // itemsize for step in array.strides),
                requires_grad=tensors[index].requires_grad,
            )
    return storages, [views[index] for index in range(len(tensors))]


def _span(index: int, array: np.ndarray) -> _Span:
    """An array, or a copy if PyTorch does not have such strides, and its range of addresses."""
    if array.size == 0 or any(step < 0 or step % array.itemsize for step in array.strides):
        array = np.array(array, order="C", copy=True)
    low = array.__array_interface__["data"][0]
    last = (
        sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True))
        if array.size
        else -array.itemsize
    )
    return _Span(index, array, low, low + last + array.itemsize)


def _overlapping(spans: list[_Span]) -> list[list[_Span]]:
    """Groups of arrays of one dtype that overlap in memory, each sorted by address."""
    groups: list[list[_Span]] = []
    high = 0
    for span in sorted(spans, key=lambda span: (str(span.array.dtype), span.low)):
        before = groups[-1][0] if groups else None
        if (
            before is not None
            and before.array.dtype == span.array.dtype
            and span.low < high
            and (span.low - before.low) % span.array.itemsize == 0
        ):
            groups[-1].append(span)
            high = max(high, span.high)
        else:
            groups.append([span])
            high = span.high
    return groups


def _is_expanded(array: np.ndarray) -> bool:
    """Whether several elements share memory."""
    return any(n > 1 and step == 0 for n, step in zip(array.shape, array.strides, strict=True))


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of a dense row-major array."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _write_record(file: IO[bytes], archive: zipfile.ZipFile, name: str, content: Any) -> None:
    """Add one file to the archive, uncompressed and aligned."""
    info = zipfile.ZipInfo(f"{FOLDER}/{name}")  # without the time, so that equal objects give equal bytes
    view = memoryview(content).cast("B") if len(content) else b""
    info.file_size = len(view)
    wide = 20 if info.file_size * 1.05 > zipfile.ZIP64_LIMIT else 0  # bytes of the 64-bit sizes
    padding = -(file.tell() + LOCAL_HEADER + len(info.filename) + wide + 4) % ALIGNMENT
    info.extra = b"FB" + struct.pack("<H", padding) + bytes(padding)
    with archive.open(info, "w") as record:
        record.write(view)

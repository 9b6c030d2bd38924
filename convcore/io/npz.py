"""Arrays in NumPy's `.npz` archives."""

from __future__ import annotations

import math
import tokenize
import zipfile
from typing import IO, TYPE_CHECKING

import numpy as np

from convcore.autograd import wrap
from convcore.errors import CheckpointError
from convcore.io.files import bytes_left

if TYPE_CHECKING:
    from convcore.tensor import Tensor

# Memory is limited in proportion to the file: compression shrinks weights little, but zeros by a factor of 1000.
MAX_RATIO = 100
MIN_LIMIT = 1 << 26

# Raised by NumPy if a header is not a Python dictionary literal.
HEADER_ERRORS = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError)

_CONVERTED = {np.dtype(np.float16): np.dtype(np.float32)}


def read_npz(file: IO[bytes], archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Read the arrays of an archive by name; float16 becomes float32, other dtypes stay.

    Raises:
        CheckpointError: without the file's name, which the caller adds.
    """
    file.seek(0)
    left = max(MIN_LIMIT, MAX_RATIO * bytes_left(file))
    tensors = {}
    for info in archive.infolist():
        if not info.filename.endswith(".npy"):
            raise CheckpointError(f"the archive holds {info.filename!r:.80}, which is not an array (.npy)")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others allocate memory in advance
            raise CheckpointError(f"array {info.filename!r:.80} is compressed in a way that NumPy does not use")
        with archive.open(info) as record:
            array = _read_array(record, info, left)
        left -= array.nbytes
        name = info.filename.removesuffix(".npy")
        if name in tensors:
            raise CheckpointError(f"damaged: the archive has two arrays of the name {name!r:.80}")
        tensors[name] = wrap(array)
    return tensors


def _read_array(record: IO[bytes], info: zipfile.ZipInfo, limit: int) -> np.ndarray:
    version = np.lib.format.read_magic(record)
    if version != (1, 0):  # other versions are for headers of 64 KiB and more, which plain arrays do not have
        raise CheckpointError(f"array {info.filename!r:.80} has version {version} of NumPy's format, not (1, 0)")
    try:
        shape, column_major, dtype = np.lib.format.read_array_header_1_0(record)
    except HEADER_ERRORS as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise CheckpointError(f"damaged: the header of array {info.filename!r:.80}: {reason:.100}") from None
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype.newbyteorder("=") in map(np.dtype, ("u2", "u4", "u8")):
        raise CheckpointError(f"array {info.filename!r:.80} has elements of type {dtype}, which convcore does not have")
    size = math.prod(shape) * dtype.itemsize
    if size > limit or size > info.file_size:
        raise CheckpointError(
            f"array {info.filename!r:.80} of shape {shape} is to have {size:,} bytes; the archive says "
            f"{info.file_size:,}, and its size allows {limit:,}"
        )
    content = bytearray()
    while len(content) < size:
        part = record.read(min(1 << 20, size - len(content)))
        if not part:
            raise CheckpointError(f"cut short: array {info.filename!r:.80} has {len(content):,} of {size:,} bytes")
        content += part
    if record.read(1):
        raise CheckpointError(f"damaged: array {info.filename!r:.80} is longer than its shape {shape} says")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if column_major else "C")
    native = dtype.newbyteorder("=")
    return array.astype(_CONVERTED.get(native, native), copy=False)

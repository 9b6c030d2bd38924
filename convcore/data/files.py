"""Readers of the file formats of image collections: IDX (MNIST and the like) and CIFAR-10's records.

Both formats are plain bytes after a short header, or without one. So the length reveals a damaged download, and the
errors name the file, the expected number of bytes and the actual one.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from convcore.errors import CheckpointError
from convcore.io.elements import MAX_AXES
from convcore.io.foreign import HEAD, named

GZIP_MAGIC = b"\x1f\x8b"
GZIP_MAX_RATIO = 1032  # the most that deflate encodes in one byte (Deutsch 1996, RFC 1951: 258 bytes in 2 bits)
READ_CHUNK = 1 << 20

# The third byte of an IDX file is the element type; all values are big-endian (http://yann.lecun.com/exdb/mnist).
IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

CIFAR_SHAPE = (3, 32, 32)  # the channel planes red, green, blue, each row by row
CIFAR_RECORD = 1 + math.prod(CIFAR_SHAPE)  # bytes: the label, then the pixels


class _Source:
    """A file of bytes, unpacked if it is gzip (recognised by the first bytes, not by the name)."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            self.zipped = file.read(2) == GZIP_MAGIC
        self.most_bytes = size * GZIP_MAX_RATIO if self.zipped else size

    def read(self, limit: int) -> bytes:
        """At most the first `limit` bytes, with memory in proportion to the content rather than to `limit`."""
        content = bytearray()
        try:
            with gzip.open(self.path, "rb") if self.zipped else self.path.open("rb") as file:
                while len(content) < limit:
                    part = file.read(min(READ_CHUNK, limit - len(content)))
                    if not part:
                        break
                    content += part
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise CheckpointError(
                f"{self.path}: the gzip file is damaged or cut short after {len(content):,} unpacked bytes ({error}); "
                "download it again"
            ) from None
        return bytes(content)


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file, plain or .gz.

    The format: two zero bytes, one byte for the element type, one for the number of axes; each axis's length as a
    big-endian uint32; then the elements, last axis fastest.

    Raises:
        CheckpointError: the file is not IDX, or its length does not match its header.
        OSError: the file cannot be opened.
    """
    source = _Source(path)
    head = source.read(HEAD)
    magic = head[:4]
    if len(magic) < 4:
        raise CheckpointError(f"{source.path}: an IDX file begins with 4 magic bytes, this one has {len(magic)} bytes")
    zeros, code, ndim = struct.unpack(">HBB", magic)
    if zeros != 0 or code not in IDX_DTYPES or ndim == 0:
        known = ", ".join(f"{known_code:02x}" for known_code in IDX_DTYPES)
        what = named(head)
        raise CheckpointError(
            f"{source.path}: not an IDX file: its magic number is 0x{magic.hex()}, expected 0x0000TTNN with type TT "
            f"one of {known} and NN > 0 axes (MNIST: 0x00000803 for images, 0x00000801 for labels)"
            + (f". It is {what}" if what is not None and zeros != 0 else "")
        )
    header_bytes = 4 + 4 * ndim
    header = source.read(header_bytes)
    if len(header) < header_bytes:
        raise CheckpointError(
            f"{source.path}: the header of an IDX file with {ndim} axes has {header_bytes} bytes, this file has "
            f"{len(header)}"
        )
    if ndim > MAX_AXES:
        raise CheckpointError(f"{source.path}: the header promises {ndim} axes, more than any array has ({MAX_AXES})")
    shape = struct.unpack(f">{ndim}I", header[4:])
    dtype = np.dtype(IDX_DTYPES[code])
    expected = header_bytes + math.prod(shape) * dtype.itemsize
    described = (
        f"{source.path}: the header promises shape {shape} of {dtype.newbyteorder('=').name}: {expected:,} bytes"
    )
    if expected > source.most_bytes:
        unpacks = f"can unpack to at most {source.most_bytes:,}" if source.zipped else f"has {source.most_bytes:,}"
        raise CheckpointError(f"{described}; the file {unpacks}: it is cut short or damaged")
    content = source.read(expected + 1)
    if len(content) != expected:
        actual = f"more than {expected:,}" if len(content) > expected else f"{len(content):,}"
        raise CheckpointError(f"{described}; the file has {actual}: it is cut short or damaged")
    try:
        array = np.frombuffer(content, dtype, offset=header_bytes).reshape(shape)
    except ValueError:
        raise CheckpointError(
            f"{source.path}: the header promises shape {shape}, of which no array can be made: it is damaged"
        ) from None
    return array.astype(dtype.newbyteorder("="))


def read_cifar10_batch(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 3, 32, 32), and labels, uint8 (N,), of one file of CIFAR-10's binary version, plain or .gz.

    The format (Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html): records of 3,073 bytes, the label and then
    the red, green and blue planes.

    Raises:
        CheckpointError: the length is not a multiple of 3,073 bytes, or a label is not 0 to 9.
        OSError: the file cannot be opened.
    """
    source = _Source(path)
    content = np.frombuffer(source.read(source.most_bytes), np.uint8)
    count, rest = divmod(content.size, CIFAR_RECORD)
    if count == 0 or rest:
        raise CheckpointError(
            f"{source.path}: a CIFAR-10 file is made of records of {CIFAR_RECORD:,} bytes, this one has "
            f"{content.size:,} bytes, which are {count:,} records and {rest:,} bytes: it is cut short, or not the "
            "binary version"
        )
    records = content.reshape(-1, CIFAR_RECORD)
    labels = records[:, 0].copy()
    if labels.max() > 9:
        wrong = int(np.argmax(labels > 9))
        raise CheckpointError(
            f"{source.path}: the labels of CIFAR-10 are 0 to 9, record {wrong} (byte {wrong * CIFAR_RECORD:,}) has "
            f"{labels[wrong]}: the file is damaged or not CIFAR-10's binary version"
        )
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE).copy(), labels

"""Element types in files, and the dtypes of the tensors read from them.

float16 and bfloat16 become float32, which represents all their values exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import IO, NamedTuple

import numpy as np

from convcore.errors import CheckpointError

READ_CHUNK = 1 << 20
MAX_AXES = 64  # the limit of NumPy and PyTorch


class ElementType(NamedTuple):
    """One element type of files.

    Attributes:
        name: the usual name, such as "bfloat16".
        storage: the name of PyTorch's storage class.
        safetensors: the name in safetensors files.
        stored: the NumPy dtype of the bytes in the file, little-endian.
        dtype: the dtype of the tensors.
    """

    name: str
    storage: str
    safetensors: str
    stored: np.dtype
    dtype: np.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of one element in the file."""
        return self.stored.itemsize

    @property
    def is_converted(self) -> bool:
        """Whether the file and the tensor have different bytes."""
        return self.name in ("float16", "bfloat16", "bool")

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """The values in the tensors' dtype."""
        if self.name == "bfloat16":  # the upper half of a float32
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(self.dtype)


def _element(name: str, storage: str, safetensors: str, stored: str = "", dtype: str = "") -> ElementType:
    return ElementType(
        name, storage, safetensors, np.dtype(stored or name).newbyteorder("<"), np.dtype(dtype or stored or name)
    )


ELEMENT_TYPES = (
    _element("float32", "FloatStorage", "F32"),
    _element("float64", "DoubleStorage", "F64"),
    _element("float16", "HalfStorage", "F16", dtype="float32"),
    _element("bfloat16", "BFloat16Storage", "BF16", stored="uint16", dtype="float32"),
    _element("int8", "CharStorage", "I8"),
    _element("int16", "ShortStorage", "I16"),
    _element("int32", "IntStorage", "I32"),
    _element("int64", "LongStorage", "I64"),
    _element("uint8", "ByteStorage", "U8"),
    _element("bool", "BoolStorage", "BOOL", stored="uint8", dtype="bool"),
)


def is_too_large(shape: Iterable[int], itemsize: int) -> bool:
    """Whether no memory could hold an array of this shape; NumPy refuses such a shape even if an axis has length 0."""
    return math.prod(max(n, 1) for n in shape) * itemsize >= 1 << 62


def read_elements(file: IO[bytes], element: ElementType, out: np.ndarray, big_endian: bool = False) -> None:
    """Fill the 1-D array `out`, of `element.dtype`, with the next elements of a file.

    Raises:
        CheckpointError: the file is too short.
    """
    stored = np.empty(out.size, element.stored) if element.is_converted else out
    view = stored.view(np.uint8).data
    filled = 0
    while filled < len(view):
        count = file.readinto(view[filled : filled + READ_CHUNK])  # pyright: ignore[reportAttributeAccessIssue]
        if not count:
            raise CheckpointError(
                f"cut short: {out.size:,} elements of {element.name} need {len(view):,} bytes, {filled:,} are there"
            )
        filled += count
    if big_endian:
        stored.byteswap(inplace=True)
    if stored is not out:
        out[:] = element.decode(stored)

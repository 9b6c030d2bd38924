"""Tensors in safetensors files: a plain format without code, read by every framework.

The format (https://github.com/huggingface/safetensors): the length of the header as a little-endian uint64, the header
in JSON, {name: {"dtype", "shape", "data_offsets": [begin, end]}}, then the elements; offsets count from their start.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from convcore.autograd import Variable, wrap
from convcore.errors import CheckpointError, DTypeError
from convcore.io.elements import ELEMENT_TYPES, MAX_AXES, ElementType, is_too_large, read_elements
from convcore.io.files import Path, bytes_left, opened, replace_file
from convcore.io.foreign import HEAD, named

if TYPE_CHECKING:
    from convcore.tensor import Tensor

_ELEMENTS = {element.safetensors: element for element in ELEMENT_TYPES}
_METADATA = "__metadata__"
_STORED = {element.dtype for element in ELEMENT_TYPES if element.name == str(element.dtype)}
_MAX_HEADER = 100_000_000  # bytes, the limit of the format


def save_file(state_dict: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors, such as `model.state_dict()`, to a safetensors file, replacing it atomically.

    Each tensor is written in full, in row-major order, even if tensors share memory.

    Args:
        path: the path of the file.
        metadata: strings to store beside the tensors, for `read_metadata`.

    Raises:
        DTypeError: a value is not a tensor, or the format does not allow a name or dtype.
        CheckpointError: the file cannot be written; an existing file is unchanged.
    """
    arrays = {}
    if not isinstance(state_dict, Mapping):
        raise DTypeError(f"save_file: state_dict must map strings to tensors, got {type(state_dict).__name__}")
    for name, tensor in state_dict.items():
        if not isinstance(name, str) or not isinstance(tensor, Variable):
            raise DTypeError(
                f"save_file: state_dict must map strings to tensors, got {name!r}: {type(tensor).__name__}"
            )
        if name == _METADATA:
            raise DTypeError(f"save_file: no tensor can be called {name!r}: there the format keeps the metadata")
        if str(name) in arrays:
            raise DTypeError(f"save_file: two tensors are called {name!r}")
        _check_text("a tensor's name", name)
        if tensor.array.dtype not in _STORED:
            raise DTypeError(f"save_file: the format has no elements of type {tensor.array.dtype}, as {name!r} has")
        arrays[str(name)] = np.asarray(tensor.array, order="C")
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise DTypeError(f"save_file: metadata must map strings to strings, got {key!r}: {value!r}")
        _check_text("the metadata", key)
        _check_text("the metadata", value)
    try:
        content = safetensors.numpy.save(arrays, dict(metadata) if metadata else None)
    except safetensors.SafetensorError as error:  # such as names of more than 100 MB
        raise DTypeError(f"save_file: the format cannot hold this: {error}") from None
    replace_file("save_file", path, lambda file: file.write(content))


def _check_text(what: str, text: str) -> None:
    """Refuse lone surrogates, which UTF-8 cannot encode."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DTypeError(f"save_file: {what} cannot be written in UTF-8: {text!a:.80}") from None


def load_file(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, by name; float16 and bfloat16 become float32.

    Raises:
        CheckpointError: the file is missing, damaged, or holds element types that convcore does not have.
    """
    with opened("load_file", path) as file:
        return read_safetensors(file)


def is_safetensors(path: Path) -> bool:
    """Whether a file starts like a safetensors file: with the length of the header, then an opening brace."""
    with opened("is_safetensors", path) as file:
        return begins_safetensors(file.read(9))


def begins_safetensors(head: bytes) -> bool:
    """`is_safetensors` for the first nine bytes of a file."""
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] <= _MAX_HEADER


def read_metadata(path: Path) -> dict[str, str]:
    """Read only the metadata of `save_file`; {} if there are none."""
    with opened("read_metadata", path) as file:
        return dict(_read_header(file)[1])


def read_safetensors(file: IO[bytes]) -> dict[str, Tensor]:
    """Read all tensors of an open file.

    Raises:
        CheckpointError: without the file's name, which the caller adds.
    """
    begin_of_file = file.tell()
    entries, _ = _read_header(file)
    start, length = file.tell(), bytes_left(file)
    parts, end_before = [], 0
    for name, entry in sorted(entries.items(), key=lambda item: _offsets(*item)):
        begin, end = _offsets(name, entry)
        element, shape = _described(name, entry)
        count = math.prod(shape)
        if begin != end_before or end - begin != count * element.itemsize:
            raise CheckpointError(
                f"damaged: tensor {name!r:.80} of shape {shape} and type {element.name} stands at bytes {begin:,} to "
                f"{end:,}, expected {end_before:,} to {end_before + count * element.itemsize:,}"
            )
        end_before = end
        parts.append((name, element, shape, count))
    if end_before != length:
        raise _not_safetensors(
            file, begin_of_file, f"the header describes {end_before:,} bytes of elements, {length:,} are there"
        )
    tensors: dict[str, Any] = dict.fromkeys(entries)  # in the order of the header
    file.seek(start)
    for name, element, shape, count in parts:
        array = np.empty(count, element.dtype)
        read_elements(file, element, array)
        tensors[name] = wrap(array.reshape(shape))
    return tensors


def _read_header(file: IO[bytes]) -> tuple[dict[str, Any], dict[str, str]]:
    """The entries of the tensors, and the metadata; leaves the file at the start of the elements."""
    start = file.tell()
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 2 <= length <= min(bytes_left(file), _MAX_HEADER):
        raise _not_safetensors(file, start, "the length of the header does not fit the file")
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_without_duplicates)
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise _not_safetensors(file, start, f"the header is not JSON: {type(error).__name__}") from None
    if not isinstance(header, dict):
        raise _not_safetensors(file, start, "the header is not a JSON object")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _not_safetensors(file, start, "the metadata are not strings")
    return header, metadata


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; duplicate names are an error, since one of the entries would be lost."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise CheckpointError("damaged: the header has two entries of one name")
    return entries


def _described(name: str, entry: dict[str, Any]) -> tuple[ElementType, tuple[int, ...]]:
    kind, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(kind, str) or kind not in _ELEMENTS:
        raise CheckpointError(
            f"tensor {name!r:.80} has elements of type {str(kind)[:20]}; convcore reads {', '.join(_ELEMENTS)}"
        )
    if not isinstance(shape, list) or len(shape) > MAX_AXES or not all(_is_size(size) for size in shape):
        raise CheckpointError(f"damaged: tensor {name!r:.80} has no shape of at most {MAX_AXES} sizes")
    if is_too_large(shape, _ELEMENTS[kind].itemsize):
        raise CheckpointError(f"damaged: tensor {name!r:.80} of shape {tuple(shape)} is larger than any memory")
    return _ELEMENTS[kind], tuple(shape)


def _offsets(name: str, entry: Any) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
        raise CheckpointError(f"damaged: tensor {name!r:.80} has no pair of data_offsets")
    return offsets[0], offsets[1]


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _not_safetensors(file: IO[bytes], start: int, reason: str) -> CheckpointError:
    """The error for a file that starts at `start` without a valid header."""
    file.seek(start)
    size, what = bytes_left(file), named(file.read(HEAD))
    if what is not None:
        return CheckpointError(f"not a safetensors file, but {what}")
    return CheckpointError(f"not a safetensors file, or cut short at {size} bytes ({reason})")

"""Tensors in safetensors files: a plain format without code in it, read by every framework.

A file is written under another name first and then renamed, which the system does at once: a crash leaves the old
file as it was, never half of a new one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from convcore.autograd import Variable, wrap
from convcore.errors import CheckpointError, DTypeError

if TYPE_CHECKING:
    from convcore.tensor import Tensor

# The format's names of the element types that tensors have here.
_KNOWN_TYPES = ("F32", "F64", "I8", "I16", "I32", "I64", "U8", "BOOL")


def save_file(
    state_dict: Mapping[str, Tensor], path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors, such as `model.state_dict()`, to a safetensors file, replacing it in one step.

    Tensors that share memory, or whose memory has another order, are each written in full in the format's order.

    Args:
        metadata: strings to keep beside the tensors, for `read_metadata`.

    Raises:
        CheckpointError: the file cannot be written; an older one of this name is still there, unchanged.
    """
    arrays = {}
    for name, tensor in state_dict.items():
        if not isinstance(name, str) or not isinstance(tensor, Variable):
            raise DTypeError(
                f"save_file: state_dict must map strings to tensors, got {name!r}: {type(tensor).__name__}"
            )
        arrays[name] = np.asarray(tensor.array, order="C")
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise DTypeError(f"save_file: metadata must map strings to strings, got {key!r}: {value!r}")
    _replace(os.path.realpath(path), safetensors.numpy.save(arrays, dict(metadata) if metadata else None))


def load_file(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, by name.

    Raises:
        CheckpointError: the file is missing, damaged, or holds element types that convcore does not have.
    """
    tensors = {}
    with _open("load_file", path) as file:
        for name in file.keys():  # noqa: SIM118 - it is not a dict
            kind = file.get_slice(name).get_dtype()
            if kind not in _KNOWN_TYPES:
                raise CheckpointError(
                    f"load_file: {os.fspath(path)}: tensor {name!r} has elements of type {kind}; convcore reads "
                    f"{', '.join(_KNOWN_TYPES)}"
                )
            tensors[name] = wrap(np.array(file.get_tensor(name)))
    return tensors


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read only the strings that `save_file` was given as metadata; {} where there are none."""
    with _open("read_metadata", path) as file:
        return dict(file.metadata() or {})


def _open(op: str, path: str | os.PathLike[str]) -> Any:
    name = os.fspath(path)
    try:
        return safetensors.safe_open(name, "numpy")
    except FileNotFoundError:
        raise CheckpointError(f"{op}: {name}: there is no such file") from None
    except OSError as error:
        reason = "it is a folder, not a file" if os.path.isdir(name) else error
        raise CheckpointError(f"{op}: {name}: cannot be read: {reason}") from None
    except safetensors.SafetensorError as error:
        size = os.path.getsize(name)
        raise CheckpointError(f"{op}: {name}: not a safetensors file, or cut short at {size} bytes ({error})") from None


def _replace(path: str, content: bytes) -> None:
    """Write `content` to a new file beside `path`, down to the disk, and give it that name."""
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(f"save_file: {path}: cannot be written: {error}") from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)

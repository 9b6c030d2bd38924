"""`load` and `save` for all formats of weights. `load` recognises the format by the first bytes, not by the name."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any

from convcore.errors import CheckpointError, DTypeError, UnsupportedError
from convcore.io.files import Path, file_name, opened, replace_file
from convcore.io.foreign import HEAD, named
from convcore.io.npz import read_npz
from convcore.io.safetensors_file import begins_safetensors, read_safetensors, save_file
from convcore.io.tar_file import is_tar, read_tar
from convcore.io.torch_file import ZIP_ERRORS, read_legacy, read_zip
from convcore.io.torch_writer import write_torch


def load(
    f: Path | IO[bytes],
    map_location: Any = None,
    pickle_module: None = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    encoding: str = "utf-8",
) -> Any:
    """Read a checkpoint: PyTorch's three formats, safetensors, or `.npz`.

    Nothing in the file is executed. Returns the saved object, made of dictionaries, lists, sets, numbers, strings and
    tensors. float16 and bfloat16 become float32; a parameter becomes a tensor that requires a gradient. Strides are
    kept, and tensors that shared memory when PyTorch saved them share it again. `find_state_dict` finds the weights in
    the result.

    Args:
        f: a path, or a seekable file open for reading in binary mode.
        map_location: None, "cpu", or a dict that maps devices to the CPU: everything is loaded to the CPU. A function
            is accepted and not called.
        pickle_module: None; pickles are read by convcore itself.
        weights_only: None or True; nothing but weights and plain data is ever loaded.
        mmap: accepted for compatibility with PyTorch; files are read into memory.
        encoding: the encoding of strings written by Python 2, such as "latin1"; "bytes" does not decode them.

    Raises:
        CheckpointError: the file is missing, damaged, in another format, or refers to a name that is not part of
            weights; the message says which.
        UnsupportedError: an argument selects another device or another way to unpickle.
    """
    devices = list(map_location.values()) if isinstance(map_location, Mapping) else [map_location]
    if not callable(map_location) and not all(device is None or _is_cpu(device) for device in devices):
        raise UnsupportedError(f'load: map_location must be None or "cpu", the only device, got {map_location!r}')
    if weights_only is not None and not weights_only:
        raise UnsupportedError("load: weights_only must be True: files are read as data, never as programs")
    if pickle_module is not None:
        raise UnsupportedError("load: pickle_module must be None: files are read as data, never as programs")
    if encoding != "bytes" and not _is_encoding(encoding):
        raise UnsupportedError(f'load: encoding must be one of text, such as "latin1", or "bytes", got {encoding!r}')
    with opened("load", f) as file:
        start = file.tell()
        head = file.read(HEAD)
        file.seek(start)
        return _reader(head)(file, encoding)


def _is_cpu(device: Any) -> bool:
    """Whether this is the CPU, as a string or as a device of PyTorch."""
    return str(device).partition(":")[0] == "cpu"


def _is_encoding(name: Any) -> bool:
    """Whether Python knows this text encoding."""
    try:
        return isinstance(b"a".decode(name), str)
    except UnicodeDecodeError:
        return True
    except (LookupError, TypeError):
        return False


def save(
    obj: Any,
    f: Path | IO[bytes],
    pickle_module: None = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write tensors and plain data to a file, replacing it atomically.

    If the name ends in ".safetensors", that is the format, and `obj` must be a dictionary of tensors. Any other file
    has PyTorch's format, for `torch.load(f, weights_only=True)` and `load`. In this format, tensors that overlap in
    memory share it again after loading, and parameters are saved as tensors that require gradients. The same `obj`
    gives the same bytes.

    Args:
        obj: tensors, numbers, strings, bytes, bytearrays, None, and lists, tuples, sets and dictionaries of these.
        f: a path, or a file open for writing in binary mode.
        pickle_module: None; pickles are written by convcore itself.
        pickle_protocol: accepted for compatibility with PyTorch; always written as protocol 2, which all readers know.
        _use_new_zipfile_serialization: True; PyTorch's format before version 1.6 is not written.

    Raises:
        DTypeError: there is something else in `obj`.
        CheckpointError: the file cannot be written; an existing file is unchanged.
        UnsupportedError: an argument selects another format.
    """
    if pickle_module is not None or not _use_new_zipfile_serialization:
        raise UnsupportedError(
            "save: writes PyTorch's format since version 1.6 by itself: leave pickle_module and "
            "_use_new_zipfile_serialization out"
        )
    if hasattr(f, "write"):
        _write_into(f, obj)
        return
    path = file_name("save", f)
    if path.endswith(".safetensors"):
        save_file(obj, path)
    else:
        replace_file("save", path, lambda file: write_torch(file, obj))


def _write_into(file: Any, obj: Any) -> None:
    """Write to an open file; a file that cannot seek, such as a pipe, is written from a buffer in memory."""
    if isinstance(file, io.TextIOBase):
        raise DTypeError(f"save: needs a path, or a file open in binary mode, got {type(file).__name__}")
    try:
        if getattr(file, "seekable", lambda: False)():
            write_torch(file, obj)
            return
        buffer = io.BytesIO()
        write_torch(buffer, obj)
        file.write(buffer.getvalue())
    except OSError as error:
        name = getattr(file, "name", type(file).__name__)
        raise CheckpointError(f"save: {name}: cannot be written: {error}") from error


def _reader(head: bytes) -> Callable[[IO[bytes], str], Any]:
    """The reader of a file with these first bytes."""
    if head.startswith(b"PK"):
        return _read_archive
    if head.startswith(b"\x80") and not begins_safetensors(head[:9]):
        return read_legacy
    if head.startswith(b"\x93NUMPY"):
        raise CheckpointError("a single NumPy array (.npy); read it with numpy.load and convcore.from_numpy")
    if is_tar(head):
        return read_tar
    what = "the file is empty; download or save it again" if not head else named(head)
    if what is not None:
        raise CheckpointError(f"no weights that can be read: {what}")
    return lambda file, _: read_safetensors(file)


def _read_archive(file: IO[bytes], encoding: str) -> Any:
    """Read PyTorch's or NumPy's ZIP archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            if any(name.endswith(".npy") for name in archive.namelist()):
                return read_npz(file, archive)
            return read_zip(file, archive, encoding)
    except CheckpointError:
        raise
    except ZIP_ERRORS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(f"cut short or damaged: {reason:.200}") from None

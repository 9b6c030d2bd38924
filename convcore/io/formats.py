"""`load` and `save`: one name for all formats of weights. The first bytes of a file tell its format, not its name."""

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
    """Read a checkpoint: what `torch.save` wrote (its three formats), safetensors, or `.npz`.

    Nothing in the file is executed. What comes back is what was saved, made of dictionaries, lists, sets, numbers,
    strings and tensors: float16 and bfloat16 become float32, a parameter becomes a tensor that requires a gradient.
    Strides are kept, and tensors that shared memory when they were saved by PyTorch share it again. `find_state_dict`
    picks the weights out of it.

    Args:
        f: a path, or a file open for reading in binary mode that can seek.
        map_location: everything is loaded to the CPU. None, "cpu", a dict of places that leads there, or a function,
            which could only choose among devices and is not called.
        pickle_module: None; files are read as data, by no module for pickles.
        weights_only: None or True; a file can make nothing else here.
        mmap: accepted for PyTorch's sake; files are read into memory as far as they are needed.
        encoding: of strings in files that Python 2 wrote, such as "latin1"; "bytes" leaves them as they are.

    Raises:
        CheckpointError: the file is missing, damaged, of another format, or wants a name that is not part of weights;
            one line says which.
        UnsupportedError: an argument asks for another device, or for a file to be run.
    """
    places = list(map_location.values()) if isinstance(map_location, Mapping) else [map_location]
    if not callable(map_location) and not all(place is None or _is_cpu(place) for place in places):
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


def _is_cpu(place: Any) -> bool:
    """Whether this names the CPU, as a string or as a device of PyTorch."""
    return str(place).partition(":")[0] == "cpu"


def _is_encoding(name: Any) -> bool:
    """Whether Python knows this encoding of text."""
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
    """Write tensors and plain data to a file, replacing it in one step.

    A name that ends in ".safetensors" gets that format, and `obj` must then be a dictionary of tensors. Any other file
    gets PyTorch's: `torch.load(f, weights_only=True)` and `load` read it. There tensors that overlap in memory share it
    again after loading, and parameters are tensors that require gradients. The same `obj` gives the same bytes.

    Args:
        obj: tensors, numbers, strings, bytes, bytearrays, None, and lists, tuples, sets and dictionaries of these.
        f: a path, or a file open for writing in binary mode.
        pickle_module: None; no module for pickles takes part.
        pickle_protocol: accepted for PyTorch's sake; what is written is protocol 2, which all others include.
        _use_new_zipfile_serialization: True; PyTorch's format before version 1.6 is only read.

    Raises:
        DTypeError: there is something else in `obj`.
        CheckpointError: the file cannot be written; an older one of this name is still there, unchanged.
        UnsupportedError: an argument asks for another way to write.
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
    """Write to an open file, by way of memory where it cannot seek, as pipes cannot."""
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
    """Who reads a file that begins with these bytes."""
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
    """PyTorch's archive or NumPy's."""
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

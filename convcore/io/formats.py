"""`load` and `save`: one name for all formats of weights. The first bytes of a file tell its format, not its name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import IO, Any

from convcore.errors import CheckpointError, UnsupportedError
from convcore.io.files import Path, file_name, opened, replace_file
from convcore.io.npz import read_npz
from convcore.io.safetensors_file import read_safetensors, save_file
from convcore.io.torch_file import ZIP_ERRORS, read_legacy, read_zip
from convcore.io.torch_writer import write_torch


def load(f: Path | IO[bytes], map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read a checkpoint: what `torch.save` wrote (both formats), safetensors, or `.npz`.

    Nothing in the file is executed. What comes back is what was saved, made of dictionaries, lists, numbers, strings
    and tensors: float16 and bfloat16 become float32, a parameter becomes a tensor that requires a gradient. Strides
    are kept, and tensors that shared memory when they were saved by PyTorch share it again. `find_state_dict` picks
    the weights out of it.

    Args:
        f: a path, or a file open for reading in binary mode that can seek.
        map_location: None or "cpu"; everything is loaded to the CPU.
        weights_only: True; a file can make nothing else here.

    Raises:
        CheckpointError: the file is missing, damaged, or wants a name that is not part of weights; one line says which.
    """
    if map_location is not None and str(map_location) != "cpu":
        raise UnsupportedError(f'load: map_location must be None or "cpu", the only device, got {map_location!r}')
    if not weights_only:
        raise UnsupportedError("load: weights_only must be True: files are read as data, never as programs")
    with opened("load", f) as file:
        start = file.tell()
        head = file.read(8)
        file.seek(start)
        return _reader(head)(file)


def save(obj: Any, f: Path | IO[bytes]) -> None:
    """Write tensors and plain data to a file, replacing it in one step.

    A name that ends in ".safetensors" gets that format, and `obj` must then be a dictionary of tensors. Any other file
    gets PyTorch's: `torch.load(f, weights_only=True)` and `load` read it. There tensors that overlap in memory share it
    again after loading, and parameters are tensors that require gradients. The same `obj` gives the same bytes.

    Args:
        obj: tensors, numbers, strings, bytes, bytearrays, None, and lists, tuples, sets and dictionaries of these.
        f: a path, or a file open for writing in binary mode that can seek.

    Raises:
        DTypeError: there is something else in `obj`.
        CheckpointError: the file cannot be written; an older one of this name is still there, unchanged.
    """
    if hasattr(f, "write"):
        write_torch(f, obj)  # pyright: ignore[reportArgumentType]
        return
    path = file_name("save", f)
    if path.endswith(".safetensors"):
        save_file(obj, path)
    else:
        replace_file("save", path, lambda file: write_torch(file, obj))


def _reader(head: bytes) -> Callable[[IO[bytes]], Any]:
    """Who reads a file that begins with these bytes."""
    if head.startswith(b"PK"):
        return _read_archive
    if head.startswith(b"\x80"):
        return read_legacy
    if head.startswith(b"\x93NUMPY"):
        raise CheckpointError("a single NumPy array (.npy); read it with numpy.load and convcore.from_numpy")
    return read_safetensors


def _read_archive(file: IO[bytes]) -> Any:
    """PyTorch's archive or NumPy's."""
    try:
        with zipfile.ZipFile(file) as archive:
            is_numpy = any(name.endswith(".npy") for name in archive.namelist())
            return (read_npz if is_numpy else read_zip)(file, archive)
    except CheckpointError:
        raise
    except ZIP_ERRORS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(f"cut short or damaged: {reason:.200}") from None

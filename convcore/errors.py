"""The errors that convcore raises on wrong input, and the table of shapes at the end of their messages."""

from collections.abc import Iterable
from typing import Any


class ConvcoreError(Exception):
    """Base of all errors raised on purpose. `module_path` is the path of the model's layer that raised the error."""

    module_path: str | None = None

    def __str__(self) -> str:
        message = super().__str__()
        return f"in {self.module_path}: {message}" if self.module_path else message


class ShapeError(ConvcoreError, ValueError):
    """A size, shape or integer setting breaks a rule."""


class DTypeError(ConvcoreError, TypeError):
    """An array has the wrong element type, or an argument the wrong Python type."""


class DivisionError(ConvcoreError, ZeroDivisionError):
    """An integer is divided by zero."""


class UnsupportedError(ConvcoreError, NotImplementedError):
    """A valid request that convcore, or the selected algorithm, does not support."""


class AbsentError(AttributeError):
    """A name that convcore does not have; the message says why, and what to use instead, or suggests a similar name.

    Not a `ConvcoreError`: the program is wrong, not the input.
    """


class GraphError(ConvcoreError, RuntimeError):
    """The autograd graph cannot provide the requested gradient."""


class CheckpointError(ConvcoreError, ValueError):
    """A file of weights or data is damaged, or does not match the object that loads it."""


class BusyError(ConvcoreError, RuntimeError):
    """Another process is using the requested resource."""


class LoaderTimeoutError(ConvcoreError, RuntimeError, TimeoutError):
    """A batch took longer than the timeout of a `DataLoader`."""


class DeviceError(ConvcoreError, RuntimeError):
    """Tensors are on different devices, or a device cannot be used."""


class OutOfMemoryError(DeviceError, MemoryError):
    """A device does not have enough memory for a tensor."""


def array_table(rows: Iterable[tuple[str, Any, str]]) -> str:
    """A table of arrays, one a line: name, shape, dtype and axis letters, aligned.

    `rows` holds (name, array or tensor or None, axes such as "N, C_in, H, W"); rows with None are skipped.
    """
    cells = [(name, str(tuple(array.shape)), str(array.dtype), axes) for name, array, axes in rows if array is not None]
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    lines = ("  " + "  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]).rstrip() for row in cells)
    return "\n".join(lines)

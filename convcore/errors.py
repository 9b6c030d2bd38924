"""The errors that convcore raises on wrong input, and the table of shapes that their messages end with."""

from collections.abc import Iterable
from typing import Any


class ConvcoreError(Exception):
    """Base of all errors raised on purpose. `module_path` names the layer of a model in which it happened."""

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
    """The request is clear but convcore, or the algorithm asked for, does not do it."""


class AbsentError(AttributeError):
    """A name that convcore does not have: why not, and what to use instead, or which name was meant.

    No `ConvcoreError`: what asks for it is wrong, not the input.
    """


class GraphError(ConvcoreError, RuntimeError):
    """The autograd graph cannot give the gradient that was asked for."""


class CheckpointError(ConvcoreError, ValueError):
    """A file of weights or data is damaged, or does not fit what it is loaded into."""


class BusyError(ConvcoreError, RuntimeError):
    """Another process is using what is asked for."""


class LoaderTimeoutError(ConvcoreError, RuntimeError, TimeoutError):
    """A batch took longer than a `DataLoader` was told to wait for it."""


class DeviceError(ConvcoreError, RuntimeError):
    """Tensors lie on different devices, or a device cannot be used."""


class OutOfMemoryError(DeviceError, MemoryError):
    """A device has no room for a tensor."""


def array_table(rows: Iterable[tuple[str, Any, str]]) -> str:
    """Lines of name, shape, dtype and axis letters, aligned, one per array.

    `rows` holds (name, array or tensor or None, axes such as "N, C_in, H, W"); rows of None are left out.
    """
    cells = [(name, str(tuple(array.shape)), str(array.dtype), axes) for name, array, axes in rows if array is not None]
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    lines = ("  " + "  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]).rstrip() for row in cells)
    return "\n".join(lines)

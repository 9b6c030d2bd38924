"""Where tensors lie, as torch describes it: the device, which is always the CPU, and the order of axes in memory."""

from __future__ import annotations

import enum
from typing import Any

from convcore.errors import DTypeError, UnsupportedError


class Device(str):
    """The device "cpu", the only one; equal to that word.

    Raises:
        UnsupportedError: another one.
    """

    __slots__ = ()

    def __new__(cls, type: str = "cpu", index: int | None = None) -> Device:
        if str(type) not in ("cpu", "cpu:0") or index not in (None, 0):
            raise UnsupportedError(f'device: the only device is "cpu", got {type!r}')
        return super().__new__(cls, "cpu")

    @property
    def type(self) -> str:
        """ "cpu" """
        return "cpu"

    @property
    def index(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """None: there is one CPU."""
        return

    def __repr__(self) -> str:
        return "device(type='cpu')"


device = Device
CPU = Device()


class MemoryFormat(enum.Enum):
    """In which order the axes of a tensor lie in memory."""

    contiguous_format = "row-major"
    channels_last = "images (N, C, H, W) with their channels last"
    channels_last_3d = "volumes (N, C, D, H, W) with their channels last"
    preserve_format = "as it is"


def check_memory_format(op: str, value: Any) -> MemoryFormat:
    """`value`, which must be one of the formats."""
    if not isinstance(value, MemoryFormat):
        raise DTypeError(f"{op}: memory_format must be one of {', '.join(f.name for f in MemoryFormat)}, got {value!r}")
    return value


contiguous_format, channels_last, channels_last_3d, preserve_format = MemoryFormat

"""torch's device and memory_format: where a tensor is stored, and the order of its axes in memory."""

from __future__ import annotations

import enum
from typing import Any

from convcore.engine.cuda.probe import probe
from convcore.errors import DTypeError, UnsupportedError


class Device(str):
    """A device: "cpu", or "cuda:0", the first GPU; equal to that string. "cuda" means "cuda:0"; "auto" means the GPU if
    a usable one is present, else the CPU.

    Raises:
        UnsupportedError: any other device.
    """

    __slots__ = ()

    def __new__(cls, type: str = "cpu", index: int | None = None) -> Device:
        kind, _, number = str(type).partition(":")
        if kind == "auto":
            kind = "cpu" if probe()[0] is None else "cuda"
        if kind not in ("cpu", "cuda") or number not in ("", "0") or index not in (None, 0):
            given = type if index is None else f"{type}:{index}"
            raise UnsupportedError(f'device: there are "cpu", "cuda:0" and "auto", got {given!r}')
        return super().__new__(cls, "cpu" if kind == "cpu" else "cuda:0")

    @property
    def type(self) -> str:
        """ "cpu" or "cuda" """
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """0 for the GPU; None for the CPU."""
        return None if self == "cpu" else 0

    def __repr__(self) -> str:
        return "device(type='cpu')" if self == "cpu" else "device(type='cuda', index=0)"


device = Device
CPU, CUDA = Device("cpu"), Device("cuda")


class MemoryFormat(enum.Enum):
    """The order of a tensor's axes in memory."""

    contiguous_format = "row-major"
    channels_last = "images (N, C, H, W) with their channels last"
    channels_last_3d = "volumes (N, C, D, H, W) with their channels last"
    preserve_format = "as it is"

    def __repr__(self) -> str:
        return f"convcore.{self.name}"


def check_memory_format(op: str, value: Any) -> MemoryFormat:
    """`value`, which must be one of the formats."""
    if not isinstance(value, MemoryFormat):
        raise DTypeError(f"{op}: memory_format must be one of {', '.join(f.name for f in MemoryFormat)}, got {value!r}")
    return value


contiguous_format, channels_last, channels_last_3d, preserve_format = MemoryFormat

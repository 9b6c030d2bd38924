"""Moving tensors between the CPU and a GPU."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from convcore.autograd import Function, wrap
from convcore.engine import dispatch
from convcore.engine.cuda.array import DeviceArray, put
from convcore.engine.cuda.probe import driver
from convcore.ops.core.device import CPU, CUDA, Device


class Move(Function):
    """The same values on another device; the gradient moves back."""

    @staticmethod
    def forward(ctx: Any, x: Any, device: Device):
        ctx.back = device_of(x)
        array: Any = put(x.array) if device == CUDA else x.array.get()
        return wrap(array)

    @staticmethod
    def backward(ctx: Any, grad_out: Any):
        return Move.apply(grad_out, ctx.back), None


dispatch.runs_everywhere(Move)


def device_of(x: Any) -> Device:
    """The device of a tensor."""
    return CUDA if x.deferred is None and isinstance(x.array, DeviceArray) else CPU


def gpu(device: Any) -> Device:
    """The GPU for the argument of `cuda()`: None, 0, or a device."""
    return CUDA if device is None else Device("cuda", device) if isinstance(device, int) else Device(device)


def move(x: Any, device: Device) -> Any:
    """The tensor on a device: itself, or a copy.

    Raises:
        DeviceError: there is no usable GPU; the message says why, and what to do.
        OutOfMemoryError: the GPU's memory is full.
        DTypeError: tensors of this dtype exist on the CPU only.
    """
    if device == device_of(x):
        return x
    if device == CUDA:
        start()
    return Move.apply(x, device)


def to_device(x: Any, device: Any) -> Any:
    """A new tensor, created on the CPU, on the requested device."""
    return x if device is None else move(x, Device(device))


def device_like(x: Any, device: Any) -> Any:
    """The device for a tensor made like x: `device`, or that of x if none is given."""
    return device_of(x) if device is None else device


def start() -> None:
    """Initialise the GPU, before the first tensor moves there."""
    driver()
    if not dispatch.in_use:
        package = importlib.import_module("convcore.ops.cuda")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"convcore.ops.cuda.{module.name}")
        dispatch.start()

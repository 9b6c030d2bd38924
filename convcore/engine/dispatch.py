"""Twins: which Function, or plain function of arrays, computes on a GPU what another computes on the CPU.

This is the only place that asks where tensors lie. `Function.apply` asks it for the class to run, and the few functions
that compute outside of a Function ask with `of`. The twins stand in `convcore.ops.cuda` and enter themselves below; a
Function that only looks at shapes and moves axes runs everywhere, and is its own twin. Inside `convcore.amp.autocast` a
Function may have another twin, which rounds what it multiplies.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from convcore.engine.cuda.array import DeviceArray, device_name, full
from convcore.errors import DeviceError, UnsupportedError

C = TypeVar("C", bound=Callable[..., Any])

ARRAYS = np.ndarray, DeviceArray  # what holds the numbers of a tensor, wherever they lie

in_use = False  # whether a tensor has been on a GPU: before that nobody needs to ask
_twins: dict[Any, Any] = {}
_rounding_twins: dict[Any, Any] = {}
_mixing: set[Any] = set()


class _Autocast(threading.local):
    kind: str | None = None


autocast = _Autocast()  # of this Python thread: the kind of numbers, "float16" or "bfloat16", to multiply on a GPU


def start() -> None:
    """From now on tensors may be on a GPU."""
    global in_use
    in_use = True


def twin_of(function: Any, rounds: bool = False) -> Callable[[C], C]:
    """Mark a Function class, or a function, as what computes on a GPU in the place of another; one that `rounds`, only
    inside autocast.
    """

    def enter(twin: C) -> C:
        twin.__name__ = function.__name__  # nodes of the graph and errors say what was called
        (_rounding_twins if rounds else _twins)[function] = twin
        return twin

    return enter


def runs_everywhere(*functions: Any) -> None:
    """Mark Functions that compute nothing by themselves."""
    _twins.update({function: function for function in functions})


def mixes_devices(function: Any) -> None:
    """Mark a Function that computes nothing, and takes tensors of different devices."""
    _mixing.add(function)


def of(function: C, array: Any) -> C:
    """The function that computes on the device where an array lies.

    Raises:
        UnsupportedError: there is none.
    """
    return function if not (in_use and isinstance(array, DeviceArray)) else _twin(function)


def _twin(function: Any) -> Any:
    twin = _twins.get(function)
    if autocast.kind is not None:
        twin = _rounding_twins.get(function, twin)
    if twin is None:
        name = function.__name__.strip("_")
        raise UnsupportedError(f"{name}: there is no kernel for cuda:0; compute it on the CPU, with .cpu() first")
    return twin


def chosen(function: Any, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """The Function to run on these arguments, and the arguments. Numbers, tensors without axes, may come from the CPU.

    Raises:
        DeviceError: tensors lie on different devices.
        UnsupportedError: the Function does not compute on theirs.
    """
    arrays = [getattr(arg, "array", None) for arg in args]
    if function in _mixing or not any(isinstance(array, DeviceArray) for array in arrays):
        return function, args
    twin = _twin(function)
    given = list(args)
    for position, (arg, array) in enumerate(zip(args, arrays, strict=True)):
        if array is None or isinstance(array, DeviceArray):
            continue
        if array.ndim == 0 and array.dtype.kind == "f" and not arg.requires_grad:
            given[position] = arg.detach_as(full((), float(array)))  # the number goes with the launch: no copy
        else:
            raise DeviceError(_mismatch(function, args))
    return twin, tuple(given)


def _mismatch(function: Any, args: tuple[Any, ...]) -> str:
    names = list(inspect.signature(function.forward).parameters)[1:]
    names += [f"argument {position}" for position in range(len(names), len(args))]
    lines = [
        f"  {name} {tuple(arg.array.shape)} on {device_name(arg.array)}"
        for name, arg in zip(names, args, strict=False)
        if getattr(arg, "array", None) is not None
    ]
    table = "\n".join(lines)
    return f'{function.__name__}: all tensors must lie on one device; move them with .to("cuda") or .cpu()\n{table}'

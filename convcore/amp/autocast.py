"""autocast: products in 16 bits."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from convcore.engine import dispatch
from convcore.engine.cuda import probe
from convcore.errors import DTypeError, UnsupportedError
from convcore.ops.core.device import Device
from convcore.ops.core.dtypes import Half, bfloat16, float16

_F = TypeVar("_F", bound=Callable[..., Any])


class autocast:
    """Inside the block, convolutions, linear layers and matrix products on a GPU round their operands to 16 bits.

    They accumulate in float32, and their results are float32, as are all tensors and weights. Depthwise convolutions,
    and everything else, compute as outside the block. The gradients of these products are computed in the same way, so
    call backward outside the block. float16 has 11 significant bits and underflows below 6e-8: scale the loss with
    `GradScaler`. bfloat16 has 8 significant bits and float32's range, and needs no scale. autocast is a context manager
    and a decorator.

    Args:
        device_type: "cuda".
        dtype: `convcore.float16` (the default) or `convcore.bfloat16`.
        enabled: False disables autocast in this block, even inside an enabled one.

    Raises:
        UnsupportedError: enabled for the CPU, where everything is computed in float32 or float64.
        DTypeError: another dtype.

    Without a usable GPU it warns and does nothing, as in PyTorch.
    """

    def __init__(self, device_type: str, dtype: Half | None = None, enabled: bool = True):
        device = Device(device_type).type
        if device == "cpu" and enabled:
            raise UnsupportedError(
                'autocast: on the CPU products are of float32 or float64; use autocast("cuda") and a GPU, or '
                "enabled=False"
            )
        if dtype is None:
            dtype = float16
        if not isinstance(dtype, Half):
            raise DTypeError(f"autocast: dtype must be {float16!r} or {bfloat16!r}, got {dtype!r}")
        if enabled and probe.probe()[0] is None:
            warnings.warn(f"autocast: does nothing, for there is no GPU: {probe.probe()[1]}", UserWarning, stacklevel=2)
            enabled = False
        self._settings = device_type, dtype, enabled
        self._for_gpu = device == "cuda"
        self._kind = dtype.value if enabled else None
        self._previous: list[str | None] = []

    def __enter__(self) -> None:
        self._previous.append(dispatch.autocast.kind)
        if self._for_gpu:
            dispatch.autocast.kind = self._kind

    def __exit__(self, *exc_info: Any) -> None:
        dispatch.autocast.kind = self._previous.pop()

    def __call__(self, function: _F) -> _F:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with autocast(*self._settings):
                return function(*args, **kwargs)

        return wrapped  # pyright: ignore[reportReturnType]


def why_no_tensor_cores() -> str:
    """Why autocast does not use tensor cores on this GPU; empty if it does.

    Raises:
        DeviceError: there is no GPU; the message says why.
    """
    driver = probe.driver()
    from kernels.cuda.calls16 import why_no_tensor_cores  # only with a GPU

    return why_no_tensor_cores(driver.capability())

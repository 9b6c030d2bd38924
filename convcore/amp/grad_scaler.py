"""GradScaler: scales the loss so that the gradients do not underflow in 16 bits.

float16 has no values between 0 and 6e-8, where many gradients are. Gradients are linear in the loss: those of
scale * loss are scale times as large. Before the optimizer's step they are divided by the scale. If a gradient has
overflowed, the step is skipped and the scale reduced; after `growth_interval` steps without overflow it is increased.
Source: P. Micikevicius et al., "Mixed Precision Training" (2018), section 3.2.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.autograd.variable import Variable
from convcore.engine import dispatch
from convcore.engine.cuda import probe
from convcore.errors import CheckpointError, DTypeError
from convcore.ops.core import layout
from convcore.ops.core.device import Device
from convcore.ops.elementwise.unscale import unscale
from convcore.optim import Optimizer


class GradScaler:
    """Scales losses and runs optimizer steps, as `torch.amp.GradScaler`.

    `step` checks all gradients for overflow: on a GPU it copies one number to the host.

    Args:
        device: "cuda" or "cpu". "cuda" without a GPU gives a warning and disables the scaler.
        init_scale: the initial scale.
        growth_factor: the factor of the scale after `growth_interval` steps without overflow; more than 1.
        backoff_factor: the factor of the scale after an overflow; less than 1.
        growth_interval: the number of consecutive steps without overflow before the scale grows.
        enabled: False disables the scaler: `scale` returns its argument, `step` calls the optimizer's step.

    Raises:
        ValueError: a factor on the wrong side of 1.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        if enabled and Device(device).type == "cuda" and probe.probe()[0] is None:
            warnings.warn(f"GradScaler: is off, for there is no GPU: {probe.probe()[1]}", UserWarning, stacklevel=2)
            enabled = False
        _check_factors(growth_factor, backoff_factor)
        self._enabled = enabled
        self._scale = float(init_scale)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._steps_in_a_row = 0
        self._unscaled: dict[int, bool] = {}  # optimizers unscaled since the last update: whether gradients overflowed
        self._stepped: set[int] = set()

    def scale(self, outputs: Any) -> Any:
        """A tensor times the scale; or a list or tuple of such tensors."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Variable):
            return outputs * self._scale  # pyright: ignore[reportOperatorIssue]
        if isinstance(outputs, Iterable):
            scaled = [self.scale(output) for output in outputs]
            return tuple(scaled) if isinstance(outputs, tuple) else scaled
        raise DTypeError(f"GradScaler.scale: needs a tensor, or a list of such, got {type(outputs).__name__}")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, for example to clip them before `step`.

        Raises:
            RuntimeError: already called since the last `update`, or there are no gradients.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("GradScaler.unscale_: is called after step(); call it before, or update() in between")
        if id(optimizer) in self._unscaled:
            raise RuntimeError(
                "GradScaler.unscale_: has been called for this optimizer since the last update(); once is enough"
            )
        self._unscaled[id(optimizer)] = _unscale(optimizer, 1 / self._scale)

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Call the optimizer's step with gradients divided by the scale, unless one of them is not finite.

        Returns:
            The result of `optimizer.step`; None if the step was skipped.

        Raises:
            RuntimeError: already called since the last `update`, there are no gradients, or there is a closure, which
                would compute the gradients again.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise RuntimeError("GradScaler.step: takes no closure; compute the loss and its gradients before")
        if id(optimizer) in self._stepped:
            raise RuntimeError("GradScaler.step: has been called for this optimizer since the last update(); call that")
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return None if self._unscaled[id(optimizer)] else optimizer.step(**kwargs)

    def update(self, new_scale: float | Variable | None = None) -> None:
        """Reduce or increase the scale, or set it; to be called after all steps of an iteration.

        Raises:
            RuntimeError: there was no step.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale.array.item() if isinstance(new_scale, Variable) else new_scale)
        elif not self._unscaled:
            raise RuntimeError("GradScaler.update: there was no step() since the last one, so nothing is known")
        elif any(self._unscaled.values()):
            self._scale *= self._backoff_factor
            self._steps_in_a_row = 0
        else:
            self._steps_in_a_row += 1
            if self._steps_in_a_row == self._growth_interval:
                self._steps_in_a_row = 0
                larger = self._scale * self._growth_factor
                if larger <= float(np.finfo(np.float32).max):  # the scale multiplies float32
                    self._scale = larger
        self._unscaled, self._stepped = {}, set()

    def is_enabled(self) -> bool:
        """Whether the scaler is enabled."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale; 1 if disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """The factor that increases the scale."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the growth factor."""
        _check_factors(new_factor, self._backoff_factor)
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """The factor that reduces the scale."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the backoff factor."""
        _check_factors(self._growth_factor, new_factor)
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """The number of consecutive steps without overflow before the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set the growth interval."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """The state, with PyTorch's keys; empty if disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale, "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval, "_growth_tracker": self._steps_in_a_row,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict()`; does nothing if disabled.

        Raises:
            CheckpointError: keys are missing, as in the state of a disabled scaler; the scaler is unchanged.
        """
        if not self._enabled:
            return
        missing = [key for key in self.state_dict() if key not in state_dict]
        if missing:
            raise CheckpointError(
                f"GradScaler.load_state_dict: the state has no {', '.join(missing)}; was it saved by one that was off?"
            )
        _check_factors(state_dict["growth_factor"], state_dict["backoff_factor"])
        self._scale = float(state_dict["scale"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._steps_in_a_row = state_dict["_growth_tracker"]


def _check_factors(growth: float, backoff: float) -> None:
    if not growth > 1:
        raise ValueError(f"GradScaler: growth_factor must be more than 1, got {growth}")
    if not 0 < backoff < 1:
        raise ValueError(f"GradScaler: backoff_factor must be between 0 and 1, got {backoff}")


def _unscale(optimizer: Optimizer, inverse: float) -> bool:
    """Multiply all gradients in place; returns whether any is not finite."""
    gradients = [
        param.grad for group in optimizer.param_groups for param in group["params"] if param.grad is not None
    ]  # fmt: skip
    if not gradients:
        raise RuntimeError("GradScaler: no parameter of this optimizer has a gradient; call backward() before")
    by_device: dict[type, list[Any]] = {}
    for gradient in gradients:
        array = gradient.before_write()
        flat = layout.flat(array)
        if not (
            flat.flags.writeable and np.may_share_memory(flat, array)
        ):  # an expanded gradient has no memory of its own
            array = gradient.array = array.copy("K")
            flat = layout.flat(array)
        by_device.setdefault(type(array), []).append(flat)
        gradient.mark_changed()
    found = [dispatch.of(unscale, flats[0])(flats, inverse) for flats in by_device.values()]
    return any(found)

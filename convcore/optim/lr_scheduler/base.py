"""The base class of learning-rate schedules, and helpers of several of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from convcore.optim.optimizer import Optimizer


class LRScheduler:
    """Base of all schedules. A subclass defines `get_lr`; call `step()` after `optimizer.step()`.

    The constructor stores the rate of each group as its "initial_lr", and sets the first rate of the schedule.

    Args:
        optimizer: the optimizer; the schedule sets "lr" of its groups.
        last_epoch: the number of the last step done; -1 starts from the beginning.

    Attributes:
        last_epoch: the number of steps done, 0 before the first.
        base_lrs: the rates of the groups before the schedule.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        check_optimizer(type(self).__name__, optimizer)
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: param_groups[{index}] has no 'initial_lr', so last_epoch={last_epoch} "
                    "cannot be resumed; load the optimizer's state first, or begin with last_epoch=-1"
                )
        self.optimizer = optimizer
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.begin()

    def begin(self) -> None:
        """Set the first rate, as the constructor does."""
        self._step_count = 0
        self._beginning = True
        try:
            self.step()
        finally:
            self._beginning = False

    def begin_again(self) -> None:
        """Restart at step 0 from the rates in use; `SequentialLR` calls this when it switches to the schedule."""
        self.last_epoch = 0
        self.set_rates(self.get_lr())

    def get_lr(self) -> list[float]:
        """The rate of each group after `last_epoch` steps."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rates set by the last `step()`."""
        return self._last_lr

    def step(self) -> None:
        """Advance by one step and set the rates."""
        if self._step_count == 1 and not self.optimizer.has_stepped:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(): the first rate of the schedule was never used",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        self.set_rates(self.get_lr())

    def set_rates(self, rates: list[float]) -> None:
        """Write one rate into each group."""
        self._last_lr = rates
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr

    def rates_in_use(self) -> list[float]:
        """The current rates of the groups."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, which saves its own state."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict()`; load the optimizer's state, too, which holds the rates in use."""
        self.__dict__.update(state_dict)


def check_optimizer(scheduler: str, optimizer: Any) -> None:
    """Refuse anything but an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{scheduler}: {type(optimizer).__name__} is not an Optimizer")


def per_group(scheduler: str, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """A setting for each parameter group: one value for all, or a sequence with one for each."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, Sequence):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{scheduler}: {name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {groups}"
        )
    return list(value)


def check_momentum(scheduler: str, optimizer: Optimizer) -> bool:
    """For schedules that change momentum: whether it is beta1, not "momentum"; refuses optimizers without either."""
    use_beta1 = "betas" in optimizer.defaults
    if not use_beta1 and "momentum" not in optimizer.defaults:
        raise ValueError(f"{scheduler}: optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
    return use_beta1


def set_momentum(group: dict[str, Any], momentum: float, use_beta1: bool) -> None:
    """Set the momentum of a group: beta1 or "momentum"."""
    if use_beta1:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def functions_state(functions: list[Any]) -> list[dict[str, Any] | None]:
    """The state of user-given functions: the attributes of callable objects; None for plain functions."""
    return [None if isinstance(f, type(functions_state)) else dict(getattr(f, "__dict__", {})) for f in functions]


def load_functions_state(functions: list[Any], states: list[dict[str, Any] | None]) -> None:
    """Restore the attributes of callable objects saved by `functions_state`."""
    for function, state in zip(functions, states, strict=True):
        if state:
            function.__dict__.update(state)

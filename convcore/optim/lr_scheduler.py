"""Learning-rate schedules: each `step()` sets the rate of every parameter group as a function of the steps so far."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from convcore.optim.optimizer import Optimizer


class LRScheduler:
    """Base of the schedules. A subclass defines `get_lr`; call `step()` after `optimizer.step()`.

    Making a scheduler sets the first rate, and keeps each group's own rate as its "initial_lr".

    Args:
        optimizer: whose groups' "lr" is set.
        last_epoch: the number of the last step done; -1 begins anew.

    Attributes:
        last_epoch: how many steps were done, 0 before the first.
        base_lrs: the groups' rates before the schedule.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: {type(optimizer).__name__} is not an Optimizer")
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
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[float]:
        """The rate of each group after `last_epoch` steps."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rates that the last `step()` set."""
        return self._last_lr

    def step(self) -> None:
        """Go on by one and set the rates."""
        if self._step_count == 1 and not self.optimizer.has_stepped:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(): the first rate of the schedule was never used",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        self._last_lr = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, which saves its own."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict()`; load the optimizer's too, which holds the rates in use."""
        self.__dict__.update(state_dict)


class StepLR(LRScheduler):
    """Multiply the rate by `gamma` after every `step_size` steps: lr = base_lr * gamma^(t // step_size)."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base_lr * self.gamma ** (self.last_epoch // self.step_size) for base_lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the rate down to `eta_min` in `T_max` steps, and, if stepped further, up again.

    lr = eta_min + (base_lr - eta_min) * (1 + cos(pi * t / T_max)) / 2. Source: I. Loshchilov and F. Hutter, "SGDR"
    (2017), equation 5, without the restarts.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803 - torch's name
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base_lr - self.eta_min) * share for base_lr in self.base_lrs]


class OneCycleLR(LRScheduler):
    """Up from a small rate to `max_lr`, then down to almost nothing, over the whole of training; step it every batch.

    The high rate in the middle regularises, the long descent lets the weights settle. Momentum (beta1 of Adam) moves
    the other way. Source: L. Smith and N. Topin, "Super-Convergence" (2018); as torch has it, with two phases or three.

    Args:
        max_lr: the highest rate, one number or one for each group.
        total_steps: how often `step()` will be called at most; or give `epochs` and `steps_per_epoch`.
        pct_start: the part of the steps spent going up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether to move momentum between `max_momentum` and `base_momentum`.
        div_factor: the first rate is max_lr / div_factor.
        final_div_factor: the last rate is the first rate / final_div_factor.
        three_phase: come down to the first rate as steeply as it went up, then to the last rate.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"OneCycleLR: {type(optimizer).__name__} is not an Optimizer")
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: You must define either total_steps OR (epochs AND steps_per_epoch)")
            total_steps = _positive("epochs", epochs) * _positive("steps_per_epoch", steps_per_epoch)
        self.total_steps = _positive("total_steps", total_steps)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy!r}"
            )
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.use_beta1 = "betas" in optimizer.defaults
        if cycle_momentum and not self.use_beta1 and "momentum" not in optimizer.defaults:
            raise ValueError(
                "OneCycleLR: optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
            )

        # Each phase: its last step, the rates at its ends and the momenta at its ends, as names of group settings.
        last = self.total_steps - 1
        top = pct_start * self.total_steps - 1
        self._phases = [(top, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
        if three_phase:
            back = 2 * pct_start * self.total_steps - 2
            self._phases.append((back, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
            self._phases.append((last, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
        else:
            self._phases.append((last, "max_lr", "min_lr", "base_momentum", "max_momentum"))

        max_lrs = _per_group("max_lr", max_lr, optimizer)
        max_momenta = _per_group("max_momentum", max_momentum, optimizer)
        base_momenta = _per_group("base_momentum", base_momentum, optimizer)
        if last_epoch == -1:
            for index, group in enumerate(optimizer.param_groups):
                group["initial_lr"] = max_lrs[index] / div_factor
                group["max_lr"] = max_lrs[index]
                group["min_lr"] = group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    group["max_momentum"] = max_momenta[index]
                    group["base_momentum"] = base_momenta[index]
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: Tried to step {self.last_epoch} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        start = 0.0
        end, first_lr, last_lr, first_momentum, last_momentum = self._phases[0]
        for phase in self._phases[1:]:
            if self.last_epoch <= end:
                break
            start = end
            end, first_lr, last_lr, first_momentum, last_momentum = phase
        share = (self.last_epoch - start) / (end - start) if end != start else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[first_lr], group[last_lr], share))
            if self.cycle_momentum:
                momentum = self._anneal(group[first_momentum], group[last_momentum], share)
                if self.use_beta1:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return rates

    def _anneal(self, first: float, last: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return first + (last - first) * share
        return last + (first - last) / 2 * (1 + math.cos(math.pi * share))


def _positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"OneCycleLR: Expected positive integer {name}, but got {value}")
    return value


def _per_group(name: str, value: float | Sequence[float], optimizer: Optimizer) -> list[float]:
    groups = len(optimizer.param_groups)
    if not isinstance(value, Sequence):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"OneCycleLR: {name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {groups}"
        )
    return list(value)

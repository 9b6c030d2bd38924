"""Schedules that multiply the rate step by step: lr(t) = lr(t - 1) * factor(t).

They start from the current rate, not from the base rate. So several schedules can act on one optimizer, and a rate set
by hand stays in effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from convcore.optim.lr_scheduler.base import LRScheduler, functions_state, load_functions_state, per_group
from convcore.optim.optimizer import Optimizer


class Multiplied(LRScheduler):
    """Base of the schedules in this file, which define `factor`."""

    def factor(self, t: int) -> float:
        """The ratio of the rate after t steps to that after t - 1 steps; for t = 0, to the base rate."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        factor = self.factor(self.last_epoch)
        return [lr * factor for lr in self.rates_in_use()]


class StepLR(Multiplied):
    """Multiply the rate by `gamma` after every `step_size` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return self.gamma if t > 0 and t % self.step_size == 0 else 1.0


class MultiStepLR(Multiplied):
    """Multiply the rate by `gamma` after each number of steps in `milestones`; repeated milestones count repeatedly."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return self.gamma ** Counter(self.milestones)[t]


class ConstantLR(Multiplied):
    """`factor` times the rate for `total_iters` steps, then the rate itself."""

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1):
        if not 0 < factor <= 1:
            raise ValueError(
                f"ConstantLR: Constant multiplicative factor expected to be between 0 and 1, above 0 so that the rate "
                f"can come back from it; got {factor}"
            )
        self.start_factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        if t == 0:
            return self.start_factor
        return 1.0 / self.start_factor if t == self.total_iters else 1.0


class LinearLR(Multiplied):
    """Linear change from `start_factor` to `end_factor` times the rate in `total_iters` steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not 0 < start_factor <= 1:
            raise ValueError(
                "LinearLR: Starting multiplicative factor expected to be greater than 0 and less or equal to 1; "
                f"got {start_factor}"
            )
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: Ending multiplicative factor expected to be between 0 and 1; got {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        if t == 0:
            return self.start_factor
        if self._beginning or t > self.total_iters:
            return 1.0
        rise = self.end_factor - self.start_factor
        return 1.0 + rise / (self.total_iters * self.start_factor + (t - 1) * rise)


class ExponentialLR(Multiplied):
    """Multiply the rate by `gamma` after every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return 1.0 if self._beginning or t == 0 else self.gamma


class PolynomialLR(Multiplied):
    """Polynomial decay to 0 in `total_iters` steps: lr = base_lr * (1 - t / total_iters)^power."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        if self._beginning or t == 0 or t > self.total_iters:
            return 1.0
        return ((1.0 - t / self.total_iters) / (1.0 - (t - 1) / self.total_iters)) ** self.power


class _ByFunctions(LRScheduler):
    """Base of schedules by a user's function of the number of steps: one for all groups, or a list of one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        name = type(self).__name__
        self.lr_lambdas = per_group(name, "lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"{name}: lr_lambda should be a function, but got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the functions; for callable objects, their attributes."""
        return {**super().state_dict(), "lr_lambdas": functions_state(self.lr_lambdas)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        load_functions_state(self.lr_lambdas, state_dict["lr_lambdas"])
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "lr_lambdas"})


class LambdaLR(_ByFunctions):
    """lr = base_lr * lr_lambda(t)."""

    def get_lr(self) -> list[float]:
        return [lr * function(self.last_epoch) for lr, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(_ByFunctions):
    """lr(t) = lr(t - 1) * lr_lambda(t), from the base rate."""

    def get_lr(self) -> list[float]:
        if self._beginning:
            return self.rates_in_use()
        rates = self.rates_in_use()
        return [lr * function(self.last_epoch) for lr, function in zip(rates, self.lr_lambdas, strict=True)]

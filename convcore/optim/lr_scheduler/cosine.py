"""Cosine schedules: from the base rate down to a minimum, once or with restarts."""

from __future__ import annotations

import math

from convcore.optim.lr_scheduler.base import LRScheduler
from convcore.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base rate down to `eta_min` in `T_max` steps, and up again with further steps.

    lr = eta_min + (base_lr - eta_min) * (1 + cos(pi * t / T_max)) / 2, computed from the current rate by recursion.
    Source: I. Loshchilov and F. Hutter, "SGDR" (2017), equation 5, without the restarts.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        rates, t = self.rates_in_use(), self.last_epoch
        if self._beginning or t == 0:
            return rates
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # up from the minimum, where the quotient would be 0 / 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base_lr - self.eta_min) * rise for lr, base_lr in zip(rates, self.base_lrs, strict=True)]
        quotient = (1 + math.cos(math.pi * t / self.T_max)) / (1 + math.cos(math.pi * (t - 1) / self.T_max))
        return [self.eta_min + (lr - self.eta_min) * quotient for lr in rates]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down to `eta_min`, then a restart from the base rate, each cycle `T_mult` times longer.

    `step(epoch)` accepts a fractional epoch, to follow the curve within an epoch:
    `scheduler.step(epoch + batch / batches)`. Source: I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent
    with Warm Restarts" (2017), section 3.

    Args:
        T_0: the number of steps of the first cycle.
        T_mult: the factor of the length from cycle to cycle.
        eta_min: the lowest rate.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"CosineAnnealingWarmRestarts: Expected integer T_mult >= 1, but got {T_mult}")
        self.T_0 = self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base_lr - self.eta_min) * share for base_lr in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Advance by one step, or to `epoch`, and set the rates.

        Raises:
            ValueError: `epoch` is negative.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: Expected non-negative epoch, but got {epoch}")
        else:
            self._go_to(epoch)
        self.last_epoch = math.floor(epoch)
        self.set_rates(self.get_lr())

    def _go_to(self, epoch: float) -> None:
        """Find the cycle of `epoch`; the first n cycles take T_0 * (T_mult^n - 1) / (T_mult - 1) steps together."""
        if self.T_mult == 1:
            n = 0
            start = epoch // self.T_0 * self.T_0
        else:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            start = self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
        self.T_cur = epoch - start
        self.T_i = self.T_0 * self.T_mult**n

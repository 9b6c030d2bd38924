"""A schedule by a metric: the rate falls when the metric stops improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from convcore.optim.lr_scheduler.base import LRScheduler, check_optimizer, per_group
from convcore.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when a metric has not improved for more than `patience` steps.

    Call `step(metric)`, for example with the validation loss: unlike in other schedules, the rate depends on the
    metric, not on the number of steps.

    Args:
        optimizer: the optimizer; the schedule sets "lr" of its groups.
        mode: "min" if a smaller metric is better, "max" if a larger one is.
        factor: the factor of the rate, below 1.
        patience: the number of steps without improvement before a reduction.
        threshold: the smallest improvement that counts: relative to the best metric, or absolute.
        threshold_mode: "rel" or "abs".
        cooldown: the number of steps after a reduction in which the metric is ignored.
        min_lr: the lower limit of the rates; one number, or one for each group.
        eps: reductions by no more than this are skipped.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ):
        if not factor < 1:
            raise ValueError(f"ReduceLROnPlateau: Factor should be < 1.0; got {factor}")
        check_optimizer("ReduceLROnPlateau", optimizer)
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode {mode!r} is unknown! It must be 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"ReduceLROnPlateau: threshold mode {threshold_mode!r} is unknown! It must be 'rel' or 'abs'"
            )
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs = per_group("ReduceLROnPlateau", "min_lr", min_lr, optimizer)
        self.eps = eps
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self._last_lr = self.rates_in_use()

    @property
    def in_cooldown(self) -> bool:
        """Whether the metric is ignored because of a recent reduction."""
        return self.cooldown_counter > 0

    def step(self, metrics: Any) -> None:
        """Record a metric (a number, or a tensor of one element), and reduce the rates if it has stopped improving."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self.rates_in_use()

    def _is_better(self, current: float) -> bool:
        part, amount = (self.threshold, 0.0) if self.threshold_mode == "rel" else (0.0, self.threshold)
        if self.mode == "min":
            return current < self.best * (1 - part) - amount
        return current > self.best * (1 + part) + amount

    def _reduce(self) -> None:
        for group, min_lr in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, min_lr)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr

"""Schedules made of schedules: in sequence, or several at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from convcore.optim.lr_scheduler.base import LRScheduler
from convcore.optim.lr_scheduler.plateau import ReduceLROnPlateau
from convcore.optim.optimizer import Optimizer


class _Composed(LRScheduler):
    """Base of both: several schedules of one optimizer, saved together."""

    _schedulers: Sequence[LRScheduler]

    def _check(self, schedulers: Sequence[Any], optimizer: Optimizer | None) -> Optimizer:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name} expects at least one scheduler, but got no scheduler")
        for index, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name} expects schedulers, but got {type(scheduler).__name__} at index {index}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau`, whose step() needs a measure; index {index}"
                )
            optimizer = optimizer or scheduler.optimizer
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but the one at index {index} "
                    "belongs to another"
                )
        assert optimizer is not None
        return optimizer

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with the states of the schedules."""
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})


class SequentialLR(_Composed):
    """Schedules in sequence, each started from its beginning.

    Args:
        optimizer: the optimizer of all schedules.
        schedulers: the schedules, in order.
        milestones: the number of steps after which each schedule but the first starts.

    Raises:
        ValueError: the number of milestones is not one less than that of schedules, or the optimizers differ.
        TypeError: an item is not a schedule.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ):
        self.optimizer = self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "SequentialLR expects number of schedulers provided to be one more than the number of milestone points,"
                f" but got {len(schedulers)} schedulers and {len(milestones)} milestones"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        # The constructor of each schedule took a first step and set a rate: undo both.
        self._base_rates()
        for scheduler in schedulers:
            _undo_first_step(scheduler)
        self.last_epoch = last_epoch
        self.begin()

    def begin(self) -> None:
        self.last_epoch += 1
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.begin()
        self._last_lr = first.get_last_lr()

    def begin_again(self) -> None:
        self.last_epoch = 0
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.begin_again()
        self._last_lr = first.get_last_lr()

    def _base_rates(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]

    def step(self) -> None:
        """Advance the current schedule by one step."""
        self.last_epoch += 1
        position = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[position]
        if position > 0 and self._milestones[position - 1] == self.last_epoch:
            self._base_rates()
            scheduler.begin_again()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composed):
    """Several schedules at once: each `step()` steps all, and their factors multiply.

    Args:
        schedulers: schedules of one optimizer.
        optimizer: the optimizer of all schedules; by default that of the first.

    Raises:
        ValueError: there are no schedules, or the optimizers differ.
        TypeError: an item is not a schedule.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        self.optimizer = self._check(schedulers, optimizer)
        self._schedulers = schedulers
        self.last_epoch = max(scheduler.last_epoch for scheduler in schedulers)
        self._last_lr = self.rates_in_use()

    def begin(self) -> None:
        for scheduler in self._schedulers:
            scheduler.begin()
        self._last_lr = self.rates_in_use()

    def begin_again(self) -> None:
        for scheduler in self._schedulers:
            scheduler.begin_again()
        self._last_lr = self.rates_in_use()

    def step(self) -> None:
        """Step every schedule."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self.rates_in_use()


def _undo_first_step(scheduler: LRScheduler) -> None:
    scheduler.last_epoch -= 1
    for part in getattr(scheduler, "_schedulers", ()):
        _undo_first_step(part)

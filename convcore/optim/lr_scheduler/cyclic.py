"""Cyclic schedules: the rate rises and falls, and momentum moves in the opposite direction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from convcore.optim.lr_scheduler.base import (
    LRScheduler,
    check_momentum,
    check_optimizer,
    functions_state,
    load_functions_state,
    per_group,
    set_momentum,
)
from convcore.optim.optimizer import Optimizer


class CyclicLR(LRScheduler):
    """Linearly up and down between two rates, repeatedly; call `step()` after every batch.

    Momentum (beta1 of Adam) moves in the opposite direction. Source: L. Smith, "Cyclical Learning Rates for Training
    Neural Networks" (2017), section 3.

    Args:
        base_lr: the lowest rate, one number or one for each group.
        max_lr: the highest rate, likewise.
        step_size_up: the number of steps from the lowest to the highest rate.
        step_size_down: the number of steps back; by default `step_size_up`.
        mode: "triangular" for equal cycles, "triangular2" to halve the amplitude in each new cycle, "exp_range" to
            multiply the amplitude by `gamma` in every step.
        gamma: for "exp_range".
        scale_fn: the amplitude as a function of the cycle (1, 2, ...) or of the step, in place of `mode`.
        scale_mode: the argument of `scale_fn`: "cycle" or "iterations".
        cycle_momentum: whether to change momentum between `max_momentum` and `base_momentum`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ):
        check_optimizer("CyclicLR", optimizer)
        base_lrs = per_group("CyclicLR", "base_lr", base_lr, optimizer)
        self.max_lrs = per_group("CyclicLR", "max_lr", max_lr, optimizer)
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(
                f"CyclicLR: mode is invalid and scale_fn is None: mode must be 'triangular', 'triangular2' or "
                f"'exp_range', got {mode!r}"
            )
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"CyclicLR: scale_mode must be 'cycle' or 'iterations', got {scale_mode!r}")
        down = step_size_up if step_size_down is None else step_size_down
        if not (step_size_up > 0 and down > 0):
            raise ValueError(f"CyclicLR: step sizes must be above 0, got {step_size_up} up and {down} down")
        self.total_size = step_size_up + down
        self.step_ratio = step_size_up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self.scale_fn = scale_fn
        self.scale_mode = scale_mode
        self.cycle_momentum = cycle_momentum
        self.use_beta1 = cycle_momentum and check_momentum("CyclicLR", optimizer)
        self.base_momentums = per_group("CyclicLR", "base_momentum", base_momentum, optimizer)
        self.max_momentums = per_group("CyclicLR", "max_momentum", max_momentum, optimizer)
        if last_epoch == -1:
            for index, group in enumerate(optimizer.param_groups):
                group["lr"] = base_lrs[index]
                if cycle_momentum:
                    group["max_momentum"] = self.max_momentums[index]
                    group["base_momentum"] = self.base_momentums[index]
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        position = 1 + self.last_epoch / self.total_size - cycle
        rising = position <= self.step_ratio
        height = position / self.step_ratio if rising else (1 - position) / (1 - self.step_ratio)
        height *= self._scale(cycle)
        if self.cycle_momentum:
            momenta = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in momenta:
                set_momentum(group, high - (high - low) * height, self.use_beta1)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def _scale(self, cycle: int) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.mode == "triangular2":
            return 0.5 ** (cycle - 1)
        return self.gamma**self.last_epoch if self.mode == "exp_range" else 1.0

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and a plain `scale_fn`; for a callable object, its attributes."""
        return {**super().state_dict(), "scale_fn": functions_state([self.scale_fn])[0] if self.scale_fn else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        load_functions_state([self.scale_fn], [state_dict["scale_fn"]])
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "scale_fn"})


class OneCycleLR(LRScheduler):
    """One cycle over the whole training: up from a small rate to `max_lr`, then down to nearly 0; step every batch.

    The high rate in the middle regularises; in the long descent the weights converge. Momentum (beta1 of Adam) moves in
    the opposite direction. Source: L. Smith and N. Topin, "Super-Convergence" (2018); with two or three phases, as in
    torch.

    Args:
        max_lr: the highest rate, one number or one for each group.
        total_steps: the largest number of calls of `step()`; or give `epochs` and `steps_per_epoch`.
        pct_start: the fraction of steps that increase the rate.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether to change momentum between `max_momentum` and `base_momentum`.
        div_factor: the first rate is max_lr / div_factor.
        final_div_factor: the last rate is the first rate / final_div_factor.
        three_phase: decrease to the first rate in as many steps as the increase took, then to the last rate.
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
        check_optimizer("OneCycleLR", optimizer)
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
        self.use_beta1 = cycle_momentum and check_momentum("OneCycleLR", optimizer)

        # Each phase: its last step, then the names of the group settings of its first and last rate and momentum.
        last = self.total_steps - 1
        top = pct_start * self.total_steps - 1
        self._phases = [(top, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
        if three_phase:
            back = 2 * pct_start * self.total_steps - 2
            self._phases.append((back, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
            self._phases.append((last, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
        else:
            self._phases.append((last, "max_lr", "min_lr", "base_momentum", "max_momentum"))

        max_lrs = per_group("OneCycleLR", "max_lr", max_lr, optimizer)
        max_momenta = per_group("OneCycleLR", "max_momentum", max_momentum, optimizer)
        base_momenta = per_group("OneCycleLR", "base_momentum", base_momentum, optimizer)
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
                set_momentum(group, self._anneal(group[first_momentum], group[last_momentum], share), self.use_beta1)
        return rates

    def _anneal(self, first: float, last: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return first + (last - first) * share
        return last + (first - last) / 2 * (1 + math.cos(math.pi * share))


def _positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"OneCycleLR: Expected positive integer {name}, but got {value}")
    return value

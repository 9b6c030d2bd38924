"""RAdam: Adam without its denominator until that can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.optim.optimizer import Optimizer, check_betas, check_not_negative, flat_state, fresh_step, zeros_like
from convcore.tensor import Tensor
from kernels.cpu.optim.adaptive import radam_step


class RAdam(Optimizer):
    """Adam that steps along m alone while v has seen too few gradients, and shortens the steps after that.

    After t steps v is worth a mean of rho_t = rho - 2 t beta2^t / (1 - beta2^t) gradients, rho: 2 / (1 - beta2) - 1.
    While rho_t <= 5 its variance is unknown and param -= lr * m / (1 - beta1^t); later Adam's step is multiplied by
    the root of (rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t).

    Args:
        params: parameters or groups of parameters.
        lr: learning rate.
        betas: how much of m and of v is kept from step to step.
        eps: keeps the division away from 0.
        weight_decay: pulls the parameters towards 0.
        decoupled_weight_decay: shrink the parameters by lr * weight_decay instead of adding the decay to the gradient.
        maximize: step along the gradient.

    Source: L. Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (2020), algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        check_not_negative("RAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas("RAdam", betas)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = fresh_step()
            state["exp_avg"] = zeros_like(param)
            state["exp_avg_sq"] = zeros_like(param)
        state["step"].array += 1
        number, lr, (beta1, beta2) = flat.dtype.type, group["lr"], group["betas"]
        step = float(state["step"].array)
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / (1 - beta2**step)
        rectified = length > 5
        step_size = lr / (1 - beta1**step)
        if rectified:
            variance = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            step_size *= math.sqrt(variance * (1 - beta2**step))
        decay, keep = group["weight_decay"], 1.0
        if group["decoupled_weight_decay"]:
            decay, keep = 0.0, 1 - lr * decay
        scalars = (
            keep, decay, -1 if group["maximize"] else 1, beta1, 1 - beta1, beta2, 1 - beta2, step_size, group["eps"],
        )  # fmt: skip
        moments = flat_state(state["exp_avg"], param), flat_state(state["exp_avg_sq"], param)
        radam_step(flat, grad, *moments, *map(number, scalars), rectified)

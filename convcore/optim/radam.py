"""RAdam: Adam without the denominator until its variance is known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.optim.optimizer import Optimizer, check_betas, check_not_negative, flat_state, fresh_step, zeros_like
from convcore.tensor import Tensor
from kernels.cpu.optim.adaptive import radam_step


class RAdam(Optimizer):
    """Adam that uses m alone while v has averaged too few gradients, and rectifies the step size after that.

    After t steps v is equivalent to a mean of rho_t = rho - 2 t beta2^t / (1 - beta2^t) gradients, with
    rho = 2 / (1 - beta2) - 1. While rho_t <= 5 the variance of v is unknown and param -= lr * m / (1 - beta1^t); after
    that, Adam's step is multiplied by the root of (rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t).

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        betas: the decay rates of m and v.
        eps: added to the denominator to avoid division by 0.
        weight_decay: the L2 penalty, added to the gradient.
        decoupled_weight_decay: multiply the parameters by 1 - lr * weight_decay instead of adding to the gradient.
        maximize: step along the gradient, not against it.

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

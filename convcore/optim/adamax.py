"""Adamax: Adam with the largest gradient so far in the denominator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.optim.optimizer import Optimizer, check_betas, check_not_negative, flat_state, fresh_step, zeros_like
from convcore.tensor import Tensor
from kernels.cpu.optim.adaptive import adamax_step


class Adamax(Optimizer):
    """Divides the running mean of the gradient by the largest absolute gradient so far, which decays with beta2.

    m = beta1 * m + (1 - beta1) * g,  w = max(beta2 * w, |g| + eps) and param -= lr / (1 - beta1^t) * m / w.

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        betas: the decay rates of m and w.
        eps: added to |g| to avoid division by 0.
        weight_decay: the L2 penalty, added to the gradient.
        maximize: step along the gradient, not against it.

    Source: D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        check_not_negative("Adamax", lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas("Adamax", betas)
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = fresh_step()
            state["exp_avg"] = zeros_like(param)
            state["exp_inf"] = zeros_like(param)
        state["step"].array += 1
        number, (beta1, beta2) = flat.dtype.type, group["betas"]
        step_size = group["lr"] / (1 - beta1 ** float(state["step"].array))
        adamax_step(
            flat, grad, flat_state(state["exp_avg"], param), flat_state(state["exp_inf"], param),
            number(step_size), number(beta1), number(1 - beta1), number(beta2), number(group["eps"]),
            number(group["weight_decay"]), number(-1 if group["maximize"] else 1),
        )  # fmt: skip

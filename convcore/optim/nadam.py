"""NAdam: Adam with Nesterov momentum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.autograd import wrap
from convcore.optim.optimizer import Optimizer, check_betas, check_not_negative, flat_state, fresh_step, zeros_like
from convcore.tensor import Tensor
from kernels.cpu.optim.adaptive import nadam_step


class NAdam(Optimizer):
    """Adam with Nesterov momentum: the numerator mixes the gradient with the running mean weighted for the next step.

    With m and v as in Adam, mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2) and M_t = mu_1 * ... * mu_t:

        param -= lr * ((1 - mu_t) / (1 - M_t) * g + mu_{t+1} / (1 - M_{t+1}) * m) / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        betas: the decay rates of m and v.
        eps: added to the denominator to avoid division by 0.
        weight_decay: the L2 penalty, added to the gradient.
        momentum_decay: the rate at which mu rises from beta1 / 2 to beta1.
        decoupled_weight_decay: multiply the parameters by 1 - lr * weight_decay instead of adding to the gradient.
        maximize: step along the gradient, not against it.

    Source: T. Dozat, "Incorporating Nesterov Momentum into Adam" (2016), algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        check_not_negative("NAdam", lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        check_betas("NAdam", betas)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = fresh_step()
            state["mu_product"] = wrap(np.ones((), np.float32))
            state["exp_avg"] = zeros_like(param)
            state["exp_avg_sq"] = zeros_like(param)
        state["step"].array += 1
        number, lr, (beta1, beta2) = flat.dtype.type, group["lr"], group["betas"]
        step = float(state["step"].array)
        mu, next_mu = [beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1)]
        state["mu_product"].array *= mu
        mu_product = float(state["mu_product"].array)
        decay, keep = group["weight_decay"], 1.0
        if group["decoupled_weight_decay"]:
            decay, keep = 0.0, 1 - lr * decay
        scalars = (
            keep, decay, -1 if group["maximize"] else 1, beta1, 1 - beta1, beta2, 1 - beta2,
            lr * (1 - mu) / (1 - mu_product), lr * next_mu / (1 - mu_product * next_mu),
            1 / math.sqrt(1 - beta2**step), group["eps"],
        )  # fmt: skip
        moments = flat_state(state["exp_avg"], param), flat_state(state["exp_avg_sq"], param)
        nadam_step(flat, grad, *moments, *map(number, scalars))

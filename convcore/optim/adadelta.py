"""Adadelta: steps in the units of the weights, without a learning rate to tune."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.optim.optimizer import Optimizer, check_not_negative, flat_state, fresh_step, zeros_like
from convcore.tensor import Tensor
from kernels.cpu.optim.adaptive import adadelta_step


class Adadelta(Optimizer):
    """Scales the gradient by the root mean square of earlier steps over that of the gradients.

    v = rho * v + (1 - rho) * g^2,  d = g * sqrt(u + eps) / sqrt(v + eps),  u = rho * u + (1 - rho) * d^2 and
    param -= lr * d: the quotient of the two root mean squares gives d the unit of the weight, which g does not have.

    Args:
        params: parameters or groups of parameters.
        lr: a factor of the steps.
        rho: the decay rate of the running means.
        eps: added under both roots: makes the first steps nonzero, and avoids division by 0.
        weight_decay: the L2 penalty, added to the gradient.
        maximize: step along the gradient, not against it.

    Source: M. Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012), algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        check_not_negative("Adadelta", lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0 <= rho <= 1:
            raise ValueError(f"Adadelta: Invalid rho value: {rho}; it must be in [0, 1]")
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = fresh_step()
            state["square_avg"] = zeros_like(param)
            state["acc_delta"] = zeros_like(param)
        state["step"].array += 1
        number, rho = flat.dtype.type, group["rho"]
        adadelta_step(
            flat, grad, flat_state(state["square_avg"], param), flat_state(state["acc_delta"], param),
            number(group["lr"]), number(rho), number(1 - rho), number(group["eps"]), number(group["weight_decay"]),
            number(-1 if group["maximize"] else 1),
        )  # fmt: skip

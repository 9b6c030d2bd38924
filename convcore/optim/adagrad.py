"""Adagrad: the step of each weight is divided by the root of the sum of its squared gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.optim.optimizer import Optimizer, check_not_negative, flat_state, fresh_step, zeros_like
from convcore.tensor import Tensor
from kernels.cpu.optim.adaptive import adagrad_step


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of its squares so far: weights of rare features keep large steps.

    total += g^2 and param -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(total) + eps).

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        lr_decay: the decay of the learning rate, in addition to the effect of the sum.
        weight_decay: the L2 penalty, added to the gradient.
        initial_accumulator_value: the initial value of the sum.
        eps: added to the denominator to avoid division by 0.
        maximize: step along the gradient, not against it.

    Source: J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization" (2011), figure 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        check_not_negative(
            "Adagrad", lr=lr, lr_decay=lr_decay, weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value, eps=eps,
        )  # fmt: skip
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = fresh_step()
            state["sum"] = zeros_like(param)
            state["sum"].array[...] = group["initial_accumulator_value"]
        state["step"].array += 1
        lr = group["lr"] / (1 + (float(state["step"].array) - 1) * group["lr_decay"])
        number = flat.dtype.type
        adagrad_step(
            flat, grad, flat_state(state["sum"], param),
            number(lr), number(group["eps"]), number(group["weight_decay"]), number(-1 if group["maximize"] else 1),
        )  # fmt: skip

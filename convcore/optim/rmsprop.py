"""RMSprop: the step of each weight is divided by the running root mean square of its gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.optim.optimizer import Optimizer, check_not_negative, flat_state, fresh_step, zeros_like
from convcore.tensor import Tensor
from kernels.cpu.optim.adaptive import rmsprop_step


class RMSprop(Optimizer):
    """Divides the gradient by its running root mean square, so that all weights move at a similar rate.

    v = alpha * v + (1 - alpha) * g^2 and param -= lr * g / (sqrt(v) + eps). Centred, v is reduced by the square of the
    running mean of g, which makes it a variance. With momentum, the steps accumulate in a running sum.

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        alpha: the decay rate of v.
        eps: added to the denominator to avoid division by 0.
        weight_decay: the L2 penalty, added to the gradient.
        momentum: the decay rate of the running sum of steps.
        centered: divide by the root of the variance.
        maximize: step along the gradient, not against it.

    Source: T. Tieleman and G. Hinton, lecture 6.5 of "Neural Networks for Machine Learning" (2012); centred: A. Graves,
    "Generating Sequences With Recurrent Neural Networks" (2013), equations 38 to 45.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        check_not_negative("RMSprop", lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = fresh_step()
            state["square_avg"] = zeros_like(param)
            if group["momentum"] > 0:
                state["momentum_buffer"] = zeros_like(param)
            if group["centered"]:
                state["grad_avg"] = zeros_like(param)
        state["step"].array += 1
        number, alpha, without = flat.dtype.type, group["alpha"], flat[:0]
        rmsprop_step(
            flat, grad, flat_state(state["square_avg"], param),
            flat_state(state["grad_avg"], param) if group["centered"] else without,
            flat_state(state["momentum_buffer"], param) if group["momentum"] > 0 else without,
            number(group["lr"]), number(alpha), number(1 - alpha), number(group["eps"]), number(group["weight_decay"]),
            number(-1 if group["maximize"] else 1), number(group["momentum"]),
        )  # fmt: skip

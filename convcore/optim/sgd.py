"""Stochastic gradient descent, with momentum and Nesterov momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.engine import dispatch
from convcore.optim.optimizer import Optimizer, check_not_negative, flat_state, zeros_like
from convcore.tensor import Tensor
from kernels.cpu.optim.sgd_adam import sgd_momentum_step, sgd_step


class SGD(Optimizer):
    """Gradient descent: param -= lr * g, where g is the gradient plus `weight_decay * param`.

    With momentum, a running sum of gradients, b = momentum * b + (1 - dampening) * g, replaces g: components that agree
    from step to step add up, and those that alternate cancel. Nesterov momentum uses g + momentum * b, an estimate of
    the gradient at the point that momentum leads to.

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        momentum: the decay rate of the running sum.
        dampening: the share of each new gradient that is left out of the sum.
        weight_decay: the L2 penalty, added to the gradient.
        nesterov: use Nesterov momentum; needs momentum and no dampening.
        maximize: step along the gradient, not against it.

    Source: I. Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        check_not_negative("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: Nesterov momentum requires a momentum and zero dampening")
        settings = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, settings)

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        number = flat.dtype.type
        lr, weight_decay = number(group["lr"]), number(group["weight_decay"])
        sign = number(-1 if group["maximize"] else 1)
        if group["momentum"] == 0:
            dispatch.of(sgd_step, flat)(flat, grad, lr, weight_decay, sign)
            return
        share = 1 - group["dampening"]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = zeros_like(param)
            share = 1  # the first gradient is not dampened
        buffer = flat_state(state["momentum_buffer"], param)
        momentum = number(group["momentum"])
        settings = lr, momentum, number(share), weight_decay, sign, bool(group["nesterov"])
        dispatch.of(sgd_momentum_step, flat)(flat, grad, buffer, *settings)

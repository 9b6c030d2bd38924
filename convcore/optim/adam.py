"""Adam and AdamW: adaptive step sizes for each weight."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from convcore.engine import dispatch
from convcore.optim.optimizer import (
    Optimizer,
    check_betas,
    check_not_negative,
    flat_state,
    fresh_step,
    zeros_like,
)
from convcore.tensor import Tensor
from kernels.cpu.optim.sgd_adam import adam_amsgrad_step, adam_step


@functools.lru_cache(maxsize=64)  # usually the same for all parameters of a group
def _scalars(
    number: Callable[[float], Any],
    decoupled: bool,
    step: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> tuple[Any, ...]:
    """The scalar arguments of the kernels, in the parameter's dtype."""
    keep, added_decay = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    scalars = (
        keep, added_decay, -1 if maximize else 1, beta1, 1 - beta1, beta2, 1 - beta2,
        lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), eps,
    )  # fmt: skip
    return tuple([number(scalar) for scalar in scalars])


class Adam(Optimizer):
    """Divides the running mean of the gradient by the running root mean square.

    m = beta1 * m + (1 - beta1) * g and v = beta2 * v + (1 - beta2) * g^2 start at 0 and are therefore too small in the
    first steps; dividing by 1 - beta^t corrects that. The step, lr * m / (sqrt(v) + eps), has about the size lr for
    every weight, however large its gradients are. Weight decay is added to the gradient; AdamW decouples it.

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        betas: the decay rates of m and v.
        eps: added to the denominator to avoid division by 0.
        weight_decay: the L2 penalty, added to the gradient.
        amsgrad: divide by the largest v so far.
        maximize: step along the gradient, not against it.

    Source: D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1; for amsgrad
    S. Reddi et al., "On the Convergence of Adam and Beyond" (2018), algorithm 2.
    """

    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        name = type(self).__name__
        check_not_negative(name, lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(name, betas)
        settings = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, settings)

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = fresh_step()
            state["exp_avg"] = zeros_like(param)
            state["exp_avg_sq"] = zeros_like(param)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = zeros_like(param)
        state["step"].array += 1
        settings = _scalars(
            flat.dtype.type, self.decoupled, float(state["step"].array),
            group["lr"], *group["betas"], group["eps"], group["weight_decay"], group["maximize"],
        )  # fmt: skip
        moments = flat_state(state["exp_avg"], param), flat_state(state["exp_avg_sq"], param)
        if group["amsgrad"]:
            largest = flat_state(state["max_exp_avg_sq"], param)
            dispatch.of(adam_amsgrad_step, flat)(flat, grad, *moments, largest, *settings)
        else:
            dispatch.of(adam_step, flat)(flat, grad, *moments, *settings)


class AdamW(Adam):
    """Adam with decoupled weight decay: in every step the parameters are multiplied by 1 - lr * weight_decay.

    Adam adds the decay to the gradient, where it is divided by the root mean square, too, so weights with large
    gradients decay less. The arguments are Adam's, with a `weight_decay` of 0.01.

    Source: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

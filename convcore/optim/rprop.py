"""Rprop: step sizes by the signs of gradients alone, for full batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.optim.optimizer import Optimizer, check_not_negative, flat_state, fresh_step, zeros_like
from convcore.tensor import Tensor
from kernels.cpu.optim.adaptive import rprop_step


class Rprop(Optimizer):
    """A step size for each weight, which grows while the gradient keeps its sign and shrinks when the sign changes.

    After a change of sign the weight is not updated for one step. Intended for gradients of the whole data set: between
    mini-batches signs change at random.

    Args:
        params: parameters or groups of parameters.
        lr: the size of the first step.
        etas: the factors of the step size after a change of sign, and after equal signs.
        step_sizes: the smallest and the largest step size.
        maximize: step along the gradient, not against it.

    Source: M. Riedmiller and H. Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP
    Algorithm" (1993), section 3, without undoing the step before a change of sign.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
    ):
        check_not_negative("Rprop", lr=lr)
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"Rprop: Invalid eta values: {etas[0]}, {etas[1]}; one must lie in (0, 1), one above 1")
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            state["step"] = fresh_step()
            state["prev"] = zeros_like(param)
            state["step_size"] = zeros_like(param)
            state["step_size"].array[...] = group["lr"]
        state["step"].array += 1
        states = flat_state(state["prev"], param), flat_state(state["step_size"], param)
        scalars = (*group["etas"], *group["step_sizes"], -1 if group["maximize"] else 1)
        rprop_step(flat, grad, *states, *map(flat.dtype.type, scalars))

"""Training a part of a network while the rest is frozen.

A module is frozen if all its parameters have `requires_grad = False`; `optim` and autograd need nothing else. Results
that depend only on frozen parameters require no gradient, so autograd does not record them: no memory is kept, and
backward ends at the first trained parameter.

Batch norm and dropout ignore `requires_grad`. In training mode a frozen batch norm still normalises by the statistics
of the batch, and moves its running statistics away from those that its frozen weights were trained with: the frozen
network drifts with every batch. So frozen modules must be in evaluation mode.
"""

from __future__ import annotations

from typing import TypeVar

from convcore.nn import Module

M = TypeVar("M", bound=Module)


def train_unfrozen(model: M) -> M:
    """Set training mode, except in modules whose parameters are all frozen: evaluation mode. Returns the model.

    Call it where a training loop calls `model.train()`. Modules without parameters, such as dropout, get the mode of
    the smallest enclosing module that has parameters. If nothing is frozen, it equals `model.train()`.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
    return model

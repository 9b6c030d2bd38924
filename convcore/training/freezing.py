"""Training a part of a network, the rest frozen.

Frozen is what has `requires_grad = False` on all its parameters; that is all there is to say, and `optim` and autograd
read it there. What only frozen parameters have worked on requires no gradient, so nothing of it is recorded: no memory
is kept, and backward ends where the first trained parameter enters.

Batch norm and dropout do not look at `requires_grad`. In training mode a frozen batch norm still normalises by the
statistics of the batch, and moves its running statistics away from what its frozen weights were trained with: the
network that one meant to keep drifts with every batch. So what is frozen belongs in evaluation mode.
"""

from __future__ import annotations

from typing import TypeVar

from convcore.nn import Module

M = TypeVar("M", bound=Module)


def train_unfrozen(model: M) -> M:
    """Set training mode, but evaluation mode in all modules whose parameters are all frozen. Returns the model.

    Call it where a training loop calls `model.train()`. Modules without parameters, such as dropout, do as the smallest
    module around them that has some. With nothing frozen it is the same as `model.train()`.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
    return model

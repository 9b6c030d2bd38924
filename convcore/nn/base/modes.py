"""Evaluation for a while: batch norm and dropout as after training, and then everything as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from convcore.nn.base.module import Module


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """`model.eval()` inside of the block; afterwards each part has the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

"""Temporary evaluation mode, for batch norm and dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from convcore.nn.base.module import Module


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """`model.eval()` inside the block; afterwards each module is back in its previous mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

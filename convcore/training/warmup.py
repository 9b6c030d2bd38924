"""Compiling ahead: one training step and one evaluation of a throwaway model runs every kernel that training will."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import convcore.nn.functional as F
from convcore.autograd import no_grad, wrap
from convcore.nn import Module
from convcore.optim import Adam

PIXELS = 32 * 28 * 28  # of a batch that is large enough for the kernels of large batches, and small enough to be quick


def warm_up(model: Module, image_shape: Sequence[int], batch_size: int | None = None) -> None:
    """Compile, or load from disk, the kernels that training such a model on images (C, H, W) needs.

    Large batches and small ones, such as the last of an epoch, may be computed by different kernels: both are tried.
    The model is trained on nonsense, and dropout draws from the default random generator: throw the one away, and seed
    the other afterwards.
    """
    optimizer = Adam(model.parameters())
    if batch_size is None:
        batch_size = max(2, PIXELS // (image_shape[1] * image_shape[2]))
    for size in sorted({batch_size, min(batch_size, 2)}):
        x = wrap(np.zeros((size, *image_shape), np.float32))
        labels = wrap(np.zeros(size, np.int64))
        model.train()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()
        model.eval()
        with no_grad():
            model(x)

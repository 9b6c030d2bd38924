"""Compilation ahead of time: one training step and one evaluation of a throwaway model run all kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import convcore.nn.functional as F
from convcore.autograd import no_grad, wrap
from convcore.nn import Module
from convcore.optim import Adam

PIXELS = 32 * 28 * 28  # in a batch: enough for the kernels of large batches, and few enough to be quick


def warm_up(model: Module, image_shape: Sequence[int], batch_size: int | None = None) -> None:
    """Compile, or load from disk, the kernels for training such a model on images (C, H, W).

    Large and small batches, such as the last of an epoch, may use different kernels, so both are run. The model is
    trained on random data, and dropout draws from the default random generator: discard the model, and seed the
    generator afterwards.
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

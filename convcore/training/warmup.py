"""Compiling ahead: one training step and one evaluation of a throwaway model runs every kernel that training will."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import convcore.nn.functional as F
from convcore.autograd import no_grad, wrap
from convcore.models import CNN, SimpleCNN
from convcore.nn import Module
from convcore.optim import Adam

# The image (C, H, W) that each model is made for.
INPUT_SHAPES = {CNN: (1, 28, 28), SimpleCNN: (3, 224, 224)}


def warm_up(model: Module, image_shape: Sequence[int], batch_size: int = 2) -> None:
    """Compile, or load from disk, the kernels that training such a model on images (C, H, W) needs.

    The model is trained on nonsense, and dropout draws from the default random generator: throw the one away, and seed
    the other afterwards.
    """
    optimizer = Adam(model.parameters())
    x = wrap(np.zeros((batch_size, *image_shape), np.float32))
    labels = wrap(np.zeros(batch_size, np.int64))
    F.cross_entropy(model(x), labels).backward()
    optimizer.step()
    model.eval()
    with no_grad():
        model(x)

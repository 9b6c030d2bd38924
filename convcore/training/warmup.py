"""Compiling ahead: one training step and one evaluation of a throwaway model runs every kernel that training will."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import convcore.nn.functional as F
from convcore.autograd import no_grad, wrap
from convcore.models import CNN, SimpleCNN, get_model
from convcore.optim import Adam

# The image (C, H, W) that each model is made for.
INPUT_SHAPES = {CNN: (1, 28, 28), SimpleCNN: (3, 224, 224)}


def warm_up(model_name: str, input_shape: Sequence[int] | None = None, batch_size: int = 2) -> None:
    """Compile, or load from disk, the float32 kernels that training this model needs.

    Draws from the default random generator, so seed that afterwards.

    Args:
        model_name: as for `get_model`.
        input_shape: of an image (C, H, W); by default what the model is made for.
    """
    model = get_model(model_name)
    optimizer = Adam(model.parameters())
    x = wrap(np.zeros((batch_size, *(input_shape or INPUT_SHAPES[type(model)])), np.float32))
    labels = wrap(np.zeros(batch_size, np.int64))
    F.cross_entropy(model(x), labels).backward()
    optimizer.step()
    model.eval()
    with no_grad():
        model(x)

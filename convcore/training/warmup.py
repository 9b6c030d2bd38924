"""Compiling ahead: one training step and one evaluation of a throwaway model runs every kernel that training will."""

from __future__ import annotations

import time

import numpy as np

import convcore.nn.functional as F
from convcore.autograd import no_grad, wrap
from convcore.models import get_model
from convcore.optim import Adam


def warm_up(model_name: str, input_shape: tuple[int, int, int], batch_size: int = 2, classes: int = 10) -> float:
    """Compile, or load from disk, the float32 kernels that training this model needs; returns the seconds it took.

    Draws from the default random generator, so seed it afterwards.
    """
    start = time.perf_counter()
    model = get_model(model_name, num_classes=classes)
    optimizer = Adam(model.parameters())
    x = wrap(np.zeros((batch_size, *input_shape), np.float32))
    labels = wrap(np.zeros(batch_size, np.int64))
    F.cross_entropy(model(x), labels).backward()
    optimizer.step()
    model.eval()
    with no_grad():
        model(x)
    return time.perf_counter() - start

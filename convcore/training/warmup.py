"""Compilation ahead of time: one training step and one evaluation of a throwaway model run all kernels."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence

import numpy as np

import convcore.nn.functional as F
from convcore.autograd import no_grad, wrap
from convcore.nn import Module
from convcore.optim import Adam
from convcore.random import active
from kernels.ahead import Wanted, compile_ahead, noted_launches

PIXELS = 32 * 28 * 28  # in a batch: enough for the kernels of large batches, and few enough to be quick


def warm_up(
    model: Module,
    image_shape: Sequence[int],
    batch_size: int | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> None:
    """Compile, or load from disk, the kernels for training such a model on images (C, H, W).

    Large and small batches, such as the last of an epoch, may use different kernels, so both are run. Kernels that are
    not on disk yet are compiled by as many processes as kernels may use threads; only those that the model needs are.
    The model is trained on random data, and dropout draws from the default random generator: discard the model, and
    seed the generator afterwards.

    Args:
        model: a throwaway model.
        image_shape: of one image.
        batch_size: of the larger batch; by default one of 32 images of 28x28 pixels, or as many pixels.
        report: called with the name of each kernel compiled, how many are ready, and how many are compiled in all.
    """
    if batch_size is None:
        batch_size = max(2, PIXELS // (image_shape[1] * image_shape[2]))
    compile_ahead(_needed(model, image_shape, batch_size), report or _no_report)
    _steps(model, image_shape, batch_size)


def _no_report(name: str, ready: int, total: int) -> None:
    """Of a caller who does not want to know."""


def _needed(model: Module, image_shape: Sequence[int], batch_size: int) -> Wanted:
    """The kernels that the steps launch: a copy of the model makes them, with numbers that mean nothing.

    A model that cannot be copied, or refuses such numbers, compiles the rest as it runs; a true error comes again then.
    """
    state = active().get_state()
    with noted_launches() as wanted, np.errstate(all="ignore"), contextlib.suppress(Exception):
        _steps(copy.deepcopy(model), image_shape, batch_size)
    active().set_state(state)
    return wanted


def _steps(model: Module, image_shape: Sequence[int], batch_size: int) -> None:
    optimizer = Adam(model.parameters())
    for size in sorted({batch_size, min(batch_size, 2)}):
        x = wrap(np.zeros((size, *image_shape), np.float32))
        labels = wrap(np.zeros(size, np.int64))
        model.train()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()
        model.eval()
        with no_grad():
            model(x)

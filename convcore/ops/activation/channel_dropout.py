"""Dropout of whole channels, and dropout for SELU networks, which preserves mean and variance.

dropout1d, 2d, 3d       one random choice per channel of each image, for all positions (Tompson et al. 2015)
alpha_dropout           out = a * (x where kept, else alpha) + b: dropped elements get alpha = -1.7580993, the limit of
                        SELU at -infinity; a = ((1 - p) (1 + p alpha^2))^(-1/2) and b = -a p alpha restore mean and
                        variance (Klambauer et al. 2017, section "New dropout technique")
feature_alpha_dropout   the same for whole channels
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import wrap
from convcore.errors import ShapeError
from convcore.ops.activation.dropout import check_probability, dropout
from convcore.ops.core.dtypes import require_floating, require_tensor
from convcore.ops.elementwise.in_place import change

if TYPE_CHECKING:
    from convcore.tensor import Tensor

ALPHA = -1.7580993408473766


def _mask(shape: tuple[int, ...], dtype: np.dtype, p: float) -> Tensor:
    """1 with probability 1 - p, else 0."""
    return (dropout(wrap(np.ones(shape, dtype)), p) != 0).to(dtype)


def _channels(op: str, x: Tensor) -> tuple[int, ...]:
    """The shape of a mask with one element per channel of each image."""
    if x.array.ndim < 2:
        raise ShapeError(f"{op}: input must have a batch axis and a channel axis (N, C, ...), got {x.array.shape}")
    return (*x.array.shape[:2], *[1] * (x.array.ndim - 2))


def _apply(op: str, x: Tensor, p: float, training: bool, inplace: bool, function: Callable[[Tensor], Tensor]) -> Tensor:
    require_tensor(op, "input", x)
    check_probability(op, p)
    if not training or p == 0 or x.array.size == 0:
        return x
    require_floating(op, x)
    return change(op, x, function) if inplace else function(x)


def _drop_channels(op: str, x: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    shape = _channels(op, x)
    scale = 0.0 if p == 1 else 1 / (1 - p) if training else 1.0
    return _apply(op, x, p, training, inplace, lambda x: x * (_mask(shape, x.array.dtype, p) * scale))


def _of_images(op: str, input: Tensor, p: float, training: bool, inplace: bool, positions: int) -> Tensor:
    """Channel dropout of a batch with this number of spatial axes, or of one image without a batch axis."""
    check_probability(op, p)
    require_floating(op, input)
    if input.array.ndim == positions + 1:
        if inplace:
            return change(op, input, lambda x: _drop_channels(op, x.unsqueeze(0), p, training, False).squeeze(0))
        return _drop_channels(op, input.unsqueeze(0), p, training, False).squeeze(0)
    return _drop_channels(op, input, p, training, inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels at random and scale the others by 1 / (1 - p); the identity in evaluation mode.

    Args:
        input: (N, C, L), or (C, L).
        p: the probability that a channel is zeroed, 0 to 1.
        training: False returns input itself.
        inplace: write the result into input.

    Raises:
        ShapeError: p is out of range, or input has another number of axes.
    """
    if input.array.ndim not in (2, 3):
        raise ShapeError(f"dropout1d: input must have 2 or 3 axes, (C, L) or (N, C, L), got shape {input.array.shape}")
    return _of_images("dropout1d", input, p, training, inplace, 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout1d` for images (N, C, H, W). As in torch, an input of three axes is read as (N, C, L), with a warning.

    Raises:
        ShapeError: p is out of range, or input has no channel axis.
    """
    if input.array.ndim not in (3, 4):
        warnings.warn(f"dropout2d: input has {input.array.ndim} axes, not the 4 of (N, C, H, W)", stacklevel=2)
    elif input.array.ndim == 3:
        warnings.warn(
            "dropout2d: input has 3 axes, which are read as (N, C, L); use dropout1d for these, and unsqueeze(0) for "
            "a single image",
            stacklevel=2,
        )
    check_probability("dropout2d", p)
    return _drop_channels("dropout2d", input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout1d` for volumes (N, C, D, H, W), or (C, D, H, W).

    Raises:
        ShapeError: p is out of range, or input has no channel axis.
    """
    if input.array.ndim not in (4, 5):
        warnings.warn(f"dropout3d: input has {input.array.ndim} axes, not the 5 of (N, C, D, H, W)", stacklevel=2)
    return _of_images("dropout3d", input, p, training, inplace, 3)


def _alpha(x: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    mask = _mask(shape, x.array.dtype, p)
    if p == 1:
        return x * mask
    a = 1 / math.sqrt((1 - p) * (1 + p * ALPHA**2))
    return x * (mask * a) + ((mask - 1) * (ALPHA * -a) - a * p * ALPHA)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Set elements at random to SELU's lower limit, and preserve mean and variance.

    Args:
        input: a tensor of any shape, float32 or float64.
        p: the probability that an element is set, 0 to 1.
        training: False returns input itself.
        inplace: write the result into input.
    """
    return _apply("alpha_dropout", input, p, training, inplace, lambda x: _alpha(x, x.array.shape, p))


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` for whole channels of a batch (N, C, ...)."""
    op = "feature_alpha_dropout"
    return _apply(op, input, p, training, inplace, lambda x: _alpha(x, _channels(op, x), p))

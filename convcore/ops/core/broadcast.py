"""Broadcasting: the check of shapes, and the gradient of a broadcast operand.

Broadcasting repeats an operand along the axes that it lacks or in which it has length 1. Every repetition contributes
to the derivative, so the gradient is summed over these axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from convcore.errors import ShapeError

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def unbroadcast(gradient: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum a gradient over the axes that broadcasting added to, or stretched in, an operand of this shape."""
    have = gradient.array.shape
    if have == shape:
        return gradient
    added = len(have) - len(shape)
    stretched = [added + axis for axis, size in enumerate(shape) if size == 1 and have[added + axis] != 1]
    return gradient.sum((*range(added), *stretched), keepdim=True).reshape(shape)


def check_broadcast(op: str, *tensors: Tensor, names: Sequence[str] = ("input", "other")) -> None:
    """Raise ShapeError, with the arguments' names, unless the shapes broadcast against each other."""
    shapes = [t.array.shape for t in tensors]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(f"{shape} of {name}" for shape, name in zip(shapes, names, strict=True))
        raise ShapeError(
            f"{op}: shapes {listed} do not broadcast: counted from the last axis, sizes must be equal or 1; "
            "insert axes of length 1 with unsqueeze() or reshape()"
        ) from None

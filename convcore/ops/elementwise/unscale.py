"""Gradients of a scaled loss: undo the scale, and see whether anything overflowed."""

from __future__ import annotations

import numpy as np


def unscale(gradients: list[np.ndarray], inverse: float) -> bool:
    """Multiply flat gradients in place by a number; whether one of them is not finite then."""
    with np.errstate(all="ignore"):
        for gradient in gradients:
            gradient *= gradient.dtype.type(inverse)
    return not all(np.isfinite(gradient).all() for gradient in gradients)

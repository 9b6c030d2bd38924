"""Gradients of a scaled loss: undo the scale, and check for overflow."""

from __future__ import annotations

import numpy as np


def unscale(gradients: list[np.ndarray], inverse: float) -> bool:
    """Multiply flat gradients in place by `inverse`; returns whether any element is not finite afterwards."""
    with np.errstate(all="ignore"):
        for gradient in gradients:
            gradient *= gradient.dtype.type(inverse)
    return not all(np.isfinite(gradient).all() for gradient in gradients)

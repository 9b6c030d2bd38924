"""What a kernel does with a result before it stores it: add an image, apply an activation.

    out = activation(x * weight + bias + residual)

oneDNN calls this post-ops, CUTLASS an epilogue. The bias is no part of it: it belongs to the filters, which batch norm
may scale, and is where the accumulators start.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np


class Epilogue(NamedTuple):
    """What follows a convolution or a product.

    Attributes:
        residual: an array of the result's shape that is added, such as the shortcut of a residual block; None for none.
        activation: "relu", the one that kernels compute as they store; None for none.
    """

    residual: np.ndarray | None = None
    activation: Literal["relu"] | None = None

    @property
    def relu(self) -> bool:
        """Whether the result is rectified."""
        return self.activation is not None

    def apply(self, out: np.ndarray) -> None:
        """Do it in place, after a kernel that cannot."""
        if self.residual is not None:
            np.add(out, self.residual, out=out)
        if self.relu:
            np.maximum(out, 0, out=out)


NO_EPILOGUE = Epilogue()

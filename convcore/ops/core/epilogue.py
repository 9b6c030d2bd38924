"""The epilogue of a kernel: operations on the result before it is stored.

    out = activation(x * weight + bias + residual)

oneDNN calls these post-ops, CUTLASS an epilogue. The bias is not part of the epilogue: it belongs to the filters, which
batch norm may scale, and it initialises the accumulators.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np


class Epilogue(NamedTuple):
    """The epilogue of a convolution or a matrix product.

    Attributes:
        residual: an array of the result's shape to add, such as the shortcut of a residual block; None for none.
        activation: "relu", the only one that kernels compute; None for none.
    """

    residual: np.ndarray | None = None
    activation: Literal["relu"] | None = None

    @property
    def relu(self) -> bool:
        """Whether the result is rectified."""
        return self.activation is not None

    def apply(self, out: np.ndarray) -> None:
        """Apply the epilogue in place, to the result of a kernel without one."""
        if self.residual is not None:
            np.add(out, self.residual, out=out)
        if self.relu:
            np.maximum(out, 0, out=out)


NO_EPILOGUE = Epilogue()

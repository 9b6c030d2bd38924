"""The logarithm of the logistic function, which the losses of binary choices are made of.

    y = log(1 / (1 + exp(-x))) = min(x, 0) - log(1 + exp(-|x|)),    y' = 1 / (1 + exp(x))

Written this way nothing overflows, and small results keep their digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import Function, wrap
from convcore.ops.dtypes import require_floating
from convcore.ops.elementwise import sigmoid

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class LogSigmoid(Function):
    """Keeps x."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        with np.errstate(all="ignore"):
            return wrap(np.asarray(np.minimum(x.array, 0) - np.log1p(np.exp(-np.abs(x.array)))))

    @staticmethod
    def backward(ctx, grad_out):
        (x,) = ctx.saved_tensors
        return grad_out * sigmoid(-x)


def logsigmoid(input: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))) of each element; float32 or float64."""
    require_floating("logsigmoid", input)
    return LogSigmoid.apply(input)

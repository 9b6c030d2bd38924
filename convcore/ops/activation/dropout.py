"""Dropout: in training, every element is zeroed with probability p and the others are scaled by 1 / (1 - p).

    out = x * mask / (1 - p),    mask[i] = 1 with probability 1 - p

Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014, with the scale
applied in training, so that evaluation is the identity. The map is linear and elementwise, so the gradient is the same
map, grad_x = grad_out * mask / (1 - p), and so are all higher gradients.

The mask is a function of (seed, offset, position of the element in memory) and is never stored. `Generator.next_offset`
reserves one Philox counter for each four elements; element i in memory order takes word i % 4 of counter
offset + i // 4. So the mask is the same for any number of threads, and on any device. Arrays that hold the same values
in different memory orders (NCHW and channels-last) get different masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcore import memory
from convcore.autograd import Function, wrap
from convcore.errors import ShapeError
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.dtypes import require_floating
from convcore.ops.core.layout import memory_order
from convcore.ops.elementwise.in_place import change
from convcore.random import active
from kernels.cpu.activation.dropout import dropout_forward

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero elements at random and scale the others to preserve the expected value; the identity in evaluation mode.

    Args:
        x: a tensor of any shape, float32 or float64.
        p: the probability that an element is zeroed, 0 to 1.
        training: False returns x itself.
        inplace: write the result into x.

    The mask comes from `convcore.random.active()`; `manual_seed` makes it reproducible.
    """
    require_floating("dropout", x)
    check_probability("dropout", p)
    if not training or p == 0 or x.array.size == 0:
        return x
    seed, offset = active().next_offset(ceil_div(x.array.size, 4))
    settings = float(p), seed, offset, memory_order(x.array)
    return change("dropout", x, Dropout.apply, *settings) if inplace else Dropout.apply(x, *settings)


def check_probability(op: str, p: float) -> None:
    """Refuse p outside [0, 1]."""
    if not 0 <= p <= 1:
        raise ShapeError(f"{op}: p is a probability and must lie from 0 to 1, got {p}")


class Dropout(Function):
    """Saves p, the seed, the offset and the memory order for backward, but no mask."""

    @staticmethod
    def forward(ctx, x, p, seed, offset, order):
        ctx.settings = p, seed, offset, order
        dtype = x.array.dtype.type
        scale = dtype(0 if p == 1 else 1 / (1 - p))
        block = x.array.transpose(order)
        block = block if block.flags.c_contiguous else block.copy()
        out = memory.empty(block.shape, block.dtype)
        dropout_forward(
            block.reshape(-1), out.reshape(-1), scale, np.uint64(seed), np.uint64(offset), np.uint64(round(p * 2**32))
        )
        return wrap(out.transpose(np.argsort(order)))

    @staticmethod
    def backward(ctx, grad_out):
        return Dropout.apply(grad_out, *ctx.settings), None, None, None, None

"""Sparse linear maps along one axis: padding and interpolation.

    out[.., o, ..] = sum over e in row o of weights[e] * x[.., sources[e], ..]

The gradient is the transposed map, and the gradient of the gradient the map itself.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Function, wrap
from convcore.engine.capture import constant
from convcore.ops.core.layout import nchw, nhwc
from kernels.cpu.image import resample_axis

if TYPE_CHECKING:
    from convcore.tensor import Tensor


@dataclass(frozen=True, eq=False)
class AxisMap:
    """A sparse matrix (size_out, size_in) in CSR format.

    Attributes:
        first: (size_out + 1,), the first entry of each row.
        sources, weights: the column and the value of each entry.
    """

    size_in: int
    first: np.ndarray
    sources: np.ndarray
    weights: np.ndarray

    @property
    def size_out(self) -> int:
        return self.first.size - 1

    @functools.cached_property
    def transposed(self) -> AxisMap:
        rows = np.repeat(np.arange(self.size_out), np.diff(self.first))
        order = np.argsort(self.sources, kind="stable")
        first = np.concatenate([[0], np.cumsum(np.bincount(self.sources, minlength=self.size_in))])
        return AxisMap(self.size_out, first.astype(np.int64), rows[order], self.weights[order])


def axis_map(size_in: int, sources: np.ndarray, weights: np.ndarray | None = None) -> AxisMap:
    """A map with the same number of entries in each row: sources and weights (size_out, terms); weight 1 by default."""
    sources = sources.reshape(len(sources), -1).astype(np.int64)
    weights = np.ones(sources.shape) if weights is None else weights
    first = np.arange(len(sources) + 1) * sources.shape[1]
    return AxisMap(size_in, first, sources.reshape(-1), weights.reshape(-1))


class ResampleAxis(Function):
    """An `AxisMap` applied to an axis of series, images or volumes; the result is channels-last in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, matrix: AxisMap):
        ctx.axis, ctx.matrix = axis, matrix
        block, axis_index = nhwc(x.array), axis - 1
        shape = (*block.shape[:axis_index], matrix.size_out, *block.shape[axis_index + 1 :])
        if block.dtype.kind != "f":  # maps that only move elements accept any dtype
            return wrap(nchw(block.take(constant(matrix.sources), axis_index)))
        out = memory.empty(shape, block.dtype)
        ends = math.prod(shape[:axis_index]), math.prod(shape[axis_index + 1 :])
        resample_axis(
            block.reshape(ends[0], matrix.size_in, ends[1]), out.reshape(ends[0], matrix.size_out, ends[1]),
            constant(matrix.first), constant(matrix.sources), constant(matrix.weights.astype(block.dtype)),
        )  # fmt: skip
        return wrap(nchw(out))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        return ResampleAxis.apply(grad_out, ctx.axis, ctx.matrix.transposed), None, None

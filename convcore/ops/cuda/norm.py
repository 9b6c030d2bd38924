"""Batch norm on a GPU, fused with the ReLU that follows, if any. The running statistics are updated on the GPU, too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from convcore.autograd import once_differentiable, wrap
from convcore.engine.cuda.array import DeviceArray, empty_like
from convcore.engine.dispatch import twin_of
from convcore.ops.cuda.arrays import channels_last, floats, values_or
from convcore.ops.norm import batch_norm as on_cpu
from convcore.ops.norm.fused import BatchNorm
from kernels.cuda import calls, norm
from kernels.cuda.calls import ceil_div


@dataclass(frozen=True)
class Normalisation:
    """The statistics, (C,), of one call of batch norm.

    Attributes:
        training: whether they are those of the batch, and hence pass gradients to it.
    """

    mean: DeviceArray
    variance: DeviceArray
    eps: float
    training: bool

    @property
    def nbytes(self) -> int:
        """The size in the cache: see `convcore.ops.core.weight_cache`."""
        return self.mean.nbytes + self.variance.nbytes


def _sizes(array: Any) -> tuple[tuple[int, int], tuple[int, int, int]]:
    """The grid of the kernels that loop over rows of pixels, and their sizes."""
    columns = array.shape[1]
    rows, part = array.size // max(columns, 1), calls.ROWS_PER_PART
    return (ceil_div(columns, calls.COLUMNS), ceil_div(rows, part)), (rows, columns, part)


@twin_of(on_cpu.normalisation)
def normalisation(x, running_mean, running_var, weight, bias, training, momentum, eps) -> Normalisation:
    """The statistics of one call; training updates the running statistics, too."""
    if not training:
        return Normalisation(running_mean.array.copy(), running_var.array.copy(), eps, False)
    grid, sizes = _sizes(x.array)
    columns, parts = sizes[1], grid[1]
    means, squares, mean, variance = floats(parts * columns), floats(parts * columns), floats(columns), floats(columns)
    running = [floats(0) if r is None else r.before_write() for r in (running_mean, running_var)]
    norm.batch_norm_statistics(grid, channels_last(x.array), means, squares, *sizes)
    norm.join_statistics(ceil_div(columns, calls.THREADS), means, squares, mean, variance, *running, *sizes, momentum)
    for r in (running_mean, running_var):
        if r is not None:
            r.mark_changed()
    return Normalisation(mean, variance, eps, True)


@twin_of(BatchNorm)
class BatchNormOnGPU(BatchNorm):
    """Saves x, weight and bias; backward recomputes the normalised values."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, norm_: Any, rectify: bool, geometry: None):
        ctx.save_for_backward(x, weight, bias)
        ctx.norm, ctx.rectify = norm_, rectify
        grid, sizes = _sizes(x.array)
        out = empty_like(channels_last(x.array))
        norm.batch_norm_forward(grid, channels_last(x.array), *_channels(ctx, weight, bias), out, *sizes, *_ends(ctx))
        return wrap(_images(out, x.array.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Any):
        x, weight, bias = ctx.saved_tensors
        grid, sizes = _sizes(x.array)
        columns, parts = sizes[1], grid[1]
        given = channels_last(x.array), channels_last(grad_out.array), *_channels(ctx, weight, bias)
        partials, sums = floats(parts * 2 * columns), floats(2 * columns)
        norm.batch_norm_grad_sums(grid, *given, partials, *sizes, *_ends(ctx))
        calls.add_parts(partials, sums, 2 * columns, parts)
        grad_x: Any = None
        if ctx.needs_input_grad[0]:
            grad_x = floats(x.array.size)
            frozen = not ctx.norm.training
            norm.batch_norm_grad_input(grid, *given, sums, grad_x, *sizes, *_ends(ctx), frozen)
            grad_x = wrap(_images(grad_x, x.array.shape))
        # Two halves of one allocation, which never overlap.
        halves: list[Any] = [DeviceArray(sums.numbers[:columns]), DeviceArray(sums.numbers[columns:])]
        grad_bias, grad_weight = (wrap(half) for half in halves)
        _, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        return grad_x, grad_weight if wants_weight else None, grad_bias if wants_bias else None, None, None, None


def _channels(ctx: Any, weight: Any, bias: Any) -> tuple[DeviceArray, ...]:
    """The arguments of the kernels for each channel: statistics, weight and bias."""
    columns = ctx.norm.mean.size
    factor, shift = (None if tensor is None else tensor.array for tensor in (weight, bias))
    return ctx.norm.mean, ctx.norm.variance, values_or(1, factor, columns), values_or(0, shift, columns)


def _ends(ctx: Any) -> tuple[float, float]:
    """eps, and the lower clamp of the output: NaN for none."""
    return ctx.norm.eps, 0.0 if ctx.rectify else math.nan


def _images(flat: Any, shape: tuple[int, ...]) -> Any:
    """The logical (N, C, ..) view of a channels-last array."""
    block = flat.reshape(shape[0], *shape[2:], shape[1])
    return block.transpose(0, len(shape) - 1, *range(1, len(shape) - 1))

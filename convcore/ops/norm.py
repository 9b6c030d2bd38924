"""Batch normalisation: every channel shifted and scaled to mean 0 and variance 1, then by its own weight and bias.

    out = (x - mean) / sqrt(variance + eps) * weight + bias

Source: Ioffe & Szegedy, "Batch normalization", 2015. In training, mean and variance are those of the batch, over all
axes but the channels' (biased: divided by the count m). In evaluation they are the running statistics, which training
moves by `momentum` towards the batch's (there the variance is unbiased: divided by m - 1).

Gradients, with xhat = (x - mean) * invstd, invstd = 1 / sqrt(variance + eps), sums over the m values of a channel:

    grad_bias   = sum grad_out
    grad_weight = sum grad_out * xhat
    grad_x      = weight * invstd * grad_out                                    with fixed statistics

In training x moves the statistics too (the paper's section 3). The derivatives of mean and variance by one element are
1/m and 2 (x - mean) / m, so d xhat_i / d x_j = invstd * ([i == j] - 1/m - xhat_i * xhat_j / m), and

    grad_x = weight * invstd * (grad_out - grad_bias / m - xhat * grad_weight / m)

which is, channel by channel, an affine function of grad_out and x: one pass for the sums, one for the result.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcore import memory
from convcore.autograd import Function, once_differentiable, wrap
from convcore.errors import ShapeError, array_table
from convcore.ops.arguments import check_float_tensors
from convcore.ops.rows import from_rows, rows_along
from kernels.cpu import norm as kernels

if TYPE_CHECKING:
    from convcore.tensor import Tensor

ELEMENTS_PER_CHUNK = 32768  # 128 KiB of float32: a chunk is read twice and must stay in the L2 cache in between


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every channel of x over the batch and all positions.

    Args:
        x: (N, C), (N, C, L), (N, C, H, W) or more positions; float32 or float64.
        running_mean, running_var: (C,) statistics of earlier batches. Training changes them in place; evaluation
            normalises with them. None: training keeps none.
        weight, bias: (C,), or None for 1 and 0.
        training: normalise with the statistics of the batch instead of the running ones.
        momentum: share of the batch in the new running statistics.
        eps: added to the variance.

    Returns:
        A tensor of x's shape, channels-last in memory.

    Raises:
        ShapeError: x has fewer than two axes, a size does not fit its channels, or a training batch has only one value
            per channel, whose variance says nothing.
        DTypeError: x is not float32 or float64, or another tensor differs from it.
    """
    _check(x, running_mean, running_var, weight, bias, training)
    return BatchNorm.apply(x, weight, bias, running_mean, running_var, training, momentum, eps)


class BatchNorm(Function):
    """Keeps x, weight and the two statistics; the normalised x is made again in backward."""

    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, training, momentum, eps):
        rows = rows_along(x.array, 1)
        with np.errstate(all="ignore"):  # NaN and infinity travel in silence, as in PyTorch
            if training:
                mean, variance = _batch_statistics(rows)
                if rows.shape[0]:
                    _update_running(running_mean, mean, momentum)
                    _update_running(running_var, variance * (rows.shape[0] / max(rows.shape[0] - 1, 1)), momentum)
            else:
                mean, variance = running_mean.array.astype(np.float64), running_var.array.astype(np.float64)
            invstd = 1 / np.sqrt(variance + eps)
            # Rounding the mean to x's dtype would shift a whole channel. So the rounded mean is subtracted, exactly for
            # x near it, and what the rounding lost (mean - center) goes into the shift.
            center = mean.astype(rows.dtype)
            scale = invstd if weight is None else invstd * weight.array
            shift = (center - mean) * scale
            if bias is not None:
                shift += bias.array
            out = _affine(rows, center, scale, shift)
        ctx.save_for_backward(x, weight)
        ctx.mean, ctx.invstd, ctx.training = mean, invstd, training
        return wrap(from_rows(out, x.array.shape, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        x, weight = ctx.saved_tensors
        with np.errstate(all="ignore"):
            gradients = _gradients(ctx, x.array, grad_out.array, None if weight is None else weight.array)
        return (*[None if gradient is None else wrap(gradient) for gradient in gradients], *[None] * 5)


def _gradients(ctx, x: np.ndarray, grad_out: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray | None, ...]:
    """grad_x, grad_weight, grad_bias; None for those that are not wanted."""
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    rows, grad_rows = rows_along(x, 1), rows_along(grad_out, 1)
    mean, invstd, dtype = ctx.mean, ctx.invstd, x.dtype
    center = mean.astype(dtype)
    scale = invstd if weight is None else invstd * weight
    grad_x = grad_weight = grad_bias = None
    if ctx.training or needs_weight or needs_bias:
        sum_grad, sum_grad_x = _grad_sums(rows, grad_rows, center)
        sum_grad_xhat = invstd * (sum_grad_x + (center - mean) * sum_grad)
        grad_weight = sum_grad_xhat.astype(dtype) if needs_weight else None
        grad_bias = sum_grad.astype(dtype) if needs_bias else None
        if needs_x and ctx.training:
            count = max(rows.shape[0], 1)
            slope = -scale * invstd * sum_grad_xhat / count
            shift = -scale * sum_grad / count + slope * (center - mean)
            coefficients = (a.astype(dtype) for a in (scale, slope, shift))
            grad_x = memory.empty(rows.shape, dtype)
            kernels.batch_norm_grad_input(rows, grad_rows, center, *coefficients, grad_x, _rows_per_chunk(rows))
    if needs_x and not ctx.training:
        zero = np.zeros(rows.shape[1], dtype)
        grad_x = _affine(grad_rows, zero, scale, zero)
    return None if grad_x is None else from_rows(grad_x, x.shape, 1), grad_weight, grad_bias


def _rows_per_chunk(rows: np.ndarray) -> int:
    return max(ELEMENTS_PER_CHUNK // max(rows.shape[1], 1), 16)


def _workspace(rows: np.ndarray) -> np.ndarray:
    return memory.empty((2, -(-rows.shape[0] // _rows_per_chunk(rows)), rows.shape[1]), np.float64)


def _batch_statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    if rows.size:
        kernels.batch_norm_statistics(rows, mean, variance, _workspace(rows), _rows_per_chunk(rows))
    return mean, variance


def _grad_sums(rows: np.ndarray, grad_rows: np.ndarray, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sum_grad, sum_grad_x = np.empty(rows.shape[1]), np.empty(rows.shape[1])
    kernels.batch_norm_grad_sums(
        rows, grad_rows, center, sum_grad, sum_grad_x, _workspace(rows), _rows_per_chunk(rows)
    )  # fmt: skip
    return sum_grad, sum_grad_x


def _affine(rows: np.ndarray, center: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """(rows - center) * scale + shift."""
    out = memory.empty(rows.shape, rows.dtype)
    scale, shift = scale.astype(rows.dtype), shift.astype(rows.dtype)
    kernels.batch_norm_forward(rows, center, scale, shift, out, _rows_per_chunk(rows))
    return out


def _update_running(running: Tensor | None, batch: np.ndarray, momentum: float) -> None:
    """running = (1 - momentum) * running + momentum * batch, in place."""
    if running is not None:
        running.array[...] = (1 - momentum) * running.array + momentum * batch
        running.mark_changed()


def _check(x, running_mean, running_var, weight, bias, training: bool) -> None:
    check_float_tensors("batch_norm", x=x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if x.array.ndim < 2:
        raise ShapeError(
            "batch_norm: x must have a batch axis and a channel axis, (N, C), (N, C, L) or (N, C, H, W), "
            f"got shape {x.array.shape}"
        )
    channels = x.array.shape[1]
    named = [("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)]
    for name, tensor in named:
        if tensor is not None and tensor.array.shape != (channels,):
            table = array_table([("x", x.array, "N, C, ..."), (name, tensor.array, "C")])
            raise ShapeError(
                f"batch_norm: {name} must have one element for each of x's {channels} channels (axis 1), shape "
                f"({channels},)\n{table}"
            )
    if training and x.array.shape[0] * math.prod(x.array.shape[2:]) == 1:
        raise ShapeError(
            "batch_norm: Expected more than 1 value per channel when training, got input size "
            f"{x.array.shape}; use a larger batch, drop the last small one (drop_last=True), or eval()"
        )
    if not training and (running_mean is None or running_var is None):
        raise ShapeError(
            "batch_norm: evaluation needs running_mean and running_var; give both, or training=True to normalise with "
            "the statistics of the batch"
        )

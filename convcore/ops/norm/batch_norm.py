"""Batch normalisation: every channel normalised to mean 0 and variance 1, then scaled and shifted by weight and bias.

    out = (x - mean) / sqrt(variance + eps) * weight + bias

Source: Ioffe & Szegedy, "Batch normalization", 2015. In training, mean and variance are those of the batch, over all
axes but the channels (biased: divided by the count m). In evaluation they are the running statistics, which training
moves by `momentum` towards those of the batch (with the unbiased variance: divided by m - 1).

Gradients, with xhat = (x - mean) * invstd, invstd = 1 / sqrt(variance + eps), sums over the m values of a channel:

    grad_bias   = sum grad_out
    grad_weight = sum grad_out * xhat
    grad_x      = weight * invstd * grad_out                                    with fixed statistics

In training the statistics depend on x, too (section 3 of the paper). The derivatives of mean and variance by one
element are 1/m and 2 (x - mean) / m, so d xhat_i / d x_j = invstd * ([i == j] - 1/m - xhat_i * xhat_j / m), and

    grad_x = weight * invstd * (grad_out - grad_bias / m - xhat * grad_weight / m)

which is, channel by channel, an affine function of grad_out and x: one pass for the sums, one for the result.

This module checks the arguments and computes the statistics at once. The normalisation itself may be deferred, to be
fused with the operations that follow: it is in `convcore.ops.norm.fused`.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import is_recorded, may_defer
from convcore.engine import dispatch
from convcore.errors import ShapeError, array_table
from convcore.ops.core.arguments import check_float_tensors, meta
from convcore.ops.core.fusion import pending
from convcore.ops.core.rows import rows_along
from convcore.ops.core.weight_cache import derived_from_all
from convcore.ops.norm.fused import (
    BatchNorm,
    Normalisation,
    coefficient_lines,
    defer_norm,
    rows_per_chunk,
    sums_workspace,
)
from kernels.cpu.norm import batch_norm as kernels

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every channel of the input over the batch and all positions.

    Args:
        input: (N, C), (N, C, L), (N, C, H, W) or more axes of positions; float32 or float64. An empty input gives an
            empty result, and as in PyTorch the other sizes are not checked.
        running_mean, running_var: (C,) statistics of earlier batches. Training changes them in place; evaluation
            normalises with them. With None, training does not track statistics.
        weight, bias: (C,), or None for 1 and 0.
        training: normalise with the statistics of the batch instead of the running ones.
        momentum: the share of the batch in the new running statistics.
        eps: added to the variance; above 0 in training, where the variance of a channel may be 0.

    Returns:
        A tensor of the input's shape, channels-last in memory. For channels-last images it is lazy: computed at the
        first read, or fused with the ReLU and the max pooling that follow.

    Raises:
        ShapeError: input has fewer than two axes, a size does not match the channels, eps is too small, or a training
            batch has only one value per channel, which has no variance.
        DTypeError: input is not float32 or float64, or another tensor differs from it.
    """
    if eps < 0 or (training and eps == 0):
        rule = "above 0 in training" if training else "at least 0"
        raise ShapeError(f"batch_norm: eps must be {rule}, got {eps}; it keeps the square root from a variance of 0")
    return normalise_channels(input, running_mean, running_var, weight, bias, training, momentum, eps)


def normalise_channels(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """`batch_norm` without the check of eps: instance norm uses this, too, and accepts eps = 0, as PyTorch does."""
    _check(x, running_mean, running_var, weight, bias, training)
    if 0 in meta(x).shape:
        return of_nothing(x, weight, bias)
    recorded = is_recorded(weight, bias)
    arguments = x, running_mean, running_var, weight, bias, training, momentum, eps
    compute = functools.partial(dispatch.of(normalisation, meta(x)), *arguments)
    if training or recorded:
        norm = compute()
    else:  # in inference the statistics and coefficients are the same at every call
        tensors = (running_mean, running_var, weight, bias)
        norm = derived_from_all(tensors, ("normalisation", eps, weight is None), compute)
    waiting = pending(x)
    if waiting is not None and not recorded:
        fused = waiting.batch_norm(norm)
        if fused is not None:
            return fused
    if x.array.ndim == 4 and x.array.transpose(0, 2, 3, 1).flags.c_contiguous and may_defer(x):
        return defer_norm(x, weight, bias, norm)
    return BatchNorm.apply(x, weight, bias, norm, False, None)


def of_nothing(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """The norm of an empty tensor. Weight and bias are part of the graph, so their gradients are zero, not None."""
    out = x.clone()
    if weight is not None:
        out = out * weight.sum()
    if bias is not None:
        out = out + bias.sum()
    return out


def normalisation(x, running_mean, running_var, weight, bias, training, momentum, eps) -> Normalisation:
    """The statistics and coefficients of one call. In training, only this function updates the running statistics."""
    with np.errstate(all="ignore"):  # NaN and infinity propagate without a warning, as in PyTorch
        if training:
            rows = rows_along(x.array, 1)
            mean, variance = _batch_statistics(rows)
            _update_running(running_mean, mean, momentum)
            _update_running(running_var, variance * (rows.shape[0] / max(rows.shape[0] - 1, 1)), momentum)
        else:
            mean, variance = running_mean.array.astype(np.float64), running_var.array.astype(np.float64)
        invstd = 1 / np.sqrt(variance + eps)
        # Rounding the mean to x's dtype would shift a whole channel. So the kernel subtracts the rounded mean, which is
        # exact for x near it, and the rounding error (mean - center) goes into the shift.
        dtype, channels = meta(x).dtype, meta(x).shape[1]
        center = mean.astype(dtype)
        scale = invstd if weight is None else invstd * weight.array
        shift = (center - mean) * scale
        if bias is not None:
            shift += bias.array
        return Normalisation(mean, invstd, eps, training, coefficient_lines(channels, dtype, center, scale, shift))


def _batch_statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, channels = rows.shape
    mean, variance = np.empty(channels), np.empty(channels)
    wide = kernels.wide_columns(channels, rows.itemsize)
    per_chunk = rows_per_chunk(wide, channels)
    workspace = sums_workspace(count, per_chunk, wide)
    kernels.batch_norm_chunk_statistics(rows, workspace, per_chunk)
    kernels.batch_norm_statistics(workspace, count, per_chunk, mean, variance)
    return mean, variance


def _update_running(running: Tensor | None, batch: np.ndarray, momentum: float) -> None:
    """running = (1 - momentum) * running + momentum * batch, in place."""
    if running is not None:
        running.before_write()[...] = (1 - momentum) * running.array + momentum * batch
        running.mark_changed()


def _check(x, running_mean, running_var, weight, bias, training: bool) -> None:
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    check_float_tensors("batch_norm", input=x, **given)
    shape = meta(x).shape
    if len(shape) < 2 and shape != (0,):
        raise ShapeError(
            "batch_norm: input must have a batch axis and a channel axis, (N, C), (N, C, L) or (N, C, H, W), "
            f"got shape {shape}"
        )
    if training and shape[0] * math.prod(shape[2:]) == 1:
        raise ShapeError(
            "batch_norm: Expected more than 1 value per channel when training, got input size "
            f"{shape}; use a larger batch, drop the last small one (drop_last=True), or eval()"
        )
    if 0 in shape:
        return
    channels = shape[1]
    for name, tensor in given.items():
        if tensor is not None and tensor.array.shape != (channels,):
            table = array_table([("input", x.array, "N, C, ..."), (name, tensor.array, "C")])
            raise ShapeError(
                f"batch_norm: {name} must have one element for each of input's {channels} channels (axis 1), shape "
                f"({channels},)\n{table}"
            )
    if not training and (running_mean is None or running_var is None):
        raise ShapeError(
            "batch_norm: evaluation needs running_mean and running_var; give both, or training=True to normalise with "
            "the statistics of the batch"
        )

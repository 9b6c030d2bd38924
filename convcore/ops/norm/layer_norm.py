"""Layer norm, RMS norm and group norm: every row is normalised by itself, independently of the batch.

    out = (x - mean) / sqrt(variance + eps) * weight + bias

with mean and (biased) variance over the last axes (layer norm: Ba et al. 2016), over a group of channels of one image
(group norm: Wu & He 2018), or with 0 for the mean (RMS norm: Zhang & Sennrich 2019). With
xhat = (x - mean) * invstd, invstd = 1 / sqrt(variance + eps) and h = grad_out * weight, means over a row:

    grad_x      = invstd * (h - mean(h) - xhat * mean(h * xhat))        RMS norm: without mean(h)
    grad_weight = sum over the rows of grad_out * xhat,    grad_bias = sum over the rows of grad_out

because the derivatives of mean and variance by one of m elements are 1/m and 2 (x - mean) / m.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from convcore import memory
from convcore.autograd import Function, is_grad_enabled, wrap
from convcore.errors import ShapeError, array_table
from convcore.ops.core.arguments import check_float_tensors, integer
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.layout import contiguous, zeros
from convcore.ops.norm.batch_norm import of_nothing
from kernels.cpu.norm import layer_norm as kernels
from kernels.cpu.reduce import sum_chunks

if TYPE_CHECKING:
    from convcore.tensor import Tensor

ELEMENTS_PER_CHUNK = 16384
MOST_CHUNKS = 64  # each chunk has its own partial sums of the gradients of weight and bias


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over the last axes.

    Args:
        input: (..., *normalized_shape), float32 or float64.
        normalized_shape: the sizes of the axes over which mean and variance are computed.
        weight, bias: of shape normalized_shape, or None for 1 and 0.
        eps: added to the variance.

    Raises:
        ShapeError: input does not end with these sizes, or weight or bias has another shape.
        DTypeError: the tensors are not all float32 or all float64.
    """
    return _over_last_axes("layer_norm", input, normalized_shape, weight, bias, eps, True)


def rms_norm(
    input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divide by the root of the mean square over the last axes: x / sqrt(mean(x^2) + eps) * weight.

    Args:
        input, normalized_shape, weight: as in `layer_norm`.
        eps: added to the mean square; None is the machine epsilon of input's dtype.

    Raises:
        ShapeError, DTypeError: as `layer_norm`.
    """
    check_float_tensors("rms_norm", input=input, weight=weight)
    eps = float(np.finfo(input.array.dtype).eps) if eps is None else eps
    return _over_last_axes("rms_norm", input, normalized_shape, weight, None, eps, False)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise each image over groups of neighbouring channels and all positions.

    Args:
        input: (N, C, ...), float32 or float64.
        num_groups: the number of groups.
        weight, bias: (C,), or None for 1 and 0.
        eps: added to the variance.

    Raises:
        ShapeError: num_groups does not divide the channels, a group has only one value, or a shape does not match.
        DTypeError: the tensors are not all float32 or all float64.
    """
    check_float_tensors("group_norm", input=input, weight=weight, bias=bias)
    groups, shape = integer("group_norm", "num_groups", num_groups, 1), input.array.shape
    if len(shape) < 2 or shape[1] % groups:
        table = array_table([("input", input.array, "N, C, ...")])
        raise ShapeError(f"group_norm: the channels (axis 1) must be divisible by num_groups = {groups}\n{table}")
    if shape[0] * shape[1] // groups * math.prod(shape[2:]) == 1:
        raise ShapeError(f"group_norm: Expected more than 1 value per channel when training, got input size {shape}")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.array.shape != (shape[1],):
            table = array_table([("input", input.array, "N, C, ..."), (name, tensor.array, "C")])
            raise ShapeError(f"group_norm: {name} must have one element for each of the {shape[1]} channels\n{table}")
    if input.array.size == 0:
        out = input
    else:
        rows = input.reshape(shape[0] * groups, -1)
        out = LayerNorm.apply(rows, None, None, float(eps), True).reshape(shape)
    per_channel = (-1, *[1] * (len(shape) - 2))
    if weight is not None:
        out = out * weight.reshape(per_channel)
    if bias is not None:
        out = out + bias.reshape(per_channel)
    return out


def _over_last_axes(op, input, normalized_shape, weight, bias, eps, centered) -> Tensor:
    check_float_tensors(op, input=input, weight=weight, bias=bias)
    given = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    sizes = tuple([integer(op, "normalized_shape", size, 0) for size in given])
    if not sizes or input.array.shape[max(input.array.ndim - len(sizes), 0) :] != sizes:
        table = array_table([("input", input.array, "")])
        raise ShapeError(f"{op}: input must end with the axes normalized_shape = {sizes}, at least one axis\n{table}")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.array.shape != sizes:
            table = array_table([("input", input.array, ""), (name, tensor.array, "")])
            raise ShapeError(f"{op}: {name} must have the shape normalized_shape = {sizes}\n{table}")
    length = math.prod(sizes)
    if length == 0:
        return of_nothing(input, weight, bias)
    rows = input if input.array.ndim == 2 and len(sizes) == 1 else input.reshape(input.array.size // length, length)
    weight, bias = (tensor if tensor is None or len(sizes) == 1 else tensor.reshape(-1) for tensor in (weight, bias))
    out = LayerNorm.apply(rows, weight, bias, float(eps), centered)
    return out if rows is input else out.reshape(input.array.shape)


class LayerNorm(Function):
    """Normalises the rows of a matrix. Saves x, the weight, and the mean and 1 / sqrt(variance + eps) of each row."""

    @staticmethod
    def forward(ctx, x, weight, bias, eps, centered):
        ctx.save_for_backward(x, weight)
        ctx.settings = eps, centered
        rows = contiguous(x.array)
        out = memory.empty(rows.shape, rows.dtype)
        ctx.mean, ctx.invstd = memory.empty(len(rows), np.float64), memory.empty(len(rows), np.float64)
        weights, biases = _affine(weight, bias, rows)
        per_chunk = max(ELEMENTS_PER_CHUNK // rows.shape[1], 1)
        kernels.layer_norm_forward(rows, weights, biases, eps, centered, out, ctx.mean, ctx.invstd, per_chunk)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        if is_grad_enabled():
            return (*_differentiable_gradients(ctx, x, weight, grad_out), None, None)
        rows = contiguous(x.array)
        grad_x = memory.empty(rows.shape, rows.dtype)
        weights, _ = _affine(weight, None, rows, needs_weight or needs_bias)
        count, length = rows.shape
        per_chunk = max(ELEMENTS_PER_CHUNK // length, ceil_div(count, MOST_CHUNKS), 1)
        sums, workspace = np.empty((2, weights.size)), np.empty((2, ceil_div(count, per_chunk), weights.size))
        kernels.layer_norm_grads(
            rows, contiguous(grad_out.array), weights, ctx.mean, ctx.invstd, ctx.settings[1], grad_x, workspace,
            per_chunk,
        )  # fmt: skip
        if weights.size:
            sum_chunks(workspace, sums)
        grad_weight, grad_bias = (
            wrap(s.astype(rows.dtype)) if n else None for s, n in zip(sums, (needs_weight, needs_bias), strict=True)
        )
        return wrap(grad_x) if needs_x else None, grad_weight, grad_bias, None, None


def _affine(weight: Tensor | None, bias: Tensor | None, rows: np.ndarray, wanted: bool = False) -> tuple:
    """Weight and bias as arrays; both empty if there is neither and their gradients are not needed."""
    length = 0 if weight is None and bias is None and not wanted else rows.shape[1]
    weights = _ones(length, rows.dtype) if weight is None else contiguous(weight.array)
    return weights, zeros(length, rows.dtype) if bias is None else contiguous(bias.array)


@functools.lru_cache(maxsize=256)
def _ones(length: int, dtype: np.dtype) -> np.ndarray:
    """The weight 1, shared by all calls, as `zeros`."""
    return np.ones(length, dtype)


def _differentiable_gradients(ctx, x: Tensor, weight: Tensor | None, grad_out: Tensor) -> tuple:
    """The gradients in differentiable operations, for create_graph."""
    eps, centered = ctx.settings
    deviation = x - x.mean(1, keepdim=True) if centered else x
    invstd = ((deviation * deviation).mean(1, keepdim=True) + eps).rsqrt()
    xhat = deviation * invstd
    h = grad_out if weight is None else grad_out * weight
    grad_xhat = h - xhat * (h * xhat).mean(1, keepdim=True)
    if centered:
        grad_xhat = grad_xhat - h.mean(1, keepdim=True)
    return invstd * grad_xhat, (grad_out * xhat).sum(0), grad_out.sum(0)

"""Convolution of series, images and volumes; the formulas are those of images.

    out[n, k, oh, ow] = bias[k] + sum over c, r, s of
        x[n, c, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s * dil_w - pad_left] * weight[k, c, r, s]

with x = 0 outside the image: the cross-correlation that deep learning calls convolution. Source: I. Goodfellow,
Y. Bengio and A. Courville, "Deep Learning" (2016), equations 9.6 and 9.8.

The gradients. out is linear in x and in weight, so for a gradient G of a scalar L with respect to out:

    dL/dx[n, c, h, w]      = sum of G[n, k, oh, ow] * weight[k, c, r, s] over all (k, r, s, oh, ow) that read (h, w)
    dL/dweight[k, c, r, s] = sum of G[n, k, oh, ow] * x[n, c, h, w]      over all (n, oh, ow), at the (h, w) read there
    dL/dbias[k]            = sum of G[n, k, oh, ow] over n, oh, ow

A series (N, C, L) is an image of height 1. A volume (N, C, D, H, W) has another coordinate, d, in all sums.

The three maps are the same sum of products x * weight * G with a different factor left out. Hence each one's own
gradients are the other two, which is how the three Functions below differentiate each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, is_recorded, wrap
from convcore.errors import ShapeError, array_table
from convcore.ops.conv.algorithm import Request, requested
from convcore.ops.conv.far import gather, near, put_back
from convcore.ops.conv.fused import defer_conv
from convcore.ops.conv.geometry import ConvGeometry, Padding, conv_geometry
from convcore.ops.conv.table import choose
from convcore.ops.core.arguments import AXIS_NAMES, check_float_tensors, meta
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.filters import filters_of
from convcore.ops.core.layout import nhwc
from kernels.cpu.reduce import column_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcore.tensor import Tensor

ROWS_PER_SUM = 1024  # rows of grad_out in one partial sum of a bias gradient


class Conv(Function):
    """out = x * weight + bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry, request: Request):
        close = near(geometry)
        algorithm = choose(close, "forward", request, x.array.dtype)
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        ctx.geometry, ctx.request = geometry, request
        filters = filters_of(weight, bias, trained=wants_weight or wants_bias)
        return wrap(algorithm.forward(gather(x.array, geometry), filters, close))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        grad_x = ConvGradInput.apply(grad_out, weight, ctx.geometry, ctx.request) if wants_x else None
        grad_weight = ConvGradWeight.apply(x, grad_out, ctx.geometry, ctx.request) if wants_weight else None
        grad_bias = ChannelSum.apply(grad_out) if wants_bias else None
        return grad_x, grad_weight, grad_bias, None, None


class ConvGradInput(Function):
    """grad_x from grad_out and weight."""

    @staticmethod
    def forward(ctx: Any, grad_out: Tensor, weight: Tensor, geometry: ConvGeometry, request: Request):
        close = near(geometry)
        algorithm = choose(close, "grad_input", request, grad_out.array.dtype)
        ctx.save_for_backward(grad_out, weight)
        ctx.geometry, ctx.request = geometry, request
        return wrap(put_back(algorithm.grad_input(grad_out.array, weight.array, close), geometry))

    @staticmethod
    def backward(ctx: Any, grad_grad_x: Tensor):
        grad_out, weight = ctx.saved_tensors
        wants_out, wants_weight, *_ = ctx.needs_input_grad
        to_out = Conv.apply(grad_grad_x, weight, None, ctx.geometry, ctx.request) if wants_out else None
        to_weight = ConvGradWeight.apply(grad_grad_x, grad_out, ctx.geometry, ctx.request) if wants_weight else None
        return to_out, to_weight, None, None


class ConvGradWeight(Function):
    """grad_weight from x and grad_out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grad_out: Tensor, geometry: ConvGeometry, request: Request):
        close = near(geometry)
        algorithm = choose(close, "grad_weight", request, x.array.dtype)
        ctx.save_for_backward(x, grad_out)
        ctx.geometry, ctx.request = geometry, request
        return wrap(algorithm.grad_weight(gather(x.array, geometry), grad_out.array, close))

    @staticmethod
    def backward(ctx: Any, grad_grad_weight: Tensor):
        x, grad_out = ctx.saved_tensors
        wants_x, wants_out, *_ = ctx.needs_input_grad
        to_x = ConvGradInput.apply(grad_out, grad_grad_weight, ctx.geometry, ctx.request) if wants_x else None
        to_out = Conv.apply(x, grad_grad_weight, None, ctx.geometry, ctx.request) if wants_out else None
        return to_x, to_out, None, None


class ChannelSum(Function):
    """grad_bias from grad_out: the sum over all pixels of each channel."""

    @staticmethod
    def forward(ctx: Any, grad_out: Tensor):
        ctx.shape = grad_out.array.shape
        channels = ctx.shape[1]
        rows = nhwc(grad_out.array).reshape(-1, channels)
        partials = np.empty((ceil_div(len(rows), ROWS_PER_SUM), channels))
        column_sums(rows, partials, ROWS_PER_SUM)
        return wrap(partials.sum(axis=0).astype(rows.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor):
        return grad.reshape(1, -1, *[1] * (len(ctx.shape) - 2)).expand(ctx.shape)


def convolve(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: Padding,
    dilation: int | Sequence[int],
    groups: int,
    algorithm: str = "auto",
) -> Tensor:
    """conv1d, conv2d or conv3d by its rank; layers call this one."""
    op = _OPS[rank]
    check_float_tensors(op, input=input, weight=weight, bias=bias)
    if meta(input).ndim == rank + 1:
        batch = input.reshape(1, *input.shape)
        return convolve(rank, batch, weight, bias, stride, padding, dilation, groups, algorithm)[0]
    geometry = conv_geometry(op, meta(input), meta(weight), stride, padding, dilation, groups)
    check_bias(op, bias, geometry.c_out, weight, "C_out, C_in/groups")
    request = requested(algorithm)
    if rank == 1:
        return Conv.apply(input.unsqueeze(2), weight.unsqueeze(2), bias, geometry, request).squeeze(2)
    if rank == 2 and not is_recorded(input, weight, bias) and near(geometry) is geometry:
        chosen = choose(geometry, "forward", request, meta(weight).dtype)
        deferred = defer_conv(input, weight, bias, geometry, chosen)
        if deferred is not None:
            return deferred
    return Conv.apply(input, weight, bias, geometry, request)


_OPS = {1: "conv1d", 2: "conv2d", 3: "conv3d"}


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Tensor:
    """Convolve a batch of images with a bank of filters.

    Args:
        input: (N, C_in, H, W), or one image (C_in, H, W); float32 or float64.
        weight: (C_out, C_in / groups, K_h, K_w), of the input's dtype.
        bias: (C_out,), or None for none.
        stride: the filter's step, one integer or (height, width).
        padding: zeros around the image: an integer, (height, width), 'valid' for none, or 'same' for an output of the
            input's size (stride 1 only).
        dilation: the distance between a filter's taps.
        groups: filters and channels are split into this many independent groups.
        algorithm: "auto", or the name of one that `explain_conv2d` lists; it is used for the gradients too.
            "auto" takes the fastest known for these sizes.

    Returns:
        (N, C_out, H_out, W_out), or (C_out, H_out, W_out) for a single image, in channels-last memory. Where no
        gradient is recorded the values may be computed when they are first read, together with the batch norm, sum and
        activation that follow.

    Raises:
        ShapeError: shapes or settings do not fit; the message says which rule and shows the shapes.
        DTypeError: dtypes differ or are not float32 or float64.
        UnsupportedError: there is no such algorithm, or it refuses, with its reason.
    """
    return convolve(2, input, weight, bias, stride, padding, dilation, groups, algorithm)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Tensor:
    """Convolve series: as `conv2d` with input (N, C_in, L) or (C_in, L), weight (C_out, C_in / groups, K).

    Returns (N, C_out, L_out) or (C_out, L_out), channels-last in memory.
    """
    return convolve(1, input, weight, bias, stride, padding, dilation, groups, algorithm)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Tensor:
    """Convolve volumes: as `conv2d` with input (N, C_in, D, H, W) or (C_in, D, H, W).

    The weight is (C_out, C_in / groups, K_d, K_h, K_w), settings are one integer or (depth, height, width), and the
    algorithms are "direct" and "reference". Returns (N, C_out, D_out, H_out, W_out), channels-last in memory.
    """
    return convolve(3, input, weight, bias, stride, padding, dilation, groups, algorithm)


def check_bias(op: str, bias: Tensor | None, c_out: int, weight: Tensor, channels: str) -> None:
    """Refuse a bias that does not hold one value for each of the output's channels."""
    if bias is not None and tuple(bias.shape) != (c_out,):
        taps = ", ".join([f"K_{name[0]}" for name in AXIS_NAMES[len(weight.shape) - 2]])
        table = array_table([("weight", weight, f"{channels}, {taps}"), ("bias", bias, "C_out")])
        raise ShapeError(f"{op}: bias must hold one value for each of the {c_out} output channels\n{table}")

"""Convolution on a GPU: the three passes, and the gradient of the bias."""

from __future__ import annotations

from typing import Any

from convcore.autograd import wrap
from convcore.engine.cuda.array import empty
from convcore.engine.dispatch import twin_of
from convcore.errors import UnsupportedError
from convcore.ops.conv.algorithm import Request
from convcore.ops.conv.functions import ChannelSum, Conv, ConvGradInput, ConvGradWeight
from convcore.ops.conv.geometry import ConvGeometry, once_per_geometry
from convcore.ops.cuda.arrays import channels_last, empty_channels_last, floats, images_only
from kernels.cuda import calls
from kernels.cuda.calls import ConvSizes


@once_per_geometry
def conv_sizes(geometry: ConvGeometry) -> ConvSizes:
    """The sizes of a geometry that kernels take."""
    images_only("conv3d", geometry.depth)
    h, w = geometry.height, geometry.width
    return ConvSizes(
        geometry.n, h.size_in, w.size_in, geometry.c_in, h.size_out, w.size_out, geometry.c_out, h.kernel, w.kernel,
        h.stride, w.stride, h.pad_before, w.pad_before, h.dilation, w.dilation, geometry.groups,
    )  # fmt: skip


def only_auto(request: Request) -> None:
    """Refuse any algorithm but "auto"."""
    if request != "auto":
        raise UnsupportedError(
            f'conv2d: the algorithm "{request}" does not exist on cuda:0, which selects its own; use "auto"'
        )


@twin_of(Conv)
class ConvOnGPU(Conv):
    """out = x * weight + bias."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry, request: Request):
        only_auto(request)
        wants_x, wants_weight, *_ = ctx.needs_input_grad
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        ctx.geometry, ctx.request = geometry, request
        out = empty_channels_last(geometry.out_shape)
        start = None if bias is None else bias.array.flat()
        filters = weight.array.flat()
        calls.conv2d_forward(channels_last(x.array), filters, start, channels_last(out), conv_sizes(geometry), floats)
        return wrap(out)


@twin_of(ConvGradInput)
class ConvGradInputOnGPU(ConvGradInput):
    """grad_x from grad_out and weight."""

    @staticmethod
    def forward(ctx: Any, grad_out: Any, weight: Any, geometry: ConvGeometry, request: Request):
        ctx.save_for_backward(grad_out, weight)
        ctx.geometry, ctx.request = geometry, request
        grad_x = empty_channels_last(geometry.x_shape)
        given = channels_last(grad_out.array), weight.array.flat()
        calls.conv2d_grad_input(*given, channels_last(grad_x), conv_sizes(geometry), floats)
        return wrap(grad_x)


@twin_of(ConvGradWeight)
class ConvGradWeightOnGPU(ConvGradWeight):
    """grad_weight from x and grad_out."""

    @staticmethod
    def forward(ctx: Any, x: Any, grad_out: Any, geometry: ConvGeometry, request: Request):
        ctx.save_for_backward(x, grad_out)
        ctx.geometry, ctx.request = geometry, request
        grad_weight = empty(geometry.weight_shape)
        given = channels_last(x.array), channels_last(grad_out.array)
        calls.conv2d_grad_weight(*given, grad_weight.flat(), conv_sizes(geometry), floats)
        return wrap(grad_weight)


@twin_of(ChannelSum)
class ChannelSumOnGPU(ChannelSum):
    """grad_bias from grad_out."""

    @staticmethod
    def forward(ctx: Any, grad_out: Any):
        array = grad_out.array
        ctx.shape = array.shape
        channels = array.shape[1]
        out = floats(channels)
        calls.sum_columns(channels_last(array), out, array.size // max(channels, 1), channels, floats)
        return wrap(out)

"""Transposed convolution: every input adds one copy of the filter, multiplied by the input, to the output.

    out[n, k, h, w] = bias[k] + sum of input[n, c, ih, iw] * weight[c, k, r, s] over all (c, r, s, ih, iw) with
        h = ih * stride_h + r * dil_h - pad_top    and    w = iw * stride_w + s * dil_w - pad_left

That is the gradient of a convolution's input (`convcore.ops.conv.functions`): the convolution that computes `input`
from `out` reads out at (h, w) through tap (r, s). So transposed convolution is that Function, and the gradients are the
other two: dL/dinput is the convolution of dL/dout, dL/dweight the convolution's gradient of the weight. Source:
V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning" (2016), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convcore.autograd import Function, wrap
from convcore.ops.conv.algorithm import requested
from convcore.ops.conv.functions import ChannelSum, ConvGradInput, check_bias
from convcore.ops.conv.geometry import conv_transpose_geometry
from convcore.ops.core.arguments import check_float_tensors

if TYPE_CHECKING:
    from convcore.tensor import Tensor

IntOrSeveral = int | Sequence[int]


class AddToChannels(Function):
    """out[n, k, ...] = x[n, k, ...] + bias[k]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor):
        return wrap(x.array + bias.array.reshape(-1, *[1] * (x.array.ndim - 2)))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        wants_x, wants_bias = ctx.needs_input_grad
        return grad_out if wants_x else None, ChannelSum.apply(grad_out) if wants_bias else None


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSeveral = 1,
    padding: IntOrSeveral = 0,
    output_padding: IntOrSeveral = 0,
    groups: int = 1,
    dilation: IntOrSeveral = 1,
    algorithm: str = "auto",
) -> Tensor:
    """Add up scaled copies of filters in larger images.

    Args:
        input: (N, C_in, H, W), or one image (C_in, H, W); float32 or float64.
        weight: (C_in, C_out / groups, K_h, K_w), of the input's dtype.
        bias: (C_out,), or None for none.
        stride: the distance between the copies of a filter, one integer or (height, width).
        padding: how much is cut off on every side of the output.
        output_padding: rows and columns added at the end of the output; smaller than the stride or the dilation.
        groups: channels are split into this many independent groups.
        dilation: the distance between a filter's taps.
        algorithm: "auto", or the name of one that `explain_conv2d` lists.

    Returns:
        (N, C_out, H_out, W_out) with H_out = (H - 1) * stride - 2 * padding + dilation * (K_h - 1) + 1 +
        output_padding, or (C_out, H_out, W_out); in channels-last memory.

    Raises:
        ShapeError: shapes or settings do not fit; the message says which rule and shows the shapes.
        DTypeError: dtypes differ or are not float32 or float64.
        UnsupportedError: there is no such algorithm, or it refuses, with its reason.
    """
    settings = stride, padding, output_padding, groups, dilation
    return _conv_transpose("conv_transpose2d", input, weight, bias, settings, algorithm)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSeveral = 1,
    padding: IntOrSeveral = 0,
    output_padding: IntOrSeveral = 0,
    groups: int = 1,
    dilation: IntOrSeveral = 1,
    algorithm: str = "auto",
) -> Tensor:
    """As `conv_transpose2d` for series: input (N, C_in, L) or (C_in, L), weight (C_in, C_out / groups, K)."""
    settings = stride, padding, output_padding, groups, dilation
    return _conv_transpose("conv_transpose1d", input, weight, bias, settings, algorithm)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSeveral = 1,
    padding: IntOrSeveral = 0,
    output_padding: IntOrSeveral = 0,
    groups: int = 1,
    dilation: IntOrSeveral = 1,
    algorithm: str = "auto",
) -> Tensor:
    """As `conv_transpose2d` for volumes: input (N, C_in, D, H, W) or (C_in, D, H, W)."""
    settings = stride, padding, output_padding, groups, dilation
    return _conv_transpose("conv_transpose3d", input, weight, bias, settings, algorithm)


def _conv_transpose(
    op: str, input: Tensor, weight: Tensor, bias: Tensor | None, settings: tuple, algorithm: str
) -> Tensor:
    check_float_tensors(op, input=input, weight=weight, bias=bias)
    series, single = op == "conv_transpose1d", len(input.shape) == int(op[-2]) + 1
    batch = input.unsqueeze(0) if single else input
    geometry = conv_transpose_geometry(op, batch, weight, *settings)
    check_bias(op, bias, geometry.c_in, weight, "C_in, C_out/groups")
    filters = weight.unsqueeze(2) if series else weight
    images = batch.unsqueeze(2) if series else batch
    out = ConvGradInput.apply(images, filters, geometry, requested(algorithm))
    if bias is not None:
        out = AddToChannels.apply(out, bias)
    out = out.squeeze(2) if series else out
    return out[0] if single else out

"""2-D convolution.

    out[n, k, oh, ow] = bias[k] + sum over c, r, s of
        x[n, c, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s * dil_w - pad_left] * weight[k, c, r, s]

with x = 0 outside the image: the cross-correlation that deep learning calls convolution. Source: I. Goodfellow,
Y. Bengio and A. Courville, "Deep Learning" (2016), equations 9.6 and 9.8.

The gradients. out is linear in x and in weight, so for a gradient G of a scalar L with respect to out:

    dL/dx[n, c, h, w]      = sum of G[n, k, oh, ow] * weight[k, c, r, s] over all (k, r, s, oh, ow) that read (h, w)
    dL/dweight[k, c, r, s] = sum of G[n, k, oh, ow] * x[n, c, h, w]      over all (n, oh, ow), at the (h, w) read there
    dL/dbias[k]            = sum of G[n, k, oh, ow] over n, oh, ow

The three maps are the same sum of products x * weight * G with a different factor left out. Hence each one's own
gradients are the other two, which is how the three Functions below differentiate each other.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, is_grad_enabled, wrap
from convcore.errors import ShapeError, array_table
from convcore.ops import algorithms
from convcore.ops.arguments import check_float_tensors
from convcore.ops.conv_passes import PASSES
from convcore.ops.derived import derived
from convcore.ops.fused_conv import defer_conv
from convcore.ops.geometry import ConvGeometry, Padding, conv2d_geometry
from convcore.ops.layout import nhwc
from kernels.cpu.partial_sums import column_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcore.tensor import Tensor

ROWS_PER_SUM = 1024  # rows of grad_out in one partial sum of a bias gradient


def _algorithm(
    pass_name: str, name: algorithms.Request, geometry: ConvGeometry, dtype: np.dtype
) -> algorithms.Algorithm:
    """`algorithms.select`, once for each geometry."""
    key = pass_name, name, dtype
    record = geometry.choices.get(key)
    if record is None:
        record = geometry.choices[key] = algorithms.select("conv2d", PASSES[pass_name], name, geometry, dtype)
    return record


class Conv2d(Function):
    """out = x * weight + bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry, algorithm: str):
        record = _algorithm("forward", algorithm, geometry, x.array.dtype)
        wants_x, wants_weight, *_ = ctx.needs_input_grad
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        ctx.geometry, ctx.algorithm = geometry, algorithm
        given = x.array, weight.array, None if bias is None else bias.array, geometry
        if record.fuses and True not in ctx.needs_input_grad:
            return wrap(record.run(*given, kept=functools.partial(derived, weight)))
        return wrap(record.run(*given))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        grad_x = Conv2dGradInput.apply(grad_out, weight, ctx.geometry, ctx.algorithm) if wants_x else None
        grad_weight = Conv2dGradWeight.apply(x, grad_out, ctx.geometry, ctx.algorithm) if wants_weight else None
        grad_bias = ChannelSum.apply(grad_out) if wants_bias else None
        return grad_x, grad_weight, grad_bias, None, None


class Conv2dGradInput(Function):
    """grad_x from grad_out and weight."""

    @staticmethod
    def forward(ctx: Any, grad_out: Tensor, weight: Tensor, geometry: ConvGeometry, algorithm: str):
        record = _algorithm("grad_input", algorithm, geometry, grad_out.array.dtype)
        ctx.save_for_backward(grad_out, weight)
        ctx.geometry, ctx.algorithm = geometry, algorithm
        return wrap(record.run(grad_out.array, weight.array, geometry))

    @staticmethod
    def backward(ctx: Any, grad_grad_x: Tensor):
        grad_out, weight = ctx.saved_tensors
        wants_out, wants_weight, *_ = ctx.needs_input_grad
        to_out = Conv2d.apply(grad_grad_x, weight, None, ctx.geometry, ctx.algorithm) if wants_out else None
        to_weight = Conv2dGradWeight.apply(grad_grad_x, grad_out, ctx.geometry, ctx.algorithm) if wants_weight else None
        return to_out, to_weight, None, None


class Conv2dGradWeight(Function):
    """grad_weight from x and grad_out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grad_out: Tensor, geometry: ConvGeometry, algorithm: str):
        record = _algorithm("grad_weight", algorithm, geometry, x.array.dtype)
        ctx.save_for_backward(x, grad_out)
        ctx.geometry, ctx.algorithm = geometry, algorithm
        return wrap(record.run(x.array, grad_out.array, geometry))

    @staticmethod
    def backward(ctx: Any, grad_grad_weight: Tensor):
        x, grad_out = ctx.saved_tensors
        wants_x, wants_out, *_ = ctx.needs_input_grad
        to_x = Conv2dGradInput.apply(grad_out, grad_grad_weight, ctx.geometry, ctx.algorithm) if wants_x else None
        to_out = Conv2d.apply(x, grad_grad_weight, None, ctx.geometry, ctx.algorithm) if wants_out else None
        return to_x, to_out, None, None


class ChannelSum(Function):
    """grad_bias from grad_out: the sum over all pixels of each channel."""

    @staticmethod
    def forward(ctx: Any, grad_out: Tensor):
        ctx.shape = grad_out.array.shape
        channels = ctx.shape[1]
        rows = nhwc(grad_out.array).reshape(-1, channels)
        partials = np.empty((-(-len(rows) // ROWS_PER_SUM), channels))
        column_sums(rows, partials, ROWS_PER_SUM)
        return wrap(partials.sum(axis=0).astype(rows.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor):
        return grad.reshape(1, -1, 1, 1).expand(ctx.shape)


def conv2d(
    x: Tensor,
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
        x: (N, C_in, H, W), or one image (C_in, H, W); float32 or float64.
        weight: (C_out, C_in / groups, K_h, K_w), of x's dtype.
        bias: (C_out,), or None for none.
        stride: the filter's step, one integer or (height, width).
        padding: zeros around the image: an integer, (height, width), 'valid' for none, or 'same' for an output of the
            input's size (stride 1 only).
        dilation: the distance between a filter's taps.
        groups: filters and channels are split into this many groups that do not see each other.
        algorithm: "auto", or the name of one that `explain_conv2d` lists; it is used for the gradients too.
            "auto" takes the fastest known for these sizes.

    Returns:
        (N, C_out, H_out, W_out), or (C_out, H_out, W_out) for a single image, in channels-last memory. Where no
        gradient is recorded it may be computed at the first look, together with the batch norm and ReLU that follow.

    Raises:
        ShapeError: shapes or settings do not fit; the message says which rule and shows the shapes.
        DTypeError: dtypes differ or are not float32 or float64.
        UnsupportedError: the algorithm asked for does not exist or refuses, with its reason.
    """
    if len(x.shape) == 3:
        batch = x.reshape(1, *x.shape)
        return conv2d(batch, weight, bias, stride, padding, dilation, groups, algorithm)[0]
    check_float_tensors("conv2d", x=x, weight=weight, bias=bias)
    geometry = conv2d_geometry(x, weight, stride, padding, dilation, groups)
    if bias is not None and tuple(bias.shape) != (geometry.c_out,):
        table = array_table([("weight", weight, "C_out, C_in/groups, K_h, K_w"), ("bias", bias, "C_out")])
        raise ShapeError(f"conv2d: bias must hold one value for each of the {geometry.c_out} filters\n{table}")
    name = algorithms.requested(algorithm)
    if not (is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias))):
        record = _algorithm("forward", name, geometry, weight.array.dtype)
        deferred = defer_conv(x, weight, bias, geometry, record)
        if deferred is not None:
            return deferred
    return Conv2d.apply(x, weight, bias, geometry, name)


class Explanation(dict):
    """{pass: [(algorithm, verdict), ...]}; prints as a table."""

    def __init__(self, geometry: ConvGeometry, passes: dict[str, list[tuple[str, str]]]):
        super().__init__(passes)
        self.geometry = geometry

    def chosen(self, pass_name: str) -> str:
        """The algorithm that a pass ("forward", "grad_input", "grad_weight") uses."""
        return next(name for name, verdict in self[pass_name] if verdict.startswith("chosen"))

    def __repr__(self) -> str:
        geometry = self.geometry
        lines = [
            f"conv2d {geometry.x_shape} * {geometry.weight_shape} -> {geometry.out_shape}, "
            f"{geometry.multiply_adds:,} multiply-adds"
        ]
        for pass_name, verdicts in self.items():
            lines.append(f"{pass_name}:")
            lines += [f"  {name:<11} {verdict}" for name, verdict in verdicts]
        return "\n".join(lines)


def explain_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Explanation:
    """For each pass, every algorithm with "chosen" or the reason why it is not; arguments as for `conv2d`.

    "refused: .." means that the algorithm cannot compute this; "slower: .." and "less accurate: .." that it can, and
    does if it is asked for by name, but "auto" passes over it.
    """
    if len(x.shape) == 3:
        x = x.reshape(1, *x.shape)
    check_float_tensors("explain_conv2d", x=x, weight=weight, bias=bias)
    geometry = conv2d_geometry(x, weight, stride, padding, dilation, groups)
    name, dtype = algorithms.requested(algorithm), x.array.dtype
    for records in PASSES.values():
        algorithms.select("explain_conv2d", records, name, geometry, dtype)
    verdicts = {p: algorithms.explain(records, name, geometry, dtype) for p, records in PASSES.items()}
    return Explanation(geometry, verdicts)

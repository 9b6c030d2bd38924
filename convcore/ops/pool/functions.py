"""Pooling: each output pixel is the maximum or the average of a window of its channel.

    max_pool2d  out[n, c, oh, ow] = max  over (h, w) in window (oh, ow) of x[n, c, h, w]
    avg_pool2d  out[n, c, oh, ow] = sum  over (h, w) in window (oh, ow) of x[n, c, h, w]  /  d[oh, ow]

Series have windows in one coordinate, volumes in three. Which (h, w) a window holds, and the divisor d, is said in
`pool_geometry`; the adaptive forms differ in nothing else.
Source: I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning" (2016), section 9.3.

Gradients. The maximum moves with the one input that it equals and with no other: d out[o] / d x[i] is 1 where i is the
maximum's place in window o, else 0, so grad_x[i] collects grad_out of the windows whose maximum stood at i. To know
these, forward keeps the place of each maximum as its number within the window: one byte, and not a copy of x. As a map
from grad_out to grad_x this is linear: its own gradient is its transpose, the values at the places of the maxima.

The average is linear, out = A x, so grad_x = A^T grad_out: each grad_out[o] / d[o] is spread over its window. And since
A^T is linear too, the gradient of that gradient is A again, the forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convcore.autograd import Function, wrap
from convcore.ops.core.arguments import check_float_tensors, meta
from convcore.ops.core.layout import nchw, nhwc
from convcore.ops.pool.geometry import (
    IntOrSeveral,
    PoolGeometry,
    adaptive_pool_geometry,
    avg_pool_geometry,
    max_pool_geometry,
)
from convcore.ops.pool.passes import (
    avg_forward,
    avg_grad_input,
    max_forward,
    max_gather,
    max_grad_input,
    max_indices,
)

if TYPE_CHECKING:
    from convcore.tensor import Tensor

Sizes = int | None | Sequence[int | None]


class MaxPool2d(Function):
    """The maximum of each window and, on request, its index h * W + w in the image; volumes alike."""

    @staticmethod
    def forward(ctx, x: Tensor, geometry: PoolGeometry, return_indices: bool):
        keep = return_indices or ctx.needs_input_grad[0]
        out, positions = max_forward(nhwc(x.array), geometry, keep)
        if keep:
            ctx.geometry = geometry
            ctx.save_for_backward(*[wrap(p) for p in positions])
        if not return_indices:
            return wrap(nchw(out))
        indices = wrap(nchw(max_indices(positions, geometry)))
        ctx.mark_non_differentiable(indices)
        ctx.set_materialize_grads(False)  # no zeros for the indices, which never have a gradient
        return wrap(nchw(out)), indices

    @staticmethod
    def backward(ctx, grad_out: Tensor, grad_indices: None = None):
        return MaxPool2dGradInput.apply(grad_out, ctx.geometry, *ctx.saved_tensors), None, None


class MaxPool2dGradInput(Function):
    """grad_x: each gradient where its maximum stood."""

    @staticmethod
    def forward(ctx, grad_out: Tensor, geometry: PoolGeometry, *positions: Tensor):
        ctx.geometry = geometry
        ctx.save_for_backward(*positions)
        return wrap(nchw(max_grad_input(nhwc(grad_out.array), tuple([p.array for p in positions]), geometry)))

    @staticmethod
    def backward(ctx, grad_grad_x: Tensor):
        positions = ctx.saved_tensors
        return MaxPool2dGather.apply(grad_grad_x, ctx.geometry, *positions), None, *[None] * len(positions)


class MaxPool2dGather(Function):
    """The values where the maxima stood."""

    @staticmethod
    def forward(ctx, x: Tensor, geometry: PoolGeometry, *positions: Tensor):
        ctx.geometry = geometry
        ctx.save_for_backward(*positions)
        return wrap(nchw(max_gather(nhwc(x.array), tuple([p.array for p in positions]), geometry)))

    @staticmethod
    def backward(ctx, grad_out: Tensor):
        positions = ctx.saved_tensors
        return MaxPool2dGradInput.apply(grad_out, ctx.geometry, *positions), None, *[None] * len(positions)


class AvgPool2d(Function):
    """out = A x: the average of each window, of images or volumes."""

    @staticmethod
    def forward(ctx, x: Tensor, geometry: PoolGeometry):
        ctx.geometry = geometry
        return wrap(nchw(avg_forward(nhwc(x.array), geometry)))

    @staticmethod
    def backward(ctx, grad_out: Tensor):
        return AvgPool2dGradInput.apply(grad_out, ctx.geometry), None


class AvgPool2dGradInput(Function):
    """grad_x = A^T grad_out: each window's gradient, spread over the window."""

    @staticmethod
    def forward(ctx, grad_out: Tensor, geometry: PoolGeometry):
        ctx.geometry = geometry
        return wrap(nchw(avg_grad_input(nhwc(grad_out.array), geometry)))

    @staticmethod
    def backward(ctx, grad_grad_x: Tensor):
        return AvgPool2d.apply(grad_grad_x, ctx.geometry), None


def _pooled(op: str, input: Tensor, pool: type[Function], *settings: Any) -> Any:
    """`pool` of a batch of images or volumes, made of the input and turned back to its form."""
    series, single = op[-2] == "1", len(input.shape) == int(op[-2]) + 1
    if not (series or single):
        return pool.apply(input, *settings)
    batch = input.unsqueeze(0) if single else input
    out = pool.apply(batch.unsqueeze(2) if series else batch, *settings)
    results = out if isinstance(out, tuple) else (out,)
    results = [r.squeeze(2) if series else r for r in results]
    results = [r.squeeze(0) if single else r for r in results]
    return tuple(results) if isinstance(out, tuple) else results[0]


def max_pool2d(
    input: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    dilation: IntOrSeveral = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window. NaN counts as larger than any number; padding is never the maximum.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64. N may be 0.
        kernel_size: height and width of the window; this and the following sizes are one integer or two.
        stride: how far the window moves; by default its own size, so that windows do not overlap.
        padding: -inf on every side, at most half of kernel_size.
        dilation: distance between the window's taps.
        ceil_mode: round the output's size up, so that the last window may reach beyond the padding.
        return_indices: return also where each maximum stood, as int64 h * W + w. It has no gradient. (A window that
            lies wholly in the padding, possible with dilation, is -inf, and its index means nothing.)

    Returns:
        (N, C, H_out, W_out), or (C, H_out, W_out), channels-last in memory; with return_indices a pair of these.

    Raises:
        ShapeError: wrong rank, an empty image, a size out of range, or a window larger than the padded image.
        DTypeError: the input is no tensor of floats, or a size is no integer.
    """
    check_float_tensors("max_pool2d", input=input)
    geometry = max_pool_geometry("max_pool2d", meta(input), kernel_size, stride, padding, dilation, ceil_mode)
    fused = None if return_indices else _fused_max_pool2d(input, geometry)
    if fused is not None:
        return fused
    return _pooled("max_pool2d", input, MaxPool2d, geometry, return_indices)


def max_pool1d(
    input: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    dilation: IntOrSeveral = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d`, of (N, C, L) or (C, L); sizes are one integer, indices their place in the series."""
    check_float_tensors("max_pool1d", input=input)
    geometry = max_pool_geometry("max_pool1d", meta(input), kernel_size, stride, padding, dilation, ceil_mode)
    return _pooled("max_pool1d", input, MaxPool2d, geometry, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    dilation: IntOrSeveral = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d`, of (N, C, D, H, W) or (C, D, H, W), with indices (d * H + h) * W + w.

    Sizes are one integer or (depth, height, width).
    """
    check_float_tensors("max_pool3d", input=input)
    geometry = max_pool_geometry("max_pool3d", meta(input), kernel_size, stride, padding, dilation, ceil_mode)
    return _pooled("max_pool3d", input, MaxPool2d, geometry, return_indices)


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of each window.

    Args:
        input, kernel_size, stride, ceil_mode: as in `max_pool2d`.
        padding: zeros on every side, at most half of kernel_size.
        count_include_pad: divide by the window's size with its padding; otherwise only by what lies inside the image.
            What lies beyond the padding (see ceil_mode) never counts.
        divisor_override: divide by this number instead.

    Returns, raises: as `max_pool2d`.
    """
    check_float_tensors("avg_pool2d", input=input)
    geometry = avg_pool_geometry(
        "avg_pool2d", input.array, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return _pooled("avg_pool2d", input, AvgPool2d, geometry)


def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """As `avg_pool2d`, of (N, C, L) or (C, L); sizes are one integer."""
    check_float_tensors("avg_pool1d", input=input)
    geometry = avg_pool_geometry(
        "avg_pool1d", input.array, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    )
    return _pooled("avg_pool1d", input, AvgPool2d, geometry)


def avg_pool3d(
    input: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """As `avg_pool2d`, of (N, C, D, H, W) or (C, D, H, W); sizes are one integer or (depth, height, width)."""
    check_float_tensors("avg_pool3d", input=input)
    geometry = avg_pool_geometry(
        "avg_pool3d", input.array, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return _pooled("avg_pool3d", input, AvgPool2d, geometry)


def adaptive_avg_pool2d(input: Tensor, output_size: Sizes) -> Tensor:
    """The averages of windows that cover the image evenly, as many as are asked for; 1 averages whole channels.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        output_size: (H_out, W_out), or one integer for both; None keeps the image's size. It may exceed the image's.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), channels-last in memory.

    Raises:
        ShapeError: wrong rank, an empty image, or a negative size.
        DTypeError: the input is no tensor of floats, or a size is no integer.
    """
    check_float_tensors("adaptive_avg_pool2d", input=input)
    geometry = adaptive_pool_geometry("adaptive_avg_pool2d", input.array, output_size)
    return _pooled("adaptive_avg_pool2d", input, AvgPool2d, geometry)


def adaptive_avg_pool1d(input: Tensor, output_size: Sizes) -> Tensor:
    """As `adaptive_avg_pool2d`, of (N, C, L) or (C, L)."""
    check_float_tensors("adaptive_avg_pool1d", input=input)
    geometry = adaptive_pool_geometry("adaptive_avg_pool1d", input.array, output_size)
    return _pooled("adaptive_avg_pool1d", input, AvgPool2d, geometry)


def adaptive_avg_pool3d(input: Tensor, output_size: Sizes) -> Tensor:
    """As `adaptive_avg_pool2d`, of (N, C, D, H, W) or (C, D, H, W)."""
    check_float_tensors("adaptive_avg_pool3d", input=input)
    geometry = adaptive_pool_geometry("adaptive_avg_pool3d", input.array, output_size)
    return _pooled("adaptive_avg_pool3d", input, AvgPool2d, geometry)


def adaptive_max_pool2d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """The largest values of windows that cover the image evenly; see `adaptive_avg_pool2d` and `max_pool2d`."""
    check_float_tensors("adaptive_max_pool2d", input=input)
    geometry = adaptive_pool_geometry("adaptive_max_pool2d", meta(input), output_size)
    fused = None if return_indices else _fused_max_pool2d(input, geometry)
    if fused is not None:
        return fused
    return _pooled("adaptive_max_pool2d", input, MaxPool2d, geometry, return_indices)


def adaptive_max_pool1d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, of (N, C, L) or (C, L)."""
    check_float_tensors("adaptive_max_pool1d", input=input)
    geometry = adaptive_pool_geometry("adaptive_max_pool1d", meta(input), output_size)
    return _pooled("adaptive_max_pool1d", input, MaxPool2d, geometry, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, of (N, C, D, H, W) or (C, D, H, W)."""
    check_float_tensors("adaptive_max_pool3d", input=input)
    geometry = adaptive_pool_geometry("adaptive_max_pool3d", meta(input), output_size)
    return _pooled("adaptive_max_pool3d", input, MaxPool2d, geometry, return_indices)


def _fused_max_pool2d(input: Tensor, geometry: PoolGeometry) -> Tensor | None:
    """The maxima together with what the input still has to be computed by, where that can be one pass."""
    return None if input.deferred is None else input.deferred.max_pool2d(geometry)

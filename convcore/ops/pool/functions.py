"""Pooling: each output pixel is the maximum or the average of a window of its channel.

    max_pool2d  out[n, c, oh, ow] = max  over (h, w) in window (oh, ow) of x[n, c, h, w]
    avg_pool2d  out[n, c, oh, ow] = sum  over (h, w) in window (oh, ow) of x[n, c, h, w]  /  d[oh, ow]

Series have windows in one coordinate, volumes in three. `convcore.ops.pool.geometry` defines the positions (h, w) of a
window and the divisor d; adaptive pooling differs only in these.
Source: I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning" (2016), section 9.3.

Gradients. The maximum depends on one input only: d out[o] / d x[i] is 1 if i is the position of the maximum of window
o, else 0. So grad_x[i] is the sum of grad_out over the windows with their maximum at i. Forward saves the position of
each maximum as its number within the window: one byte, instead of a copy of x. The map from grad_out to grad_x is
linear, and its gradient is the transpose, which gathers the values at the positions of the maxima.

The average is linear, out = A x, so grad_x = A^T grad_out: each grad_out[o] / d[o] is added to all positions of window
o. A^T is linear, too, so its gradient is A again, the forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convcore.autograd import Function, wrap
from convcore.ops.core.arguments import check_float_tensors, meta
from convcore.ops.core.fusion import pending
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
    """The maximum of each window of images or volumes and, on request, its index h * W + w in the image."""

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
    """grad_x: the gradients, added at the positions of the maxima."""

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
    """The values at the positions of the maxima."""

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
    """grad_x = A^T grad_out: the gradient of each window, divided over its positions."""

    @staticmethod
    def forward(ctx, grad_out: Tensor, geometry: PoolGeometry):
        ctx.geometry = geometry
        return wrap(nchw(avg_grad_input(nhwc(grad_out.array), geometry)))

    @staticmethod
    def backward(ctx, grad_grad_x: Tensor):
        return AvgPool2d.apply(grad_grad_x, ctx.geometry), None


def _pooled(op: str, input: Tensor, pool: type[Function], *settings: Any) -> Any:
    """Apply `pool` to the input viewed as a batch of images or volumes; the result has the input's number of axes."""
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
    """The largest value of each window. NaN is larger than any number; padding is never the maximum.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64. N may be 0.
        kernel_size: height and width of the window; this and the following sizes are one integer or two.
        stride: the distance between windows; by default kernel_size, so that windows do not overlap.
        padding: the width of the border of -inf on every side, at most half of kernel_size.
        dilation: the distance between the taps of a window.
        ceil_mode: round the output size up, so that the last window may extend beyond the padding.
        return_indices: also return the index h * W + w of each maximum, int64, without a gradient. (With dilation, a
            window may be entirely in the padding; its maximum is -inf and its index undefined.)

    Returns:
        (N, C, H_out, W_out), or (C, H_out, W_out), channels-last in memory; with return_indices a pair of these.

    Raises:
        ShapeError: wrong rank, an empty image, a size out of range, or a window larger than the padded image.
        DTypeError: the input is not a float tensor, or a size is not an integer.
    """
    check_float_tensors("max_pool2d", input=input)
    geometry = max_pool_geometry("max_pool2d", meta(input), kernel_size, stride, padding, dilation, ceil_mode)
    fused = None if return_indices else _fused_max_pool2d(input, geometry)
    if fused is not None:
        return fused
    if input.ndim == 4:
        return MaxPool2d.apply(input, geometry, return_indices)
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
    """`max_pool2d` for (N, C, L) or (C, L); sizes are one integer, indices are positions in the series."""
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
    """`max_pool2d` for (N, C, D, H, W) or (C, D, H, W), with indices (d * H + h) * W + w.

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
        padding: the width of the border of zeros on every side, at most half of kernel_size.
        count_include_pad: count the padding in the divisor, not only the positions inside the image. Positions beyond
            the padding (see ceil_mode) never count.
        divisor_override: divide by this number instead.

    Returns and raises: as `max_pool2d`.
    """
    check_float_tensors("avg_pool2d", input=input)
    geometry = avg_pool_geometry(
        "avg_pool2d", input.array, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    if input.ndim == 4:
        return AvgPool2d.apply(input, geometry)
    return _pooled("avg_pool2d", input, AvgPool2d, geometry)


def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """`avg_pool2d` for (N, C, L) or (C, L); sizes are one integer."""
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
    """`avg_pool2d` for (N, C, D, H, W) or (C, D, H, W); sizes are one integer or (depth, height, width)."""
    check_float_tensors("avg_pool3d", input=input)
    geometry = avg_pool_geometry(
        "avg_pool3d", input.array, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return _pooled("avg_pool3d", input, AvgPool2d, geometry)


def adaptive_avg_pool2d(input: Tensor, output_size: Sizes) -> Tensor:
    """The averages of output_size windows that cover the image evenly; output size 1 averages whole channels.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        output_size: (H_out, W_out), or one integer for both; None keeps the image's size. May exceed the image's size.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), channels-last in memory.

    Raises:
        ShapeError: wrong rank, an empty image, or a negative size.
        DTypeError: the input is not a float tensor, or a size is not an integer.
    """
    check_float_tensors("adaptive_avg_pool2d", input=input)
    geometry = adaptive_pool_geometry("adaptive_avg_pool2d", input.array, output_size)
    if input.ndim == 4:
        return AvgPool2d.apply(input, geometry)
    return _pooled("adaptive_avg_pool2d", input, AvgPool2d, geometry)


def adaptive_avg_pool1d(input: Tensor, output_size: Sizes) -> Tensor:
    """`adaptive_avg_pool2d` for (N, C, L) or (C, L)."""
    check_float_tensors("adaptive_avg_pool1d", input=input)
    geometry = adaptive_pool_geometry("adaptive_avg_pool1d", input.array, output_size)
    return _pooled("adaptive_avg_pool1d", input, AvgPool2d, geometry)


def adaptive_avg_pool3d(input: Tensor, output_size: Sizes) -> Tensor:
    """`adaptive_avg_pool2d` for (N, C, D, H, W) or (C, D, H, W)."""
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
    if input.ndim == 4:
        return MaxPool2d.apply(input, geometry, return_indices)
    return _pooled("adaptive_max_pool2d", input, MaxPool2d, geometry, return_indices)


def adaptive_max_pool1d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """`adaptive_max_pool2d` for (N, C, L) or (C, L)."""
    check_float_tensors("adaptive_max_pool1d", input=input)
    geometry = adaptive_pool_geometry("adaptive_max_pool1d", meta(input), output_size)
    return _pooled("adaptive_max_pool1d", input, MaxPool2d, geometry, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """`adaptive_max_pool2d` for (N, C, D, H, W) or (C, D, H, W)."""
    check_float_tensors("adaptive_max_pool3d", input=input)
    geometry = adaptive_pool_geometry("adaptive_max_pool3d", meta(input), output_size)
    return _pooled("adaptive_max_pool3d", input, MaxPool2d, geometry, return_indices)


def _fused_max_pool2d(input: Tensor, geometry: PoolGeometry) -> Tensor | None:
    """The pooling fused with the pending operations of a lazy input; None if they cannot be fused."""
    waiting = pending(input)
    return None if waiting is None else waiting.max_pool2d(geometry)

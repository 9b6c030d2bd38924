"""Pooling: each output pixel is the maximum or the average of a window of its channel.

    max_pool2d  out[n, c, oh, ow] = max  over (h, w) in window (oh, ow) of x[n, c, h, w]
    avg_pool2d  out[n, c, oh, ow] = sum  over (h, w) in window (oh, ow) of x[n, c, h, w]  /  d[oh, ow]

Which (h, w) a window holds, and the divisor d, is said in `pool_geometry`; the adaptive forms differ in nothing else.
Source: I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning" (2016), section 9.3.

Gradients. The maximum moves with the one input that it equals and with no other: d out[o] / d x[i] is 1 where i is the
maximum's place in window o, else 0, so grad_x[i] collects grad_out of the windows whose maximum stood at i. To know
these, forward keeps the place of each maximum as its number within the window: one byte, and not a copy of x.

The average is linear, out = A x, so grad_x = A^T grad_out: each grad_out[o] / d[o] is spread over its window. And since
A^T is linear too, the gradient of that gradient is A again, the forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Function, once_differentiable, wrap
from convcore.ops.arguments import check_float_tensors, form
from convcore.ops.layout import nchw, nhwc
from convcore.ops.pool_geometry import (
    IntPair,
    PoolGeometry,
    adaptive_pool2d_geometry,
    avg_pool2d_geometry,
    max_pool2d_geometry,
)
from kernels.cpu.pool import (
    avg_pool2d_forward,
    avg_pool2d_grad_input,
    max_pool2d_forward,
    max_pool2d_grad_input,
)

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class MaxPool2d(Function):
    """The maximum of each window and, on request, its index h * W + w in the image."""

    @staticmethod
    def forward(ctx, x: Tensor, geometry: PoolGeometry, return_indices: bool):
        block = _block(x.array)
        out = memory.empty(geometry.out_block_shape, block.dtype)
        keep_positions = return_indices or ctx.needs_input_grad[0]
        positions = memory.empty(out.shape if keep_positions else (0, 0, 0, 0), geometry.position_dtype)
        rows, columns = geometry.height, geometry.width
        max_pool2d_forward(
            block, out, positions,
            rows.start, rows.stop, columns.start, columns.stop, rows.dilation, columns.dilation, columns.taps,
        )  # fmt: skip
        if keep_positions:
            ctx.geometry = geometry
            ctx.save_for_backward(wrap(positions))
        if not return_indices:
            return _image(out, x.array.ndim)
        indices = _image(_indices(positions, geometry), x.array.ndim)
        ctx.mark_non_differentiable(indices)
        ctx.set_materialize_grads(False)  # no zeros for the indices, which never have a gradient
        return _image(out, x.array.ndim), indices

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out: Tensor, grad_indices: None = None):
        (positions,) = ctx.saved_tensors
        rows, columns = ctx.geometry.height, ctx.geometry.width
        grad_x = memory.empty(ctx.geometry.x_block_shape, grad_out.array.dtype)
        max_pool2d_grad_input(
            _block(grad_out.array), positions.array, grad_x,
            rows.start, columns.start, rows.over_start, rows.over_stop, columns.over_start, columns.over_stop,
            rows.dilation, columns.dilation, columns.taps,
        )  # fmt: skip
        return _image(grad_x, grad_out.array.ndim), None, None


class AvgPool2d(Function):
    """out = A x: the average of each window."""

    @staticmethod
    def forward(ctx, x: Tensor, geometry: PoolGeometry):
        ctx.geometry = geometry
        rows, columns = geometry.height, geometry.width
        block = _block(x.array)
        out = memory.empty(geometry.out_block_shape, block.dtype)
        avg_pool2d_forward(block, out, rows.start, rows.stop, rows.count, columns.start, columns.stop, columns.count)
        return _image(out, x.array.ndim)

    @staticmethod
    def backward(ctx, grad_out: Tensor):
        return AvgPool2dGradInput.apply(grad_out, ctx.geometry), None


class AvgPool2dGradInput(Function):
    """grad_x = A^T grad_out: each window's gradient, spread over the window."""

    @staticmethod
    def forward(ctx, grad_out: Tensor, geometry: PoolGeometry):
        ctx.geometry = geometry
        rows, columns = geometry.height, geometry.width
        block = _block(grad_out.array)
        grad_x = memory.empty(geometry.x_block_shape, block.dtype)
        avg_pool2d_grad_input(
            block, grad_x,
            rows.over_start, rows.over_stop, rows.count, columns.over_start, columns.over_stop, columns.count,
        )  # fmt: skip
        return _image(grad_x, grad_out.array.ndim)

    @staticmethod
    def backward(ctx, grad_grad_x: Tensor):
        return AvgPool2d.apply(grad_grad_x, ctx.geometry), None


def max_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window. NaN counts as larger than any number; padding is never the maximum.

    Args:
        x: (N, C, H, W), or (C, H, W) for one image; float32 or float64. N may be 0.
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
        DTypeError: x is no tensor of floats, or a size is no integer.
    """
    check_float_tensors("max_pool2d", x=x)
    geometry = max_pool2d_geometry(form(x), kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool2d(x, geometry, return_indices)


def avg_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of each window.

    Args:
        x, kernel_size, stride, ceil_mode: as in `max_pool2d`.
        padding: zeros on every side, at most half of kernel_size.
        count_include_pad: divide by the window's size with its padding; otherwise only by what lies inside the image.
            What lies beyond the padding (see ceil_mode) never counts.
        divisor_override: divide by this number instead.

    Returns, raises: as `max_pool2d`.
    """
    check_float_tensors("avg_pool2d", x=x)
    geometry = avg_pool2d_geometry(
        x.array, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return AvgPool2d.apply(x, geometry)


def adaptive_avg_pool2d(x: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """The averages of windows that cover the image evenly, as many as are asked for; 1 averages whole channels.

    Args:
        x: (N, C, H, W) or (C, H, W), float32 or float64.
        output_size: (H_out, W_out), or one integer for both; None keeps the image's size. It may exceed the image's.

    Returns:
        (N, C, H_out, W_out) or (C, H_out, W_out), channels-last in memory.

    Raises:
        ShapeError: wrong rank, an empty image, or a negative size.
        DTypeError: x is no tensor of floats, or a size is no integer.
    """
    check_float_tensors("adaptive_avg_pool2d", x=x)
    return AvgPool2d.apply(x, adaptive_pool2d_geometry("adaptive_avg_pool2d", x.array, output_size))


def adaptive_max_pool2d(x: Tensor, output_size: int | Sequence[int | None], return_indices: bool = False) -> Any:
    """The largest values of windows that cover the image evenly; see `adaptive_avg_pool2d` and `max_pool2d`."""
    check_float_tensors("adaptive_max_pool2d", x=x)
    geometry = adaptive_pool2d_geometry("adaptive_max_pool2d", form(x), output_size)
    return _max_pool2d(x, geometry, return_indices)


def _max_pool2d(x: Tensor, geometry: PoolGeometry, return_indices: bool) -> Any:
    if x.deferred is not None and not return_indices:
        fused = x.deferred.max_pool2d(geometry)
        if fused is not None:
            return fused
    return MaxPool2d.apply(x, geometry, return_indices)


def _block(array: np.ndarray) -> np.ndarray:
    """The block (N, H, W, C) of a batch, or of a single image as a batch of one."""
    return nhwc(array if array.ndim == 4 else array[None])


def _image(block: np.ndarray, ndim: int) -> Tensor:
    """The tensor of a block: a batch, or for ndim 3 its single image."""
    return wrap(nchw(block) if ndim == 4 else nchw(block)[0])


def _indices(positions: np.ndarray, geometry: PoolGeometry) -> np.ndarray:
    """Positions within windows as indices h * W + w of the image; both are blocks (N, H_out, W_out, C)."""
    rows, columns = geometry.height, geometry.width
    r, s = np.divmod(positions.astype(np.int64), columns.taps)
    h = rows.start[:, None, None] + r * rows.dilation
    w = columns.start[:, None] + s * columns.dilation
    return h * columns.size + w

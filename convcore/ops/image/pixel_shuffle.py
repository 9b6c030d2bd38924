"""Rearranging channels and pixels: pixel_shuffle and its inverse, channel_shuffle, unfold and fold.

    pixel_shuffle    out[n, c, h * r + i, w * r + j] = input[n, c * r^2 + i * r + j, h, w]
    channel_shuffle  out[n, k * groups + g] = input[n, g * (C / groups) + k]
    unfold           out[n, c * k_h * k_w + r * k_w + s, l] = input[n, c, position of tap (r, s) of window l]
    fold             the transpose of unfold: every value is added to the position that unfold reads it from

Values only move. The gradient of a shuffle is the inverse shuffle; unfold and fold are the gradients of each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, Variable, wrap
from convcore.errors import DTypeError, ShapeError, array_table
from convcore.ops.core.arguments import integer, pair

if TYPE_CHECKING:
    from convcore.tensor import Tensor

IntPair = int | Sequence[int]
Windows = tuple[tuple[int, int], ...]  # kernel_size, dilation, padding, stride


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(.., C * r^2, H, W) becomes (.., C, H * r, W * r): groups of r^2 channels become blocks of r x r pixels."""
    r = integer("pixel_shuffle", "upscale_factor", upscale_factor, 1)
    *batch, c, h, w = _image_shape("pixel_shuffle", input)
    if c % (r * r):
        raise ShapeError(f"pixel_shuffle: the channels must be divisible by upscale_factor^2 = {r * r}, got {c}")
    n = len(batch)
    blocks = input.reshape(*batch, c // (r * r), r, r, h, w)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return blocks.permute(*order).reshape(*batch, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(.., C, H * r, W * r) becomes (.., C * r^2, H, W): blocks of r x r pixels become groups of r^2 channels."""
    r = integer("pixel_unshuffle", "downscale_factor", downscale_factor, 1)
    *batch, c, h, w = _image_shape("pixel_unshuffle", input)
    if h % r or w % r:
        raise ShapeError(f"pixel_unshuffle: height and width must be divisible by downscale_factor {r}, got {h}, {w}")
    n = len(batch)
    blocks = input.reshape(*batch, c, h // r, r, w // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return blocks.permute(*order).reshape(*batch, c * r * r, h // r, w // r)


def _image_shape(op: str, input: Tensor) -> tuple[int, ...]:
    if len(input.shape) < 3:
        raise ShapeError(f"{op}: input must have at least 3 axes (.., C, H, W), got shape {tuple(input.shape)}")
    return tuple(input.shape)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(N, C, ..): interleave the groups: the first channel of every group, then the second of every group, ...."""
    groups = integer("channel_shuffle", "groups", groups, 1)
    shape = tuple(input.shape)
    if len(shape) < 3:
        raise ShapeError(f"channel_shuffle: input must have at least 3 axes (N, C, ..), got shape {shape}")
    if shape[1] % groups:
        raise ShapeError(f"channel_shuffle: groups must divide the channels, got {groups} and {shape[1]}")
    split = input.reshape(shape[0], groups, shape[1] // groups, *shape[2:])
    return split.transpose(1, 2).reshape(*shape)


class Unfold(Function):
    """The windows of images as columns: (N, C, H, W) to (N, C * k_h * k_w, L)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, windows: Windows):
        ctx.windows, ctx.sizes = windows, x.array.shape[2:]
        (k_h, k_w), _, (pad_h, pad_w), _ = windows
        padded = np.pad(x.array, ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)))
        n, c = padded.shape[:2]
        h_out, w_out = window_counts(ctx.sizes, windows)
        columns = np.empty((n, c, k_h, k_w, h_out, w_out), padded.dtype)
        for r, s in np.ndindex(k_h, k_w):
            columns[:, :, r, s] = padded[_read_by(r, s, (h_out, w_out), windows)]
        return wrap(columns.reshape(n, c * k_h * k_w, h_out * w_out))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        return Fold.apply(grad_out, ctx.sizes, ctx.windows), None


class Fold(Function):
    """Columns summed into images: (N, C * k_h * k_w, L) to (N, C, H, W)."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, sizes: tuple[int, int], windows: Windows):
        ctx.windows = windows
        (k_h, k_w), _, (pad_h, pad_w), _ = windows
        counts = window_counts(sizes, windows)
        n, c = columns.array.shape[0], columns.array.shape[1] // (k_h * k_w)
        given = columns.array.reshape(n, c, k_h, k_w, *counts)
        padded = np.zeros((n, c, sizes[0] + 2 * pad_h, sizes[1] + 2 * pad_w), given.dtype)
        for r, s in np.ndindex(k_h, k_w):
            padded[_read_by(r, s, counts, windows)] += given[:, :, r, s]
        return wrap(padded[:, :, pad_h : pad_h + sizes[0], pad_w : pad_w + sizes[1]])

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        return Unfold.apply(grad_out, ctx.windows), None, None


def window_counts(sizes: Sequence[int], windows: Windows) -> tuple[int, int]:
    """The number of windows along the height and along the width."""
    kernel, dilation, padding, stride = windows
    height, width = ((sizes[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(2))
    return height, width


def _read_by(r: int, s: int, counts: tuple[int, int], windows: Windows) -> tuple[Any, ...]:
    """The index of the elements of a padded image that tap (r, s) of all windows reads."""
    _, dilation, _, stride = windows
    starts = r * dilation[0], s * dilation[1]
    return (..., *[slice(t, t + (m - 1) * step + 1, step) for t, m, step in zip(starts, counts, stride, strict=True)])


def unfold(
    input: Tensor, kernel_size: IntPair, dilation: IntPair = 1, padding: IntPair = 0, stride: IntPair = 1
) -> Tensor:
    """The windows of a convolution as columns of a matrix (im2col).

    Args:
        input: (N, C, H, W) or (C, H, W), of any element type.
        kernel_size, dilation, padding, stride: one integer or (height, width), as of a convolution.

    Returns:
        (N, C * k_h * k_w, L) with L windows, row by row; or without N.

    Raises:
        ShapeError: wrong rank, an empty image, a setting out of range, or no window fits.
        DTypeError: the input is not a tensor, or a setting is not an integer.
    """
    _check_tensor("unfold", input)
    windows = _windows("unfold", kernel_size, dilation, padding, stride)
    table = array_table([("input", input, "")])
    if len(input.shape) not in (3, 4) or 0 in input.shape[-3:]:
        raise ShapeError(f"unfold: input must be (N, C, H, W) or (C, H, W), empty in N at most\n{table}")
    _check_counts("unfold", tuple(input.shape)[-2:], windows)
    if len(input.shape) == 3:
        return Unfold.apply(input.unsqueeze(0), windows)[0]
    return Unfold.apply(input, windows)


def fold(
    input: Tensor,
    output_size: IntPair,
    kernel_size: IntPair,
    dilation: IntPair = 1,
    padding: IntPair = 0,
    stride: IntPair = 1,
) -> Tensor:
    """Sum columns into images, at the positions that `unfold` reads them from.

    Args:
        input: (N, C * k_h * k_w, L) or (C * k_h * k_w, L).
        output_size: the image's (height, width), or one integer for both.
        kernel_size, dilation, padding, stride: as in `unfold`.

    Returns:
        (N, C, H, W) or (C, H, W).

    Raises the errors of `unfold`, and ShapeError if the columns do not fit.
    """
    _check_tensor("fold", input)
    sizes = pair("fold", "output_size", output_size, 1)
    windows = _windows("fold", kernel_size, dilation, padding, stride)
    table = array_table([("input", input, "")])
    if len(input.shape) not in (2, 3) or 0 in input.shape[-2:]:
        raise ShapeError(f"fold: input must be (N, C * k_h * k_w, L) or without N, empty in N at most\n{table}")
    taps, count = math.prod(windows[0]), math.prod(_check_counts("fold", sizes, windows))
    if input.shape[-2] % taps or input.shape[-1] != count:
        raise ShapeError(
            f"fold: input must have a multiple of k_h * k_w = {taps} rows and a column for each of the {count} windows "
            f"of an image of {sizes[0]} x {sizes[1]}\n{table}"
        )
    if len(input.shape) == 2:
        return Fold.apply(input.unsqueeze(0), sizes, windows)[0]
    return Fold.apply(input, sizes, windows)


def _check_tensor(op: str, input: Any) -> None:
    if not isinstance(input, Variable):
        raise DTypeError(f"{op}: input must be a tensor, got {type(input).__name__}; convcore.tensor(...) makes one")


def _windows(op: str, kernel_size: IntPair, dilation: IntPair, padding: IntPair, stride: IntPair) -> Windows:
    given = ("kernel_size", kernel_size, 1), ("dilation", dilation, 1), ("padding", padding, 0), ("stride", stride, 1)
    return tuple([pair(op, *setting) for setting in given])


def _check_counts(op: str, sizes: Sequence[int], windows: Windows) -> tuple[int, int]:
    counts = window_counts(sizes, windows)
    if min(counts) < 1:
        kernel, dilation, padding, _ = windows
        raise ShapeError(
            f"{op}: no window fits into an image of {sizes[0]} x {sizes[1]}: kernel_size {kernel}, "
            f"dilation {dilation}, padding {padding}"
        )
    return counts

"""The passes of pooling on blocks (N, H, W, C) and (N, D, H, W, C).

A window of a volume is a box. The maximum of a box is the maximum of the maxima of its planes, and the sum is the sum
of the sums. So volumes are pooled twice: each plane as an image, then along the depth, with all values of a plane as
channels, because they are contiguous in memory. This reads fewer than k_d * k_h * k_w taps for each output.
"""

from __future__ import annotations

import math

import numpy as np

from convcore import memory
from convcore.ops.pool.geometry import ONE_WINDOW, PoolGeometry, Windows, position_dtype
from kernels.cpu.pool import avg_pool2d_forward, avg_pool2d_grad_input, max_pool2d_forward, max_pool2d_grad_input

Positions = tuple[np.ndarray, ...]


def _stages(geometry: PoolGeometry) -> list[tuple[int, Windows, Windows, int]]:
    """(images, rows, columns, channels) of each pooling step: one for images, two for volumes."""
    n, c, height, width, depth = geometry.n, geometry.c, geometry.height, geometry.width, geometry.depth
    if depth is None:
        return [(n, height, width, c)]
    return [(n * depth.size, height, width, c), (n, depth, ONE_WINDOW, height.size_out * width.size_out * c)]


def max_forward(block: np.ndarray, geometry: PoolGeometry, keep: bool) -> tuple[np.ndarray, Positions]:
    """The maxima, and the tap number of each within its window; for volumes, one in the plane and one of the plane."""
    out, kept = block, []
    for count, rows, columns, channels in _stages(geometry):
        image = out.reshape(count, rows.size, columns.size, channels)
        out = memory.empty((count, rows.size_out, columns.size_out, channels), block.dtype)
        positions = memory.empty(out.shape if keep else (0, 0, 0, 0), position_dtype(rows, columns))
        max_pool2d_forward(
            image, out, positions,
            rows.start, rows.stop, columns.start, columns.stop, rows.dilation, columns.dilation, columns.taps,
        )  # fmt: skip
        kept.append(positions)
    return out.reshape(geometry.out_block_shape), tuple(kept)


def max_grad_input(grad_out: np.ndarray, positions: Positions, geometry: PoolGeometry) -> np.ndarray:
    """The gradients, added at the positions of the maxima."""
    grad = grad_out
    for (count, rows, columns, channels), taps in reversed(list(zip(_stages(geometry), positions, strict=True))):
        image = grad.reshape(taps.shape)
        grad = memory.empty((count, rows.size, columns.size, channels), grad_out.dtype)
        max_pool2d_grad_input(
            image, taps, grad,
            rows.start, columns.start, rows.over_start, rows.over_stop, columns.over_start, columns.over_stop,
            rows.dilation, columns.dilation, columns.taps,
        )  # fmt: skip
    return grad.reshape(geometry.x_block_shape)


def max_gather(block: np.ndarray, positions: Positions, geometry: PoolGeometry) -> np.ndarray:
    """The values at the positions of the maxima; 0 for windows without taps. The transpose of `max_grad_input`."""
    indices = max_indices(positions, geometry)
    held = np.ones((), bool)
    for axis in geometry.axes:
        held = held[..., None] & (axis.start < axis.stop)
    flat = block.reshape(geometry.n, math.prod(block.shape[1:-1]), geometry.c)
    where = indices.reshape(geometry.n, held.size, geometry.c)
    values = np.take_along_axis(flat, np.where(held.reshape(1, -1, 1), where, 0), axis=1)
    return np.where(held.reshape(1, -1, 1), values, 0).reshape(geometry.out_block_shape)


def max_indices(positions: Positions, geometry: PoolGeometry) -> np.ndarray:
    """Positions within windows as indices h * W + w, or (d * H + h) * W + w, in the input."""
    rows, columns, depth = geometry.height, geometry.width, geometry.depth
    r, s = np.divmod(positions[0].astype(np.int64), columns.taps)
    h = rows.start[:, None, None] + r * rows.dilation
    w = columns.start[:, None] + s * columns.dilation
    index = h * columns.size + w
    if depth is None:
        return index
    q = positions[1].astype(np.int64).reshape(geometry.out_block_shape)
    d = depth.start[:, None, None, None] + q * depth.dilation
    planes = index.reshape(geometry.n, depth.size, rows.size_out, columns.size_out, geometry.c)
    return d * (rows.size * columns.size) + np.take_along_axis(planes, d.clip(0, depth.size - 1), axis=1)


def avg_forward(block: np.ndarray, geometry: PoolGeometry) -> np.ndarray:
    """The average of every window."""
    out = block
    for count, rows, columns, channels in _stages(geometry):
        image = out.reshape(count, rows.size, columns.size, channels)
        out = memory.empty((count, rows.size_out, columns.size_out, channels), block.dtype)
        avg_pool2d_forward(image, out, rows.start, rows.stop, rows.count, columns.start, columns.stop, columns.count)
    return out.reshape(geometry.out_block_shape)


def avg_grad_input(grad_out: np.ndarray, geometry: PoolGeometry) -> np.ndarray:
    """The gradient of every average, divided over the positions of its window."""
    grad = grad_out
    for count, rows, columns, channels in reversed(_stages(geometry)):
        image = grad.reshape(count, rows.size_out, columns.size_out, channels)
        grad = memory.empty((count, rows.size, columns.size, channels), grad_out.dtype)
        avg_pool2d_grad_input(
            image, grad,
            rows.over_start, rows.over_stop, rows.count, columns.over_start, columns.over_stop, columns.count,
        )  # fmt: skip
    return grad.reshape(geometry.x_block_shape)

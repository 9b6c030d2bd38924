"""Images and volumes sampled at arbitrary positions: grid_sample, and affine_grid, which generates grids.

A grid holds coordinates from -1 to 1: x along the width, y along the height, z along the depth. Along an axis of `size`
pixels, the coordinate g is the pixel position

    p = (g + 1) / 2 * (size - 1)       with align_corners: -1 and 1 are the centres of the outermost pixels
    p = ((g + 1) * size - 1) / 2       without: -1 and 1 are the outer edges of these pixels

The sample is a weighted sum of the pixels around p. The weight of a pixel is a product with one factor for each axis:

    bilinear  1 - t and t, with t = p - floor(p)        bicubic  Keys' four (`convcore.ops.image.interpolate`)
    nearest   1 for the nearest pixel

Outside the image, "zeros" reads zeros, "border" the nearest pixel, and "reflection" mirrors the image at its border.
All steps are differentiable operations, so gradients of every order exist. Source: M. Jaderberg et al., "Spatial
Transformer Networks" (2015), section 3; positions and borders are PyTorch's.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import ShapeError, UnsupportedError, array_table
from convcore.ops.core.arguments import check_float_tensors, integer
from convcore.ops.image.interpolate import cubic_terms

if TYPE_CHECKING:
    from convcore.tensor import Tensor

MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")
FAR_OUTSIDE = -100.0  # replaces positions that are infinite or NaN; where a coordinate is NaN, the result is NaN


class PiecewiseLinear(Function):
    """Values computed outside the graph, with a given derivative with respect to x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: np.ndarray, slopes: np.ndarray):
        ctx.slopes = slopes
        return wrap(values)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        return grad_out * wrap(ctx.slopes), None, None


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Sample images or volumes at the positions of a grid.

    Args:
        input: (N, C, H, W) or (N, C, D, H, W); float32 or float64.
        grid: (N, H_out, W_out, 2) or (N, D_out, H_out, W_out, 3), of the input's dtype: x, y and z from -1 to 1.
        mode: "bilinear" (trilinear for volumes), "nearest", or for images "bicubic".
        padding_mode: the values outside the image: "zeros", "border" or "reflection".
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or (False, the default) their edges.

    Returns:
        (N, C, H_out, W_out) or (N, C, D_out, H_out, W_out), channels-last in memory; NaN where a coordinate is NaN.

    Raises:
        ShapeError: shapes do not match, or a spatial axis of the input is empty.
        DTypeError: dtypes differ or are not float32 or float64.
        UnsupportedError: an unknown mode, or "bicubic" for volumes.
    """
    check_float_tensors("grid_sample", input=input, grid=grid)
    shape, rank = tuple(input.shape), len(input.shape) - 2
    if mode not in MODES or (mode == "bicubic" and rank == 3):
        raise UnsupportedError(f"grid_sample: mode must be 'bilinear', 'nearest' or for images 'bicubic', got {mode!r}")
    if padding_mode not in PADDING_MODES:
        known = ", ".join(map(repr, PADDING_MODES))
        raise UnsupportedError(f"grid_sample: padding_mode must be one of {known}, got {padding_mode!r}")
    grid_shape = tuple(grid.shape)
    if rank not in (2, 3) or len(grid_shape) != rank + 2 or grid_shape[0] != shape[0] or grid_shape[-1] != rank:
        table = array_table([("input", input, "N, C, (D,) H, W"), ("grid", grid, "N, (D_out,) H_out, W_out, 2 or 3")])
        raise ShapeError(f"grid_sample: the grid must hold one place for each output of each image or volume\n{table}")
    if 0 in shape[2:]:
        raise ShapeError(f"grid_sample: input must not be empty along its spatial axes, got shape {shape}")
    coordinates = [grid[..., rank - 1 - axis] for axis in range(rank)]
    settings = mode, padding_mode, bool(align_corners)
    axes = [_axis(g, size, *settings) for g, size in zip(coordinates, shape[2:], strict=True)]
    values = input.permute(0, *range(2, rank + 2), 1).reshape(int(np.prod([shape[0], *shape[2:]])), shape[1])
    image = np.arange(shape[0]).reshape(-1, *[1] * rank)
    out = None
    for corner in itertools.product(*axes):
        row = functools.reduce(
            lambda rows, part: rows * part[1] + part[0][0], zip(corner, shape[2:], strict=True), image
        )
        weight = functools.reduce(operator.mul, [w for _, w in corner])
        term = values[row] * weight.unsqueeze(-1)
        out = term if out is None else out + term
    assert out is not None
    nowhere = np.isnan(grid.array).any(axis=-1)
    if nowhere.any():
        out = out + wrap(np.where(nowhere, np.nan, 0).astype(out.array.dtype)[..., None])
    return out.permute(0, rank + 1, *range(1, rank + 1))


def _axis(g: Tensor, size: int, mode: str, padding_mode: str, align: bool) -> list[tuple[np.ndarray, Tensor]]:
    """(index, weight) of each pixel around the positions along one axis; the weight is 0 outside the image."""
    slope = (size - 1) / 2 if align else size / 2
    positions = (g.array + 1) * g.array.dtype.type(slope) - g.array.dtype.type(0 if align else 0.5)
    slopes = np.full_like(positions, slope)
    if mode != "bicubic":
        positions, signs = _padded(positions, size, padding_mode, align)
        slopes = slopes * signs
    positions = np.where(
        np.isfinite(positions) & (np.abs(positions) < 2.0**31), positions, positions.dtype.type(FAR_OUTSIDE)
    )
    if mode == "nearest":
        index = np.rint(positions)
        return [_value(index, size, PiecewiseLinear.apply(g, np.ones_like(positions), np.zeros_like(positions)))]
    first = np.floor(positions)
    t = PiecewiseLinear.apply(g, positions - first, slopes)
    if mode == "bilinear":
        return [_value(first, size, 1 - t), _value(first + 1, size, t)]
    indices = [_padded(first + i, size, padding_mode, align)[0] for i in (-1, 0, 1, 2)]
    return [_value(index, size, weight) for index, weight in zip(indices, cubic_terms(t), strict=True)]


def _value(index: np.ndarray, size: int, weight: Tensor) -> tuple[np.ndarray, Tensor]:
    inside = (index >= 0) & (index < size)
    where = np.where(inside, index, 0).astype(np.int64)
    return where, weight if inside.all() else weight * wrap(inside.astype(weight.array.dtype))


def _padded(positions: np.ndarray, size: int, padding_mode: str, align: bool) -> tuple[np.ndarray, np.ndarray]:
    """The positions mapped into the image, and the derivative of the map: 1, -1 where mirrored, 0 where clamped."""
    signs = np.ones_like(positions)
    if padding_mode == "zeros":
        return positions, signs
    if padding_mode == "reflection":
        low, span = (0.0, size - 1) if align else (-0.5, size)
        if span == 0:
            return np.zeros_like(positions), np.zeros_like(positions)
        distance = positions - positions.dtype.type(low)
        signs = np.where(distance < 0, -signs, signs)
        distance = np.abs(distance)
        reflections, rest = np.floor(distance / span), np.fmod(distance, positions.dtype.type(span))
        odd = np.fmod(reflections, 2) != 0
        positions = np.where(odd, span - rest, rest).astype(positions.dtype) + positions.dtype.type(low)
        signs = np.where(odd, -signs, signs)
    clamped = (positions <= 0) | (positions >= size - 1)
    return positions.clip(0, size - 1), np.where(clamped, 0, signs).astype(positions.dtype)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """A grid for `grid_sample` that maps each output (x, y, 1) to theta (x, y, 1), or (x, y, z, 1).

    Args:
        theta: (N, 2, 3) for images or (N, 3, 4) for volumes; float32 or float64.
        size: the output's (N, C, H, W) or (N, C, D, H, W).
        align_corners: as in `grid_sample`.

    Returns:
        (N, H, W, 2) or (N, D, H, W, 3).

    Raises:
        ShapeError: theta and size do not match, or a size is not positive.
        DTypeError: theta is not float, or a size is not an integer.
    """
    check_float_tensors("affine_grid", theta=theta)
    n, _, *sizes = [integer("affine_grid", f"size[{i}]", s, minimum=1) for i, s in enumerate(size)]
    rank = len(sizes)
    if rank not in (2, 3) or tuple(theta.shape) != (n, rank, rank + 1):
        raise ShapeError(
            f"affine_grid: theta must be (N, 2, 3) for a size of 4 numbers or (N, 3, 4) for one of 5, got "
            f"{tuple(theta.shape)} for size {tuple(size)}"
        )
    dtype = theta.array.dtype
    lines = []
    for s in sizes:
        line = np.linspace(-1, 1, s, dtype=dtype) if s > 1 else np.zeros(1, dtype)
        lines.append(line if align_corners else line * dtype.type((s - 1) / s))
    coordinates = np.meshgrid(*lines, indexing="ij")[::-1]
    base = np.stack([*coordinates, np.ones(sizes, dtype)], axis=-1).astype(dtype).reshape(-1, rank + 1)
    return (wrap(base) @ theta.transpose(1, 2)).reshape(n, *sizes, rank)

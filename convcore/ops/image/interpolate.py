"""Resizing series, images and volumes: every output is a weighted sum of the inputs around a source position.

The source position of output o along an axis is

    s = (o + 1/2) * scale - 1/2          with scale = size_in / size_out, or 1 / scale_factor if that is given
    s = o * (size_in - 1) / (size_out - 1)   with align_corners, which maps the outermost values to each other

The axes are independent: the weights of an image are products of the weights along each axis.

    nearest        the input floor(o * scale)          nearest-exact  the input floor((o + 1/2) * scale)
    linear         the two inputs around s, weighted by distance (bilinear, trilinear)
    cubic          the four inputs around s, weighted by Keys' polynomial with a = -3/4 (bicubic)
    area           the mean of the inputs that o covers: adaptive average pooling

Source: R. Keys, "Cubic Convolution Interpolation for Digital Image Processing" (1981), equation 15; sizes, positions
and borders are PyTorch's.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Variable
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.ops.core.arguments import check_float_tensors, integer
from convcore.ops.image.resample import AxisMap, ResampleAxis, axis_map
from convcore.ops.pool.functions import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

if TYPE_CHECKING:
    from convcore.tensor import Tensor

RANKS = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3),
    "linear": (1,), "bilinear": (2,), "trilinear": (3,), "bicubic": (2,),
}  # fmt: skip
A = -0.75


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize series (N, C, L), images (N, C, H, W) or volumes (N, C, D, H, W).

    Args:
        input: float32 or float64; for the nearest modes also uint8.
        size: the new spatial sizes, one integer for all or one for each axis.
        scale_factor: in place of size, the factor of the sizes.
        mode: "nearest", "nearest-exact", "linear" (series), "bilinear" or "bicubic" (images), "trilinear" (volumes) or
            "area".
        align_corners: map the outermost values to each other; for the linear and cubic modes only.
        recompute_scale_factor: compute the scale from the rounded sizes, instead of using the given factor.
        antialias: when "bilinear" or "bicubic" shrinks an image, widen the filter to the distance of the outputs, so
            that every input contributes.

    Raises:
        ShapeError: wrong rank or sizes, none or both of size and scale_factor.
        UnsupportedError: an unknown mode, a mode for another rank, or antialias with another mode.
        DTypeError: wrong element type, or a size that is not an integer.
    """
    if not isinstance(input, Variable):
        raise DTypeError(f"interpolate: input must be a tensor, got {type(input).__name__}")
    if not (mode.startswith("nearest") and input.array.dtype == np.uint8):
        check_float_tensors("interpolate", input=input)
    rank, shape = len(input.shape) - 2, tuple(input.shape)
    if mode not in RANKS:
        raise UnsupportedError(f"interpolate: mode must be one of {', '.join(map(repr, RANKS))}, got {mode!r}")
    if rank not in RANKS[mode]:
        several = " or ".join(str(r + 2) for r in RANKS[mode])
        raise UnsupportedError(f"interpolate: mode {mode!r} takes inputs of {several} axes, got shape {shape}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise UnsupportedError(
            f"interpolate: antialias goes with the modes bilinear and bicubic only, not with {mode!r}"
        )
    if align_corners is not None and (mode.startswith("nearest") or mode == "area"):
        raise ShapeError(f"interpolate: align_corners goes with the linear and cubic modes only, not with {mode!r}")
    sizes, factors = _sizes(shape, size, scale_factor, rank)
    if recompute_scale_factor:
        if scale_factor is None:
            raise ShapeError("interpolate: recompute_scale_factor needs a scale_factor, got size")
        factors = [None] * rank
    if 0 in shape[1:] or min(sizes) < 1:
        raise ShapeError(f"interpolate: sizes must be at least 1, the input's {shape} and the output's {tuple(sizes)}")
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[rank - 1](input, sizes)
    dtype = input.array.dtype if input.array.dtype.kind == "f" else np.dtype(np.float32)
    make = _smoothing_map if antialias else _map
    maps = [
        make(mode, old, new, factor, bool(align_corners), dtype)
        for old, new, factor in zip(shape[2:], sizes, factors, strict=True)
    ]
    out = input
    for axis in sorted(range(rank), key=lambda i: maps[i].size_out / maps[i].size_in):  # axes that shrink come first
        out = ResampleAxis.apply(out, axis + 2, maps[axis])
    return out


def _sizes(shape: tuple[int, ...], size: Any, scale_factor: Any, rank: int) -> tuple[list[int], list[Any]]:
    """The sizes of the output, and for each axis the given factor or None."""
    if (size is None) == (scale_factor is None):
        raise ShapeError(f"interpolate: give either size or scale_factor, got {size!r} and {scale_factor!r}")
    given, name = (size, "size") if scale_factor is None else (scale_factor, "scale_factor")
    several = list(given) if isinstance(given, Sequence) else [given] * rank
    if len(several) != rank:
        raise ShapeError(f"interpolate: {name} must be one number or {rank} for shape {shape}, got {given!r}")
    if scale_factor is None:
        return [integer("interpolate", f"size[{i}]", s, minimum=0) for i, s in enumerate(several)], [None] * rank
    factors = [float(operator.index(f)) if isinstance(f, (int, np.integer)) else float(f) for f in several]
    if not all(math.isfinite(f) and f > 0 for f in factors):
        raise ShapeError(f"interpolate: scale_factor must be positive, got {given!r}")
    return [math.floor(s * f) for s, f in zip(shape[2:], factors, strict=True)], factors


@functools.lru_cache(maxsize=1024)
def _map(mode: str, size_in: int, size_out: int, factor: float | None, align: bool, dtype: np.dtype) -> AxisMap:
    """The weights of one axis. Positions are rounded, so they are computed in the input's precision, as in PyTorch."""
    number = dtype.type
    outputs = np.arange(size_out).astype(dtype)
    scale = number(size_in) / number(size_out) if factor is None else number(1.0 / factor)
    if mode.startswith("nearest"):
        half = number(0.5 if mode == "nearest-exact" else 0)
        wide = np.float64 if dtype == np.float32 else np.longdouble  # a single rounding, as a fused multiply-add
        positions = ((outputs.astype(wide) + half) * wide(scale) - half).astype(dtype)
        positions = np.floor(np.maximum(positions, number(0)) + half)
        return axis_map(size_in, positions.clip(0, size_in - 1))
    if align:
        scale = number(size_in - 1) / number(size_out - 1) if size_out > 1 else number(0)
        positions = outputs * scale
    else:
        positions = (outputs + number(0.5)) * scale - number(0.5)
    if mode == "bicubic":
        first = np.floor(positions)
        t = (positions - first).astype(np.float64)
        sources = (first[:, None] + np.arange(-1, 3)).clip(0, size_in - 1)
        return axis_map(size_in, sources, np.stack(cubic_terms(t), axis=1))
    positions = np.maximum(positions, number(0))
    first = np.minimum(np.floor(positions), size_in - 1)
    t = (positions - first).clip(0, 1).astype(np.float64)
    sources = np.stack([first, np.minimum(first + 1, size_in - 1)], axis=1)
    return axis_map(size_in, sources, np.stack([1 - t, t], axis=1))


@functools.lru_cache(maxsize=1024)
def _smoothing_map(
    mode: str, size_in: int, size_out: int, factor: float | None, align: bool, dtype: np.dtype
) -> AxisMap:
    """The weights of one axis with antialias: the filter stretched to the distance of the outputs."""
    scale = size_in / size_out if factor is None else 1.0 / factor
    if align:
        scale = (size_in - 1) / (size_out - 1) if size_out > 1 else 0.0
    stretch = max(scale, 1.0)
    reach = (1 if mode == "bilinear" else 2) * stretch
    centers = scale * (np.arange(size_out) + 0.5)
    starts = np.maximum((centers - reach + 0.5).astype(np.int64), 0)
    ends = np.minimum((centers + reach + 0.5).astype(np.int64), size_in)
    sources, weights = [], []
    for start, end, center in zip(starts, ends, centers, strict=True):
        taps = np.arange(start, end)
        distance = np.abs(taps - center + 0.5) / stretch
        weight = np.maximum(1 - distance, 0) if mode == "bilinear" else _smooth_cubic(distance)
        sources.append(taps)
        weights.append(weight / weight.sum())
    first = np.concatenate([[0], np.cumsum(ends - starts)])
    return AxisMap(size_in, first, np.concatenate(sources), np.concatenate(weights))


def _smooth_cubic(x: np.ndarray) -> np.ndarray:
    """Keys' polynomial at a distance x, here with a = -1/2."""
    near, far = ((1.5 * x - 2.5) * x) * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def cubic_terms(t: Any) -> tuple[Any, Any, Any, Any]:
    """Keys' weights of the inputs at -1, 0, 1 and 2, for positions t in [0, 1]."""
    return _far(t + 1), _near(t), _near(1 - t), _far(2 - t)


def _near(x: Any) -> Any:
    return ((A + 2) * x - (A + 3)) * x * x + 1


def _far(x: Any) -> Any:
    return ((A * x - 5 * A) * x + 8 * A) * x - 4 * A


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The old name of `interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """`interpolate` with mode "nearest"."""
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """`interpolate` with mode "bilinear" and align_corners."""
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)

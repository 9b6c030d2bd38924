"""Histograms: the number of elements in each interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import integer
from convcore.ops.core.dtypes import require_floating

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class Histogram(NamedTuple):
    """The result of `histogram` and `histogramdd`."""

    hist: Any
    bin_edges: Any


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """The number of elements in each of `bins` equal intervals from min to max (the input's range if min == max)"""
    if bins < 1 or not min <= max:
        raise ShapeError(f"histc: needs bins of at least 1 and min <= max, got bins={bins}, min={min}, max={max}")
    array = input.array
    low, high = float(min), float(max)
    if low == high:
        low, high = _range_of("histc", array)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ShapeError(f"histc: the range must be finite, got {low} to {high}")
    counts, _ = np.histogram(array, bins, (low, high))
    return wrap(counts.astype(array.dtype))


def _range_of(op: str, array: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest element; `histc` widens an empty range by 1 on both sides."""
    if not array.size:
        return 0.0, 1.0
    low, high = float(array.min()), float(array.max())
    return (low - 1, high + 1) if op == "histc" and low == high else (low, high)


def histogram(
    input: Tensor,
    bins: int | Tensor,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """(hist, bin_edges): the number of elements between neighbouring edges, the last edge included.

    Args:
        input: float32 or float64, of any shape.
        bins: the number of equal intervals, or a tensor of ascending edges.
        range: (low, high) of equal intervals; by default the range of the input.
        weight: the weight of each element, of the input's shape; by default 1.
        density: divide by the sum of weights and the length of each interval.
    """
    require_floating("histogram", input)
    result = _histogram("histogram", _points(input), [bins], range, weight, density)
    return Histogram(result.hist, result.bin_edges[0])


def histogramdd(
    input: Tensor,
    bins: int | Sequence[Any],
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """(hist, bin_edges): the number of points in each cell of a D-dimensional grid.

    Args:
        input: (..., D), the points; float32 or float64.
        bins: for each dimension the number of intervals or a tensor of ascending edges; one number applies to all.
        range: (low, high) of each dimension, in one flat sequence.
        weight, density: as in `histogram`; the weight has the shape (...).
    """
    require_floating("histogramdd", input)
    if input.array.ndim < 2:
        raise ShapeError(f"histogramdd: input must have 2 or more axes (..., D), got shape {input.array.shape}")
    dimensions = input.array.shape[-1]
    given = list(bins) if isinstance(bins, Sequence) else [bins] * dimensions
    if len(given) != dimensions:
        raise ShapeError(f"histogramdd: bins must be given for each of {dimensions} dimensions, got {len(given)}")
    return _histogram("histogramdd", input.array.reshape(-1, dimensions), given, range, weight, density)


def _points(input: Tensor) -> np.ndarray:
    return input.array.reshape(-1, 1)


def _histogram(op: str, points: np.ndarray, bins: list[Any], ends: Any, weight: Any, density: bool) -> Histogram:
    edges = [_edges(op, points[:, i], b, None if ends is None else ends[2 * i : 2 * i + 2]) for i, b in enumerate(bins)]
    if weight is not None and (weight.array.dtype != points.dtype or weight.array.size != len(points)):
        raise ShapeError(
            f"{op}: weight must have one {points.dtype} for each of {len(points)} points, got {weight.array.dtype} "
            f"{weight.array.shape}"
        )
    weights = None if weight is None else weight.array.reshape(-1)
    # np.histogramdd is not used here: it would widen float32 edges to float64 and round differently.
    cells = np.zeros(len(points), np.int64)
    inside = np.ones(len(points), np.bool_)
    for i, e in enumerate(edges):
        column = points[:, i]
        index = np.searchsorted(e, column, side="right") - 1
        index = np.where(column == e[-1], e.size - 2, index)
        inside &= (column >= e[0]) & (column <= e[-1])
        cells = cells * (e.size - 1) + index
    shape = [e.size - 1 for e in edges]
    counts = np.bincount(cells[inside], None if weights is None else weights[inside], int(np.prod(shape)))
    hist = counts.reshape(shape).astype(points.dtype)
    if density:
        with np.errstate(all="ignore"):
            hist = hist / hist.sum()
            for i, e in enumerate(edges):
                hist = hist / np.diff(e).reshape([-1 if i == j else 1 for j, _ in enumerate(edges)])
    return Histogram(wrap(hist.astype(points.dtype)), tuple([wrap(e) for e in edges]))


def _edges(op: str, values: np.ndarray, bins: Any, ends: Any) -> np.ndarray:
    """The edges between intervals, in the dtype of the values."""
    if isinstance(bins, Variable):
        edges = bins.array
        if edges.ndim != 1 or edges.size < 2 or edges.dtype != values.dtype:
            raise DTypeError(f"{op}: bins must be 2 or more edges of {values.dtype}, got {edges.dtype} {edges.shape}")
        return edges.copy()
    count = integer(op, "bins", bins, 1)
    low, high = _range_of(op, values) if ends is None else (float(e) for e in ends)
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ShapeError(f"{op}: the range must be finite and rising, got {low} to {high}")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, count + 1).astype(values.dtype)

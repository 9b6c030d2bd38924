"""Variances, medians, quantiles, modes; covariances and correlations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.axes import axes, axis
from convcore.ops.core.dtypes import int64, require_floating
from convcore.ops.elementwise.functions import sqrt, where
from convcore.ops.reduce.functions import Dims, Extreme, mean, sum
from convcore.ops.shape.indexing import gather

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def _variance_and_mean(
    op: str, input: Tensor, dim: Any, unbiased: bool, keepdim: bool, correction: float | None
) -> tuple[Tensor, Tensor]:
    """Variance and mean. As in torch var(x, False) means unbiased=False."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    require_floating(op, input)
    correction = (1 if unbiased else 0) if correction is None else correction
    dims = axes(op, dim, input.array.ndim)
    count = math.prod([input.array.shape[i] for i in dims])
    average = mean(input, dims, keepdim=True)
    distance = input - average
    variance = sum(distance * distance, dims, keepdim) / float(max(count - correction, 0) if count else 0)
    return variance, average if keepdim else average.reshape(variance.array.shape)


def _root(variance: Tensor) -> Tensor:
    """The standard deviation. Where it is 0, the gradient is 0, too, as in torch."""
    zero = variance == 0
    return where(zero, 0.0, sqrt(where(zero, 1.0, variance)))


def var(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The variance over the axes `dim`, or all: the sum of squared deviations from the mean, over n - correction.

    The correction is 1 by default, or 0 with unbiased=False.
    """
    return _variance_and_mean("var", input, dim, unbiased, keepdim, correction)[0]


def std(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The square root of the variance; the arguments are those of `var`"""
    return _root(_variance_and_mean("std", input, dim, unbiased, keepdim, correction)[0])


def var_mean(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """The variance and the mean; the arguments are those of `var`"""
    return _variance_and_mean("var_mean", input, dim, unbiased, keepdim, correction)


def std_mean(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean; the arguments are those of `var`"""
    variance, average = _variance_and_mean("std_mean", input, dim, unbiased, keepdim, correction)
    return _root(variance), average


def _ranked(input: Tensor, dim: int, rank: Any, keepdim: bool) -> Extreme:
    """The elements of this rank along an axis, and their indices; rank 0 is the smallest, NaN the largest element."""
    if input.array.ndim == 0:
        return Extreme(input.clone(), wrap(np.zeros((), int64)))
    order = np.argsort(input.array, axis=dim, kind="stable")
    indices = wrap(np.take_along_axis(order, np.broadcast_to(rank, np.sum(order, axis=dim, keepdims=True).shape), dim))
    values = gather(input, dim, indices)
    return Extreme(values, indices) if keepdim else Extreme(values.squeeze(dim), indices.squeeze(dim))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Extreme:
    """(values, indices): the k-th smallest element along `dim`, counted from 1"""
    axis_index = axis("kthvalue", dim, input.array.ndim)
    size = input.array.shape[axis_index] if input.array.ndim else 1
    if not 1 <= k <= size:
        raise ShapeError(f"kthvalue: k must be from 1 to {size}, the size of axis {dim}, got {k}")
    return _ranked(input, axis_index, k - 1, keepdim)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower of two; NaN if any is NaN. With `dim`, the pair (values, indices) along it"""
    return _median("median", input, dim, keepdim)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` without NaN"""
    return _median("nanmedian", input, dim, keepdim)


def _median(op: str, input: Tensor, dim: int | None, keepdim: bool) -> Any:
    x = input.reshape(-1) if dim is None else input
    axis_index = 0 if dim is None else axis(op, dim, input.array.ndim)
    size = x.array.shape[axis_index] if x.array.ndim else 1
    if size == 0:
        if dim is None and x.array.dtype.kind == "f":
            return wrap(np.full((), np.nan, x.array.dtype))
        raise ShapeError(f"{op}: needs at least one element, got shape {input.array.shape}")
    missing = np.isnan(x.array).sum(axis=axis_index, keepdims=True) if x.array.ndim else np.zeros((), int64)
    if op == "median":
        rank = np.where(missing > 0, size - missing, (size - 1) // 2)
    else:
        rank = np.maximum(size - missing - 1, 0) // 2
    found = _ranked(x, axis_index, rank, keepdim)
    return found.values if dim is None else found


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Extreme:
    """(values, indices): the most frequent element along `dim` (the smallest of several), and its last index"""
    axis_index = axis("mode", dim, input.array.ndim)
    if input.array.ndim == 0:
        return Extreme(input.clone(), wrap(np.zeros((), int64)))
    if input.array.size == 0 and input.array.shape[axis_index] == 0:
        raise ShapeError(f"mode: needs at least one element along axis {dim}, got shape {input.array.shape}")
    rows = np.moveaxis(input.array, axis_index, -1)
    order = np.argsort(rows, axis=-1, kind="stable")
    ordered = np.take_along_axis(rows, order, -1)
    starts = np.ones(ordered.shape, np.bool_)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    ahead = np.arange(rows.shape[-1])
    lengths = ahead - np.maximum.accumulate(np.where(starts, ahead, 0), axis=-1)  # of the run of equals so far, less 1
    last = np.argmax(lengths, axis=-1)[..., None]
    indices = wrap(np.moveaxis(np.take_along_axis(order, last, -1), -1, axis_index))
    values = gather(input, axis_index, indices)
    return Extreme(values, indices) if keepdim else Extreme(values.squeeze(axis_index), indices.squeeze(axis_index))


def quantile(
    input: Tensor, q: Tensor | float, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The q-th quantiles along `dim`, or of all elements, interpolated between neighbours.

    Args:
        q: from 0 to 1, a number or a tensor of the input's dtype of 0 or 1 axes; an axis becomes the result's first.
        keepdim: keep the axis, with size 1.
        interpolation: "linear", "lower", "higher", "nearest" or "midpoint".
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


def nanquantile(
    input: Tensor, q: Tensor | float, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` without NaN"""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


def _quantile(op: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str) -> Tensor:
    require_floating(op, input)
    rounding = {"linear": None, "lower": np.floor, "higher": np.ceil, "nearest": np.rint, "midpoint": None}
    if interpolation not in rounding:
        raise ShapeError(f"{op}: interpolation must be one of {', '.join(rounding)}, got {interpolation!r}")
    fractions = q.array if isinstance(q, Variable) else np.asarray(q, input.array.dtype)
    if fractions.dtype != input.array.dtype:
        raise DTypeError(f"{op}: q must have the dtype of input, {input.array.dtype}, got {fractions.dtype}")
    if fractions.ndim > 1 or not ((fractions >= 0) & (fractions <= 1)).all():
        raise ShapeError(f"{op}: q must be numbers from 0 to 1 in at most 1 axis, got {fractions}")
    shape = input.array.shape
    axis_index = 0 if dim is None else axis(op, dim, len(shape))
    rows = input.reshape(-1) if dim is None or not shape else input.movedim(axis_index, -1)
    if rows.array.size == 0:
        raise ShapeError(f"{op}: needs at least one element, got shape {shape}")
    size = rows.array.shape[-1]
    order = wrap(np.argsort(rows.array, axis=-1, kind="stable"))
    ordered = gather(rows, -1, order)
    missing = np.isnan(rows.array).sum(axis=-1, keepdims=True)
    last = size - 1 - (missing if op == "nanquantile" else 0 * missing)
    ranks = np.atleast_1d(fractions) * np.maximum(last, 0)
    if op == "quantile":
        ranks = np.where(missing > 0, size - 1.0, ranks)
    if rounding[interpolation] is not None:
        ranks = rounding[interpolation](ranks)
    below = np.floor(ranks).astype(int64)
    weight = np.full_like(ranks, 0.5) * (ranks != below) if interpolation == "midpoint" else ranks - below
    low, high = gather(ordered, -1, wrap(below)), gather(ordered, -1, wrap(np.ceil(ranks).astype(int64)))
    result = low + (high - low) * wrap(weight.astype(input.array.dtype))
    result = result.movedim(-1, 0)
    if keepdim:
        result = result.reshape(-1, *[1] * len(shape)) if dim is None else result.unsqueeze(axis_index + 1)
    return result if fractions.ndim else result.squeeze(0)


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariances of variables (rows) over observations (columns), which may be weighted"""
    if input.array.ndim > 2:
        raise ShapeError(f"cov: input must have at most 2 axes (variables, observations), got {input.array.shape}")
    x = input.reshape(1, -1) if input.array.ndim < 2 else input
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None and given.array.shape != x.array.shape[1:]:
            raise ShapeError(
                f"cov: {name} must have one weight for each of {x.array.shape[1]} observations, "
                f"got shape {given.array.shape}"
            )
        if given is not None and (given.array < 0).any():
            raise ShapeError(f"cov: {name} must not be negative, its smallest is {given.array.min()}")
    if fweights is not None and fweights.array.dtype.kind not in "iu":
        raise DTypeError(f"cov: fweights must be integers, got {fweights.array.dtype}")
    if aweights is not None and aweights.array.dtype.kind != "f":
        raise DTypeError(f"cov: aweights must be floats, got {aweights.array.dtype}")
    weights = [w for w in (fweights, aweights) if w is not None]
    weight = None
    for w in weights:
        weight = w if weight is None else weight * w
    if weight is None:
        norm: Any = float(max(x.array.shape[1] - correction, 0))
        centred = x - x.sum(1, keepdim=True) / x.array.shape[1]
        weighted = centred
    else:
        total = weight.sum()
        centred = x - (x * weight).sum(1, keepdim=True) / total
        weighted = centred * weight
        norm = total - correction
        if aweights is not None:
            norm = total - correction * (weight * aweights).sum() / total
        norm = norm.clamp(min=0)
    result = (centred @ weighted.T) / norm
    return result.squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """The correlation coefficients of variables (rows) over observations (columns)"""
    c = cov(input)
    if c.array.ndim == 0:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(-1, 1)

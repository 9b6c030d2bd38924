"""Reductions over axes: sums, means, extremes and spread.

Sums of float32 are added up in float64: NumPy adds along all but the innermost axis one element after the other, and
in float32 the error of that would grow with the number of elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import ShapeError
from convcore.ops.axes import axes, axis
from convcore.ops.dtypes import convert, element_type, float64, int64, require_floating

if TYPE_CHECKING:
    from convcore.tensor import Tensor

Dims = int | Sequence[int] | None


class Extreme(NamedTuple):
    """What `max(dim)` and `min(dim)` return."""

    values: Any
    indices: Any


def _restored(reduced: Tensor, shape: tuple[int, ...], dims: tuple[int, ...]) -> Tensor:
    """A reduced tensor spread over the shape before the reduction over `dims`."""
    return reduced.reshape([1 if i in dims else s for i, s in enumerate(shape)]).expand(shape)


class Sum(Function):
    """The sum over axes; every summand's gradient is that of the sum."""

    @staticmethod
    def forward(ctx, x, dims, keepdim):
        ctx.shape, ctx.dims = x.array.shape, dims
        dtype = x.array.dtype
        with np.errstate(all="ignore"):
            total = np.sum(x.array, axis=dims, keepdims=keepdim, dtype=float64 if dtype.kind == "f" else int64)
            return wrap(np.asarray(total, dtype if dtype.kind == "f" else int64))

    @staticmethod
    def backward(ctx, grad_out):
        return _restored(grad_out, ctx.shape, ctx.dims), None, None


class Extremum(Function):
    """The largest or smallest value over axes; equal extremes share the gradient evenly."""

    @staticmethod
    def forward(ctx, x, dims, keepdim, ufunc):
        ctx.dims = dims
        out = wrap(np.asarray(ufunc.reduce(x.array, axis=dims, keepdims=keepdim)))
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx, grad_out):
        x, out = ctx.saved_tensors
        shape = x.array.shape
        extreme = _restored(out.detach(), shape, ctx.dims).array
        chosen = (x.array == extreme) | (np.isnan(x.array) & np.isnan(extreme))
        share = wrap((chosen / chosen.sum(axis=ctx.dims, keepdims=True)).astype(x.array.dtype))
        return _restored(grad_out, shape, ctx.dims) * share, None, None, None


def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over the axes `dim`, or all. Integers and bools are summed as int64."""
    if dtype is not None:
        input = convert(input, element_type("sum", dtype))
    return Sum.apply(input, axes("sum", dim, input.array.ndim), keepdim)


def mean(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The mean over the axes `dim`, or all."""
    require_floating("mean", input)
    total = sum(input, dim, keepdim)
    return total / _count(input, dim)


def _count(x: Tensor, dim: Dims) -> int:
    """How many elements go into one element of a reduction."""
    return math.prod([x.array.shape[i] for i in axes("reduce", dim, x.array.ndim)])


def var(input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False) -> Tensor:
    """The variance: the sum of squared distances from the mean over n - 1, or over n where not `unbiased`."""
    require_floating("var", input)
    distance = input - mean(input, dim, keepdim=True)
    return sum(distance * distance, dim, keepdim) / float(_count(input, dim) - bool(unbiased))


def std(input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False) -> Tensor:
    """The square root of the variance. Where it is 0 its gradient is 0 too, as in torch."""
    variance = var(input, dim, unbiased, keepdim)
    zero = variance == 0
    return variance.where(~zero, 1.0).sqrt().where(~zero, 0.0)


def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest value over the axes `dim`, or all. Equal ones share the gradient."""
    return _extremum("amax", np.maximum, input, dim, keepdim)


def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest value over the axes `dim`, or all. Equal ones share the gradient."""
    return _extremum("amin", np.minimum, input, dim, keepdim)


def _extremum(op: str, ufunc: np.ufunc, input: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    _require_elements(op, input, dim)
    return Extremum.apply(input, axes(op, dim, input.array.ndim), keepdim, ufunc)


def _require_elements(op: str, input: Tensor, dim: Dims) -> None:
    if _count(input, dim) == 0:
        raise ShapeError(f"{op}: needs at least one element to choose from, got shape {input.array.shape}")


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the largest value along `dim` (the first of equal ones), or in the flattened tensor; int64."""
    return _arg("argmax", np.argmax, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest value along `dim` (the first of equal ones), or in the flattened tensor; int64."""
    return _arg("argmin", np.argmin, input, dim, keepdim)


def _arg(op: str, search: Any, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    _require_elements(op, input, dim)
    place = None if dim is None or input.array.ndim == 0 else axis(op, dim, input.array.ndim)
    return wrap(np.asarray(search(input.array, axis=place, keepdims=keepdim), int64))


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with `dim` the pair (values, indices) along it; with a tensor the `maximum` of both."""
    return _max_or_min(input, dim, keepdim, amax, argmax)


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; with `dim` the pair (values, indices) along it; with a tensor the `minimum` of both."""
    return _max_or_min(input, dim, keepdim, amin, argmin)


def _max_or_min(input: Tensor, dim: Any, keepdim: bool, extreme: Any, search: Any) -> Any:
    if dim is None:
        return extreme(input)
    indices = search(input, dim, keepdim=True)
    values = input.gather(dim, indices)
    return Extreme(values, indices) if keepdim else Extreme(values.squeeze(dim), indices.squeeze(dim))


def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not 0)."""
    return wrap(np.asarray(np.all(input.array, axis=axes("all", dim, input.array.ndim), keepdims=keepdim)))


def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether any element is true (not 0)."""
    return wrap(np.asarray(np.any(input.array, axis=axes("any", dim, input.array.ndim), keepdims=keepdim)))

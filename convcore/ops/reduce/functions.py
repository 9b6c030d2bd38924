"""Reductions over axes: sums, products, means, extremes, logical reductions.

Sums of float32 accumulate in float64. Along all but the innermost axis NumPy adds one element after another, and in
float32 the error of such a sum grows with the number of elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convcore.autograd import Function, Variable, wrap
from convcore.errors import ShapeError
from convcore.ops.core.axes import axes, axis
from convcore.ops.core.dtypes import convert, element_type, float64, floating, int64, require_floating, require_tensor
from convcore.ops.elementwise.functions import exp, maximum, minimum, where

if TYPE_CHECKING:
    from convcore.tensor import Tensor

Dims = int | Sequence[int] | None


class Extreme(NamedTuple):
    """The result of `max(dim)` and `min(dim)`."""

    values: Any
    indices: Any


class MinMax(NamedTuple):
    """The result of `aminmax`."""

    min: Any
    max: Any


def _restored(reduced: Tensor, shape: tuple[int, ...], dims: tuple[int, ...]) -> Tensor:
    """A tensor reduced over `dims`, broadcast to the shape before the reduction."""
    return reduced.reshape([1 if i in dims else s for i, s in enumerate(shape)]).expand(shape)


class Sum(Function):
    """The sum over axes; the gradient of every summand is grad_out."""

    @staticmethod
    def forward(ctx, x, dims, keepdim):
        ctx.shape, ctx.dims = x.array.shape, dims
        dtype = x.array.dtype
        with np.errstate(all="ignore"):
            total = np.sum(x.array, axis=dims, keepdims=keepdim, dtype=float64 if dtype.kind == "f" else int64)
            return wrap(np.asarray(total.astype(dtype if dtype.kind == "f" else int64)))

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
        share = wrap(np.asarray(chosen / chosen.sum(axis=ctx.dims, keepdims=True), x.array.dtype))
        return _restored(grad_out, shape, ctx.dims) * share, None, None, None


class Prod(Function):
    """The product along an axis; the gradient of each factor is the product of the others."""

    @staticmethod
    def forward(ctx, x, dim, keepdim):
        ctx.dim, ctx.keepdim = dim, keepdim
        dtype = x.array.dtype
        with np.errstate(all="ignore"):
            product = np.prod(x.array, axis=dim, keepdims=keepdim, dtype=dtype if dtype.kind == "f" else int64)
        out = wrap(np.asarray(product))
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx, grad_out):
        x, out = ctx.saved_tensors
        if not ctx.keepdim:
            grad_out, out = grad_out.unsqueeze(ctx.dim), out.unsqueeze(ctx.dim)
        if not (x.array == 0).any():
            return grad_out * out / x, None, None
        rows = x.movedim(ctx.dim, -1)
        without = where(wrap(np.eye(x.array.shape[ctx.dim], dtype=np.bool_)), 1.0, rows.unsqueeze(-2))
        return grad_out * prod(without, -1).movedim(-1, ctx.dim), None, None


def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over the axes `dim`, or all. Integers and bools are summed as int64."""
    wanted = None if dtype is None else element_type("sum", dtype)
    if wanted is not None:
        input = convert(input, wanted)
    total = Sum.apply(input, axes("sum", dim, input.array.ndim), keepdim)
    return total if wanted is None else convert(total, wanted)


def nansum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """`sum` with NaN counted as 0"""
    return sum(_without_nan(input), dim, keepdim, dtype=dtype)


def _without_nan(input: Tensor) -> Tensor:
    if input.array.dtype.kind != "f":
        return input
    return where(wrap(np.asarray(np.isnan(input.array))), 0.0, input)


def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over the axes `dim`, or all"""
    if dtype is not None:
        input = convert(input, element_type("mean", dtype))
    require_floating("mean", input, "input" if dtype is None else "dtype")
    return sum(input, dim, keepdim) / _count(input, dim)


def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over the axes `dim`, or all, without NaN"""
    if dtype is not None:
        input = convert(input, element_type("nanmean", dtype))
    require_floating("nanmean", input, "input" if dtype is None else "dtype")
    present = convert(wrap(np.asarray(~np.isnan(input.array))), input.array.dtype)
    return nansum(input, dim, keepdim) / sum(present, dim, keepdim)


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product along the axis `dim`, or of all elements. Integers and bools are multiplied as int64."""
    wanted = None if dtype is None else element_type("prod", dtype)
    if wanted is not None:
        input = convert(input, wanted)
    if dim is None or input.array.ndim == 0:
        axes("prod", dim, input.array.ndim)
        result = Prod.apply(input.reshape(-1), 0, False)
        result = result.reshape((1,) * input.array.ndim) if keepdim else result
    else:
        result = Prod.apply(input, axis("prod", dim, input.array.ndim), keepdim)
    return result if wanted is None else convert(result, wanted)


def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """The number of elements that are not 0, over the axes `dim` or all; int64"""
    return wrap(np.asarray(np.count_nonzero(input.array, axis=axes("count_nonzero", dim, input.array.ndim)), int64))


def _count(x: Tensor, dim: Dims) -> int:
    """The number of elements reduced into one."""
    return math.prod([x.array.shape[i] for i in axes("reduce", dim, x.array.ndim)])


def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over the axes `dim`, without intermediate overflow"""
    x = floating("logsumexp", input)
    if _count(x, dim) == 0:
        return sum(exp(x), dim, keepdim).log()
    largest = amax(x, dim, keepdim=True).detach()
    finite = where(wrap(np.asarray(np.isfinite(largest.array))), largest, 0.0)
    total = sum(exp(x - finite), dim, keepdim).log()
    return total + (finite if keepdim else finite.reshape(total.array.shape))


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
        raise ShapeError(f"{op}: input must have at least one element to choose from, got shape {input.array.shape}")


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the largest value along `dim` (the first of equal ones), or in the flattened tensor; int64."""
    return _arg("argmax", np.argmax, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the smallest value along `dim` (the first of equal ones), or in the flattened tensor; int64."""
    return _arg("argmin", np.argmin, input, dim, keepdim)


def _arg(op: str, search: Any, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    _require_elements(op, input, dim)
    axis_index = None if dim is None or input.array.ndim == 0 else axis(op, dim, input.array.ndim)
    return wrap(np.asarray(search(input.array, axis=axis_index, keepdims=keepdim), int64))


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The largest element; with `dim`, the pair (values, indices) along it; with a tensor, the `maximum` of both."""
    return _max_or_min(input, other if dim is None else dim, keepdim, amax, argmax, maximum)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """The smallest element; with `dim`, the pair (values, indices) along it; with a tensor, the `minimum` of both."""
    return _max_or_min(input, other if dim is None else dim, keepdim, amin, argmin, minimum)


def _max_or_min(input: Tensor, dim: Any, keepdim: bool, extreme: Any, search: Any, of_both: Any) -> Any:
    require_tensor(extreme.__name__, "input", input)
    if dim is None:
        return extreme(input)
    if isinstance(dim, Variable):
        return of_both(input, dim)
    indices = search(input, dim, keepdim=True)
    values = input.gather(dim, indices)
    return Extreme(values, indices) if keepdim else Extreme(values.squeeze(dim), indices.squeeze(dim))


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """(min, max): the smallest and the largest value along `dim`, or of all elements"""
    return MinMax(amin(input, dim, keepdim), amax(input, dim, keepdim))


def _truth(op: str, reduction: Any, input: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    """uint8 stays uint8, as in torch; everything else becomes bool."""
    result = reduction(input.array, axis=axes(op, dim, input.array.ndim), keepdims=keepdim)
    return wrap(np.asarray(result, np.uint8 if input.array.dtype == np.uint8 else np.bool_))


def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not 0)."""
    return _truth("all", np.all, input, dim, keepdim)


def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether any element is true (not 0)."""
    return _truth("any", np.any, input, dim, keepdim)

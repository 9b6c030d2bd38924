"""Cumulative sums, products and extremes along an axis, and differences of neighbours.

    cumsum   out[i] = x[0] + .. + x[i],   grad_x[i] = grad_out[i] + grad_out[i + 1] + ..
    cumprod  out[i] = x[0] * .. * x[i],   grad_x[i] = sum over k >= i of grad_out[k] * out[k] / x[i]

Where an x is 0, the quotient out[k] / x[i] is computed as the product without x[i].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import ShapeError
from convcore.ops.core.arguments import integer
from convcore.ops.core.axes import axis
from convcore.ops.core.dtypes import clone, convert, element_type, float64, int64, require_floating
from convcore.ops.elementwise.functions import exp, where
from convcore.ops.reduce.functions import Extreme
from convcore.ops.shape.indexing import gather
from convcore.ops.shape.joining import cat

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def reversed_along(x: Tensor, dim: int) -> Tensor:
    """The elements along an axis in reverse order."""
    return x[(slice(None),) * dim + (np.arange(x.array.shape[dim])[::-1],)]


class Cumsum(Function):
    """Cumulative sums; the gradient of a summand is the sum of the gradients from its position to the end."""

    @staticmethod
    def forward(ctx, x, dim):
        ctx.dim = dim
        dtype = x.array.dtype
        with np.errstate(all="ignore"):
            wide = np.cumsum(x.array, axis=dim, dtype=float64 if dtype.kind == "f" else int64)
            return wrap(np.asarray(wide, dtype if dtype.kind == "f" else int64))

    @staticmethod
    def backward(ctx, grad_out):
        return reversed_along(Cumsum.apply(reversed_along(grad_out, ctx.dim), ctx.dim), ctx.dim), None


class Cumprod(Function):
    """Cumulative products."""

    @staticmethod
    def forward(ctx, x, dim):
        ctx.dim = dim
        dtype = x.array.dtype
        with np.errstate(all="ignore"):
            out = wrap(np.cumprod(x.array, axis=dim, dtype=dtype if dtype.kind == "f" else int64))
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx, grad_out):
        x, out = ctx.saved_tensors
        dim = ctx.dim
        if not (x.array == 0).any():
            return reversed_along(Cumsum.apply(reversed_along(grad_out * out, dim), dim), dim) / x, None
        size = x.array.shape[dim]
        rows = x.movedim(dim, -1)
        # without[.., i, k]: the product of x[0] to x[k] without x[i], and 0 for k < i.
        others = where(wrap(np.eye(size, dtype=np.bool_)), 1.0, rows.unsqueeze(-2))
        without = cumprod(others, -1) * wrap(np.triu(np.ones((size, size), x.array.dtype)))
        return (without * grad_out.movedim(dim, -1).unsqueeze(-2)).sum(-1).movedim(-1, dim), None


class LogCumsumExp(Function):
    """out[i] = log(exp x[0] + .. + exp x[i]); grad_x[i] = sum over k >= i of grad_out[k] * exp(x[i] - out[k])."""

    @staticmethod
    def forward(ctx, x, dim):
        ctx.dim = dim
        with np.errstate(all="ignore"):
            out = wrap(np.logaddexp.accumulate(x.array, axis=dim))
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx, grad_out):
        x, out = ctx.saved_tensors
        size = x.array.shape[ctx.dim]
        rows, sums, upstream = (t.movedim(ctx.dim, -1) for t in (x, out, grad_out))
        # exp(difference)[.., i, k]: the share of summand i in out[k], for k >= i.
        later = np.triu(np.ones((size, size), np.bool_)) & np.isfinite(rows.array)[..., None]
        difference = where(wrap(later), rows.unsqueeze(-1) - sums.unsqueeze(-2), -np.inf)
        return (exp(difference) * upstream.unsqueeze(-2)).sum(-1).movedim(-1, ctx.dim), None


def _along(function: type[Function], op: str, input: Tensor, dim: int) -> Tensor:
    """Apply along an axis; a tensor without axes is treated as a vector of one element."""
    axis_index = axis(op, dim, input.array.ndim)
    if input.array.ndim == 0:
        return function.apply(input.reshape(1), 0).reshape(())
    return function.apply(input, axis_index)


def _in(op: str, input: Tensor, dtype: Any) -> Tensor:
    return input if dtype is None else convert(input, element_type(op, dtype))


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Cumulative sums along `dim`; integers and bools are summed as int64"""
    result = _along(Cumsum, "cumsum", _in("cumsum", input, dtype), dim)
    return _in("cumsum", result, dtype)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Cumulative products along `dim`; integers and bools are multiplied as int64"""
    result = _along(Cumprod, "cumprod", _in("cumprod", input, dtype), dim)
    return _in("cumprod", result, dtype)


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log(cumsum(exp(x))) along `dim`, without intermediate overflow"""
    require_floating("logcumsumexp", input)
    return _along(LogCumsumExp, "logcumsumexp", input, dim)


def cummax(input: Tensor, dim: int) -> Extreme:
    """(values, indices): the largest element so far along `dim`, and the last index at which it occurs"""
    return _cumulative_extreme("cummax", np.maximum, input, dim)


def cummin(input: Tensor, dim: int) -> Extreme:
    """(values, indices): the smallest element so far along `dim`, and the last index at which it occurs"""
    return _cumulative_extreme("cummin", np.minimum, input, dim)


def _cumulative_extreme(op: str, ufunc: np.ufunc, input: Tensor, dim: int) -> Extreme:
    axis_index = axis(op, dim, input.array.ndim)
    if input.array.ndim == 0:
        return Extreme(clone(input), wrap(np.zeros((), int64)))
    array = input.array
    running = ufunc.accumulate(array, axis=axis_index)
    shape = [-1 if i == axis_index else 1 for i in range(array.ndim)]
    positions = np.arange(array.shape[axis_index]).reshape(shape)
    fresh = np.where((array == running) | (array != array), positions, 0)
    indices = wrap(np.maximum.accumulate(fresh, axis=axis_index))
    return Extreme(gather(input, axis_index, indices), indices)


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """n-th differences of neighbours along `dim`, after `prepend` and `append` were joined to the ends"""
    count = integer("diff", "n", n, minimum=0)
    if input.array.ndim == 0:
        raise ShapeError("diff: needs at least one axis")
    axis_index = axis("diff", dim, input.array.ndim)
    parts = [part for part in (prepend, input, append) if part is not None]
    result = cat(parts, axis_index) if len(parts) > 1 and count else input
    for _ in range(min(count, result.array.shape[axis_index])):
        size = result.array.shape[axis_index]
        later, earlier = (result.narrow(axis_index, start, size - 1) for start in (1, 0)) if size else (result, result)
        result = later ^ earlier if result.array.dtype.kind == "b" else later - earlier
    return result


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral of samples y at the points x, or `dx` apart, by the trapezoidal rule along `dim`"""
    return _trapezoids("trapezoid", y, x, dx, dim).sum(axis("trapezoid", dim, y.array.ndim))


trapz = trapezoid


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The cumulative integrals of `trapezoid`"""
    return cumsum(_trapezoids("cumulative_trapezoid", y, x, dx, dim), dim)


def _trapezoids(op: str, y: Tensor, x: Tensor | None, dx: float, dim: int) -> Tensor:
    """The area of each trapezoid between neighbouring points."""
    axis_index = axis(op, dim, y.array.ndim)
    size = y.array.shape[axis_index]
    if size == 0:
        return y.narrow(axis_index, 0, 0) * dx
    pairs = y.narrow(axis_index, 1, size - 1) + y.narrow(axis_index, 0, size - 1)
    if x is None:
        return pairs * dx / 2
    if x.array.ndim == 1 and y.array.ndim > 1:
        x = x.reshape([-1 if i == axis_index else 1 for i in range(y.array.ndim)])
    steps = diff(x, dim=axis_index - y.array.ndim)
    return pairs * steps / 2

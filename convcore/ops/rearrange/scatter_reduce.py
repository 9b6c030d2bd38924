"""Scatter with a reduction: sums, products, means and extremes of all values with the same target.

    out[i] = reduce(x[i], values[j] for all j with index[j] = i)        without x[i] if include_self is False

Gradients: for a sum, each operand gets grad_out; for a mean, grad_out over the count; for a product, grad_out times the
product of the others; for an extreme, all elements equal to it share grad_out evenly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import ShapeError
from convcore.ops.elementwise.division import div
from convcore.ops.elementwise.functions import where
from convcore.ops.elementwise.in_place import Overwrite
from convcore.ops.rearrange.scatter import Accumulate, positions_of_elements, positions_of_slices
from convcore.ops.shape.indexing import Index, frozen
from convcore.ops.shape.views import reshape

if TYPE_CHECKING:
    from convcore.tensor import Tensor

UFUNCS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


class Extremes(Function):
    """The largest (smallest) of each element of x and the values scattered to it."""

    @staticmethod
    def forward(ctx, x, values, index, ufunc):
        out = x.array.copy(order="K")
        ufunc.at(out, index, values.array)
        if True in ctx.needs_input_grad:
            ctx.index = frozen(index)
            ctx.from_x, ctx.from_values = x.array == out, values.array == out[index]
            sharing = ctx.from_x.astype(out.dtype)
            np.add.at(sharing, index, ctx.from_values.astype(out.dtype))
            ctx.share = 1 / np.maximum(sharing, 1)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        shared = grad_out * wrap(ctx.share)
        need_x, need_values = ctx.needs_input_grad[:2]
        return (
            where(wrap(ctx.from_x), shared, 0.0) if need_x else None,
            where(wrap(ctx.from_values), Index.apply(shared, ctx.index, False), 0.0) if need_values else None,
            None,
            None,
        )


class Product(Function):
    """Each element of x times the values scattered to it."""

    @staticmethod
    def forward(ctx, x, values, index):
        ctx.save_for_backward(x, values)
        ctx.index = frozen(index)
        return wrap(_multiplied(x.array, values.array, index))

    @staticmethod
    def backward(ctx, grad_out):
        """The product of the others: of the nonzero ones, times the zeros among them."""
        x, values = ctx.saved_tensors
        x_zero, values_zero = x.array == 0, values.array == 0
        zeros = x_zero.astype(np.int64)
        np.add.at(zeros, ctx.index, values_zero.astype(np.int64))
        no_zeros = [where(wrap(zero), 1.0, t) for zero, t in ((x_zero, x), (values_zero, values))]
        only_zeros = [where(wrap(zero), t, 0.0) for zero, t in ((x_zero, x), (values_zero, values))]
        rest = grad_out * Product.apply(*no_zeros, ctx.index)
        total = Accumulate.apply(*only_zeros, ctx.index)

        def of_others(own: int, is_zero: np.ndarray, count: np.ndarray, rest: Tensor, total: Tensor) -> Tensor:
            left = count - is_zero  # zeros among the others; a single one equals the sum of the zeros
            product = rest / no_zeros[own]
            with_zero = where(wrap(left == 1), product * (total - only_zeros[own]), 0.0)
            return where(wrap(left == 0), product, with_zero)

        grad_x = grad_values = None
        if ctx.needs_input_grad[0]:
            grad_x = of_others(0, x_zero, zeros, rest, total)
        if ctx.needs_input_grad[1]:
            rest, total = (Index.apply(t, ctx.index, False) for t in (rest, total))
            grad_values = of_others(1, values_zero, zeros[ctx.index], rest, total)
        return grad_x, grad_values, None


def _multiplied(x: np.ndarray, values: np.ndarray, index: Any) -> np.ndarray:
    out = x.copy(order="K")
    (np.logical_and if out.dtype.kind == "b" else np.multiply).at(out, index, values)
    return out


def _reduced(op: str, x: Any, values: Any, index: tuple[Any, ...], reduce: str, include_self: bool) -> Tensor:
    dtype = x.array.dtype
    if not include_self:  # the neutral element of the reduction replaces x; its gradient is 0
        highest: Any = dtype.kind == "b" or (np.inf if dtype.kind == "f" else np.iinfo(dtype).max)
        lowest: Any = False if dtype.kind == "b" else -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
        neutral = {"prod": 1, "amax": lowest, "amin": highest}.get(reduce, 0)
        x = Overwrite.apply(x, wrap(np.asarray(neutral, dtype)), index, False, op)
    if reduce == "prod":
        return Product.apply(x, values, index)
    if reduce in ("amax", "amin"):
        return Extremes.apply(x, values, index, UFUNCS[reduce])
    total = Accumulate.apply(x, values, index)
    if reduce == "sum":
        return total
    counts = np.full(x.array.shape, int(include_self))
    np.add.at(counts, index, 1)
    divisor = wrap(np.maximum(counts, 1).astype(dtype))
    return total / divisor if dtype.kind == "f" else div(total, divisor, rounding_mode="floor")


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """The input with the elements of `src` reduced into the positions `index` along `dim`.

    Args:
        input, dim, index, src: as in `scatter`.
        reduce: "sum", "prod", "mean", "amax" or "amin".
        include_self: whether the reduction includes the input's element at the position.
    """
    _require_reduction("scatter_reduce", reduce, "sum", "prod", "mean", "amax", "amin")
    x, values, positions = positions_of_elements("scatter_reduce", input, dim, index, src)
    if positions[0].size == 0:
        return input.clone()
    result = _reduced("scatter_reduce", x, values, positions, reduce, include_self)
    return reshape(result, input.array.shape)


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """The input with the slices of `source` reduced into the positions `index`, a vector, along `dim`.

    Args:
        input, dim, index, source: as in `index_add`.
        reduce: "prod", "mean", "amax" or "amin".
        include_self: whether the reduction includes the input's slice at the position.
    """
    _require_reduction("index_reduce", reduce, "prod", "mean", "amax", "amin")
    x, values, positions = positions_of_slices("index_reduce", input, dim, index, source)
    if positions[-1].size == 0:
        return input.clone()
    result = _reduced("index_reduce", x, values, positions, reduce, include_self)
    return reshape(result, input.array.shape)


def _require_reduction(op: str, reduce: Any, *known: str) -> None:
    if reduce not in known:
        raise ShapeError(f"{op}: reduce must be one of {', '.join(map(repr, known))}, got {reduce!r}")

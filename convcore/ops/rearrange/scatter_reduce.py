"""Values reduced into places: sums, products, means and extremes of all that an index sends to the same place.

    out[i] = reduce(x[i], values[j] for all j with place[j] = i)        without x[i] where include_self is False

Gradients: of a sum each part gets grad_out, of a mean its share, of a product grad_out times the product of the others,
and of an extreme all that equal it share grad_out evenly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import ShapeError
from convcore.ops.elementwise.division import div
from convcore.ops.elementwise.functions import where
from convcore.ops.elementwise.in_place import Overwrite
from convcore.ops.rearrange.scatter import Accumulate, places_of_elements, places_of_slices
from convcore.ops.shape.indexing import Index, frozen
from convcore.ops.shape.views import reshape

if TYPE_CHECKING:
    from convcore.tensor import Tensor

UFUNCS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


class Extremes(Function):
    """x with at each place the largest (smallest) of its element and the values that the index sends there."""

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
    """x times the values that the index sends to each place."""

    @staticmethod
    def forward(ctx, x, values, index):
        ctx.save_for_backward(x, values)
        ctx.index = frozen(index)
        return wrap(_multiplied(x.array, values.array, index))

    @staticmethod
    def backward(ctx, grad_out):
        """The product of the others: of those that are not 0, times those that are."""
        x, values = ctx.saved_tensors
        x_zero, values_zero = x.array == 0, values.array == 0
        zeros = x_zero.astype(np.int64)
        np.add.at(zeros, ctx.index, values_zero.astype(np.int64))
        no_zeros = [where(wrap(zero), 1.0, t) for zero, t in ((x_zero, x), (values_zero, values))]
        only_zeros = [where(wrap(zero), t, 0.0) for zero, t in ((x_zero, x), (values_zero, values))]
        rest = grad_out * Product.apply(*no_zeros, ctx.index)
        total = Accumulate.apply(*only_zeros, ctx.index)

        def of_others(own: int, is_zero: np.ndarray, count: np.ndarray, rest: Tensor, total: Tensor) -> Tensor:
            left = count - is_zero  # how many of the others are 0; where that is one, their sum is their product
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
    if not include_self:  # the element that changes nothing, whose gradient is 0
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
    """The input with the elements of `src` reduced into the places `index` along `dim`.

    Args:
        input, dim, index, src: as of `scatter`.
        reduce: "sum", "prod", "mean", "amax" or "amin".
        include_self: whether the input's own element at such a place takes part.
    """
    _require_reduction("scatter_reduce", reduce, "sum", "prod", "mean", "amax", "amin")
    x, values, places = places_of_elements("scatter_reduce", input, dim, index, src)
    if places[0].size == 0:
        return input.clone()
    result = _reduced("scatter_reduce", x, values, places, reduce, include_self)
    return reshape(result, input.array.shape)


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """The input with the slices of `source` reduced into the places `index`, a vector, along `dim`.

    Args:
        input, dim, index, source: as of `index_add`.
        reduce: "prod", "mean", "amax" or "amin".
        include_self: whether the input's own slice at such a place takes part.
    """
    _require_reduction("index_reduce", reduce, "prod", "mean", "amax", "amin")
    x, values, places = places_of_slices("index_reduce", input, dim, index, source)
    if places[-1].size == 0:
        return input.clone()
    result = _reduced("index_reduce", x, values, places, reduce, include_self)
    return reshape(result, input.array.shape)


def _require_reduction(op: str, reduce: Any, *known: str) -> None:
    if reduce not in known:
        raise ShapeError(f"{op}: reduce must be one of {', '.join(map(repr, known))}, got {reduce!r}")

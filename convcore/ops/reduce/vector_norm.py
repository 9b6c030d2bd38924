"""Vector norms: ||x||_p = (sum of |x|^p)^(1/p), and distances as norms of differences.

    p = inf  the largest |x|       p = -inf  the smallest       p = 0  the number of elements that are not 0

Where a norm is 0, the gradient is 0, too, as in torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from convcore.errors import ShapeError, UnsupportedError
from convcore.ops.core.axes import axis
from convcore.ops.core.dtypes import convert, element_type, floating, require_floating
from convcore.ops.elementwise.arithmetic import pow, square, sub
from convcore.ops.elementwise.comparison import isnan
from convcore.ops.elementwise.functions import abs, sign, sqrt, where
from convcore.ops.reduce.functions import Dims, amax, amin, sum

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def vector_norm(x: Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The norm of order `ord` along the axes `dim`, or of all elements"""
    x = floating("vector_norm", x) if dtype is None else convert(x, element_type("vector_norm", dtype))
    require_floating("vector_norm", x)
    if ord == math.inf:
        return amax(abs(x), dim, keepdim)
    if ord == -math.inf:
        return amin(abs(x), dim, keepdim)
    if ord == 0:
        return sum(abs(sign(where(isnan(x), 1.0, x))), dim, keepdim)
    if ord == 1:
        return sum(abs(x), dim, keepdim)
    total = sum(square(x) if ord == 2 else _power(abs(x), ord), dim, keepdim)
    zero = total == 0
    if ord < 0:
        if x.array.size == 0 < total.array.size:
            raise ShapeError(f"vector_norm: p = {ord} needs at least one element, got shape {x.array.shape}")
        return pow(total, 1 / ord)
    safe = where(zero, 1.0, total)
    return where(zero, 0.0, sqrt(safe) if ord == 2 else pow(safe, 1 / ord))


def _power(size: Tensor, ord: float) -> Tensor:
    """size^ord; the gradient at 0 is 0, even where the derivative is infinite."""
    if ord >= 1:
        return pow(size, ord)
    zero = size == 0
    return where(zero, 0.0 if ord > 0 else math.inf, pow(where(zero, 1.0, size), ord))


def norm(
    input: Tensor, p: float | str | None = "fro", dim: Dims = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The p-norm along the axes `dim`, or of all elements; p="fro" is the root of the sum of squares"""
    if p == "nuc":
        raise UnsupportedError("norm: the nuclear norm needs singular values, which convcore does not compute")
    if isinstance(p, str) and p != "fro":
        raise ShapeError(f'norm: p must be a number or "fro", got {p!r}')
    require_floating("norm", input)
    return vector_norm(input, 2 if p is None or isinstance(p, str) else p, dim, keepdim, dtype=dtype)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """The slices along the axis `dim`, scaled down where their p-norm is above maxnorm"""
    require_floating("renorm", input)
    if input.array.ndim < 2 or not p > 0 or maxnorm < 0:
        raise ShapeError(
            f"renorm: needs 2 or more axes, p > 0 and maxnorm >= 0, got shape {input.array.shape}, p={p}, "
            f"maxnorm={maxnorm}"
        )
    axis_index = axis("renorm", dim, input.array.ndim)
    others = [i for i in range(input.array.ndim) if i != axis_index]
    size = vector_norm(input, p, others, keepdim=True)
    return input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other, with broadcasting"""
    return vector_norm(sub(input, other), p)

"""Norms of vectors, distances and angles between them.

    ||x||_p = (sum_k |x[k]|^p)^(1/p);   p = inf: the largest |x[k]|, p = -inf: the smallest, p = 0: the nonzero count

The gradient of a norm, for a finite p other than 0, is

    d ||x||_p / d x[k] = sign(x[k]) * (|x[k]| / ||x||_p)^(p - 1)

and 0 where x is 0: the norm is not differentiable there, and 0 is one of the subgradients.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import require_tensors
from convcore.ops.core.axes import axis
from convcore.ops.core.broadcast import check_broadcast
from convcore.ops.core.dtypes import as_tensors, require_floating, result_type

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def vector_norm(x: Tensor, p: float, dim: int, keepdim: bool = False) -> Tensor:
    """||x||_p along one axis; the gradient at a zero vector is 0."""
    size = x.abs()
    if p == 0:
        return (x != 0).to(x.array.dtype).sum(dim, keepdim) + (x * 0).sum(dim, keepdim)
    if math.isinf(p):
        return size.amax(dim, keepdim) if p > 0 else size.amin(dim, keepdim)
    if p == 1:
        return size.sum(dim, keepdim)
    if p == 2:
        return _root((x * x).sum(dim, keepdim), 0.5)
    # |x|^(p - 1) has no finite derivative at 0 for p < 2, so zeros are replaced by 1 and the term is masked out.
    nonzero = size != 0
    terms = (size.where(nonzero, 1.0) ** p).where(nonzero, 0.0 if p > 0 else math.inf)
    return _root(terms.sum(dim, keepdim), 1 / p)


def _root(total: Tensor, exponent: float) -> Tensor:
    """total^exponent; at 0 the value and the gradient are 0."""
    nonzero = total != 0
    base = total.where(nonzero, 1.0)
    power = base.sqrt() if exponent == 0.5 else base**exponent
    return power.where(nonzero, 0.0 if exponent > 0 else math.inf)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The distance ||x1 - x2 + eps||_p of vectors.

    Args:
        x1, x2: (..., D), which broadcast against each other.
        p: which norm.
        eps: added to every difference, so that equal vectors have a gradient.
        keepdim: keep the last axis, with length 1.

    Returns:
        (...), or (..., 1) with `keepdim`.

    Raises:
        ShapeError: the shapes do not broadcast.
    """
    require_tensors("pairwise_distance", x1=x1, x2=x2)
    if x1.array.ndim == 0 and x2.array.ndim == 0:
        raise ShapeError("pairwise_distance: x1 or x2 must have an axis along which to measure, got two scalars")
    check_broadcast("pairwise_distance", x1, x2, names=("x1", "x2"))
    difference = x1 - x2
    return vector_norm(difference.to(result_type("pairwise_distance", difference, 1.0)) + eps, p, -1, keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The distances between all pairs of rows, without eps.

    Args:
        input: (N, D).
        p: which norm, from 0 to inf.

    Returns:
        (N * (N - 1) / 2,): rows 0 and 1, 0 and 2, .., 1 and 2, ..

    Raises:
        ShapeError: input is not a matrix, or p is negative.
    """
    require_floating("pdist", input)
    if input.array.ndim != 2:
        raise ShapeError(f"pdist: input must have 2 axes (N, D), got shape {input.array.shape}")
    if p < 0:
        raise ShapeError(f"pdist: p must be at least 0, got {p}")
    first, second = (wrap(index) for index in np.triu_indices(len(input.array), 1))
    if input.array.shape[1] == 0:
        return wrap(np.zeros(len(first), input.array.dtype)) + input.sum()
    return vector_norm(input[first] - input[second], p, 1)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The distances between all rows of two matrices, or of batches of them.

    Args:
        x1: (.., P, D).
        x2: (.., R, D), with batch axes that broadcast against those of x1.
        p: which norm, from 0 to inf.
        compute_mode: accepted for compatibility with torch, without effect: differences are always computed, because
            a matrix product is less exact.

    Returns:
        (.., P, R).

    Raises:
        ShapeError: fewer than two axes, different D, or p is negative.
    """
    require_floating("cdist", x1, "x1")
    require_floating("cdist", x2, "x2")
    if x1.array.ndim < 2 or x2.array.ndim < 2 or x1.array.shape[-1] != x2.array.shape[-1]:
        raise ShapeError(
            f"cdist: x1 (.., P, D) and x2 (.., R, D) must have one D, got shapes {x1.array.shape}, {x2.array.shape}"
        )
    if p < 0:
        raise ShapeError(f"cdist: p must be at least 0, got {p}")
    difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if x1.array.shape[-1] == 0:
        return difference.sum(-1)
    return vector_norm(difference, p, -1)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors: the dot product of the normalised vectors.

    Args:
        x1, x2: tensors of float32 or float64 that broadcast against each other.
        dim: the axis of the vectors' components.
        eps: the smallest divisor.

    Returns:
        The broadcast shape without axis `dim`.

    Raises:
        ShapeError: the shapes do not broadcast, or there is no axis `dim`.
        DTypeError: both are integers.
    """
    require_tensors("cosine_similarity", x1=x1, x2=x2)
    dtype = result_type("cosine_similarity", x1, x2)
    if dtype.kind != "f":
        raise DTypeError(f"cosine_similarity: x1 or x2 must be float32 or float64, got {x1.array.dtype} for both")
    check_broadcast("cosine_similarity", x1, x2, names=("x1", "x2"))
    shape = np.broadcast_shapes(x1.array.shape, x2.array.shape)
    axis_index = axis("cosine_similarity", dim, len(shape))
    x1, x2 = (x.expand(shape) for x in as_tensors("cosine_similarity", x1, x2, dtype=dtype))
    if not shape:
        x1, x2 = x1.reshape(1), x2.reshape(1)
    x1, x2 = (x / vector_norm(x, 2, axis_index, keepdim=True).clamp(min=eps) for x in (x1, x2))
    return (x1 * x2).sum(axis_index)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """Divide vectors by their norm, so that it becomes 1.

    Args:
        input: a tensor of any shape, float32 or float64.
        p: which norm.
        dim: the axis of the vectors' components.
        eps: the smallest divisor.
        out: a tensor to write the result into, outside of the graph.
    """
    require_floating("normalize", input)
    axis_index = axis("normalize", dim, input.array.ndim)
    vectors = input if input.array.ndim else input.reshape(1)
    result = (vectors / vector_norm(vectors, p, axis_index, keepdim=True).clamp(min=eps)).reshape(input.array.shape)
    return result if out is None else out.copy_(result)

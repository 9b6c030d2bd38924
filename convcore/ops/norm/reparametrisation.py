"""Reparametrised weights: by length and direction, or divided by the largest singular value.

weight norm     w = g * v / ||v||         a length g for every output (or one for all) and a direction v
                Source: Salimans & Kingma, "Weight Normalization" (2016), equation 2.
spectral norm   w = v / sigma(v)          sigma(V) = max over x of ||V x|| / ||x||, with v as a matrix V that has a row
                for every output. Source: Miyato et al., "Spectral Normalization for GANs" (2018), section 2.1.

sigma is computed by power iteration: repeat u <- V r / ||V r||, r <- V^T u / ||V^T u||; then u^T V r converges to
sigma. A weight changes little in a training step, so one iteration from the last u and r is enough. The gradient
treats u and r as constants: at the maximum, the derivative of sigma with respect to them is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import wrap
from convcore.errors import ShapeError
from convcore.ops.core.arguments import check_float_tensors, integer
from convcore.ops.core.axes import axis
from convcore.ops.reduce.vector_norm import vector_norm

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Tensor:
    """The norm of each slice of v along the axis `dim`, with the other axes of length 1; dim=-1: the norm of v."""
    check_float_tensors("norm_except_dim", v=v)
    if dim == -1:
        return vector_norm(v, pow)
    kept = axis("norm_except_dim", dim, v.array.ndim)
    if v.array.ndim < 2:  # no other axes: every element is a slice
        return v.abs()
    return vector_norm(v, pow, [i for i in range(v.array.ndim) if i != kept], keepdim=True)


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """The weight of direction v and lengths g: g * v / ||v||, with the norms of `norm_except_dim`."""
    check_float_tensors("weight_norm", v=v, g=g)
    return v * (g / norm_except_dim(v, 2, dim))


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """A weight as a matrix: the axis `dim` becomes the rows, all others the columns."""
    axis_index = axis("spectral_norm", dim, weight.array.ndim)
    if weight.array.ndim < 2 or weight.array.size == 0:
        raise ShapeError(f"spectral_norm: the weight must have 2 or more axes, none empty, got {weight.array.shape}")
    return weight.movedim(axis_index, 0).flatten(1)


def power_iterations(matrix: Tensor, u: Tensor, v: Tensor, count: int, eps: float) -> None:
    """Move u (rows,) and v (columns,) towards the singular vectors of the largest singular value, in place, v first."""
    values = matrix.array
    for _ in range(integer("spectral_norm", "n_power_iterations", count, 0)):
        for vector, moved in ((v, lambda: values.T @ u.array), (u, lambda: values @ v.array)):
            product = moved()
            vector.before_write()[...] = product / max(float(np.linalg.norm(product)), eps)
            vector.mark_changed()


def spectral_norm(weight: Tensor, u: Tensor, v: Tensor, dim: int = 0) -> Tensor:
    """The weight over u^T W v, the largest singular value if u and v are its singular vectors."""
    rows, columns = wrap(u.array.copy()), wrap(v.array.copy())  # backward needs them; the next step changes u and v
    sigma = rows @ (as_matrix(weight, dim) @ columns)
    return weight / sigma

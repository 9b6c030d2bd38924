"""Gradient clipping: gradients may explode, since every layer multiplies them (Pascanu et al. 2013)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore.autograd import wrap
from convcore.errors import GraphError, ShapeError
from convcore.tensor import Tensor


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Any]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of all tensors.

    Args:
        tensors: one tensor or several.
        norm_type: the p of the norm; inf is the largest absolute value.
        error_if_nonfinite: raise an error if the norm is infinite or NaN.
        foreach: accepted for compatibility with torch, without effect.

    Raises:
        GraphError: the norm is not finite and error_if_nonfinite is set.
    """
    norms = [np.linalg.norm(t.array.ravel().astype(np.float64), norm_type) for t in _listed(tensors) if t.array.size]
    dtype = np.result_type(*[t.array.dtype for t in _listed(tensors)] or [np.float32])
    total = np.asarray(np.linalg.norm(np.array(norms), norm_type) if norms else 0.0, dtype)
    if error_if_nonfinite and not np.isfinite(total):
        raise GraphError(
            f"get_total_norm: the norm of order {norm_type} is {total}; error_if_nonfinite=False clips all the same"
        )
    return wrap(total)


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """If total_norm, the norm of the gradients, exceeds max_norm, scale them down to it in place."""
    share = float(max_norm) / (float(total_norm) + 1e-6)
    factor = share if math.isnan(share) else min(share, 1.0)
    for gradient in _gradients(parameters):
        gradient.detach().mul_(factor)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by one factor, in place, so that their total norm is at most max_norm.

    Args:
        parameters: one or several tensors; those without a gradient are skipped.
        max_norm: the largest total norm that is left unchanged.
        norm_type, error_if_nonfinite, foreach: as for `get_total_norm`.

    Returns:
        The total norm before clipping.
    """
    parameters = _listed(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Clip every element of the gradients to +-clip_value, in place."""
    if clip_value < 0:
        raise ShapeError(f"clip_grad_value_: clip_value must be at least 0, got {clip_value}")
    for gradient in _gradients(parameters):
        gradient.detach().clamp_(min=-float(clip_value), max=float(clip_value))

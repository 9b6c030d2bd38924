"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from convcore.errors import ShapeError
from convcore.ops.shape.joining import cat
from convcore.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters, concatenated into a 1-D tensor; differentiable."""
    return cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make the parameters views of a vector, in the order of `parameters_to_vector`.

    Raises:
        ShapeError: the vector has fewer elements than all parameters together.
    """
    listed = list(parameters)
    needed = sum([parameter.numel() for parameter in listed])
    if vec.array.ndim != 1 or vec.numel() < needed:
        raise ShapeError(f"vector_to_parameters: needs a vector of {needed} elements, got shape {tuple(vec.shape)}")
    start = 0
    for parameter in listed:
        end = start + parameter.numel()
        parameter.data = vec.detach()[start:end].reshape(parameter.shape)
        start = end

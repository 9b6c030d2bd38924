"""Instance norm and local response norm, composed of other operations.

instance_norm         batch norm of the batch (1, N * C, ...): every channel of every image has its own statistics
                      (Ulyanov et al. 2016)
local_response_norm   x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta
                      (Krizhevsky et al. 2012, section 3.3)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import wrap
from convcore.errors import ShapeError, array_table
from convcore.ops.core.arguments import check_float_tensors, integer
from convcore.ops.core.dtypes import floating, require_tensor
from convcore.ops.elementwise.in_place import copy_
from convcore.ops.norm.batch_norm import normalise_channels, of_nothing
from convcore.ops.shape.joining import cat

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every channel of every image over its positions.

    Args:
        input: (N, C, L), (N, C, H, W) or more axes of positions; float32 or float64.
        running_mean, running_var: (C,) statistics of earlier batches, which move towards the mean over the images; or
            None.
        weight, bias: (C,), or None for 1 and 0.
        use_input_stats: False normalises with the running statistics.
        momentum: the share of the batch in the new running statistics.
        eps: added to the variance.

    Raises:
        ShapeError: a size does not match, or a channel has only one position, which has no variance.
        DTypeError: the tensors are not all float32 or all float64.
    """
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    check_float_tensors("instance_norm", input=input, **given)
    shape = input.array.shape
    if len(shape) < 2:
        raise ShapeError(f"instance_norm: input must have the shape (N, C, ...), got {shape}")
    if use_input_stats and math.prod(shape[2:]) == 1:
        raise ShapeError(f"instance_norm: Expected more than 1 spatial element when training, got input size {shape}")
    if not use_input_stats and (running_mean is None or running_var is None):
        raise ShapeError("instance_norm: use_input_stats=False needs running_mean and running_var; give both")
    if 0 in shape:
        return of_nothing(input, weight, bias)
    for name, tensor in given.items():
        if tensor is not None and tensor.array.shape != (shape[1],):
            table = array_table([("input", input.array, "N, C, ..."), (name, tensor.array, "C")])
            raise ShapeError(f"instance_norm: {name} must have one element for each of {shape[1]} channels\n{table}")
    if not use_input_stats:
        return normalise_channels(input, running_mean, running_var, weight, bias, False, momentum, eps)
    running = [None if t is None else wrap(np.tile(t.array, shape[0])) for t in (running_mean, running_var)]
    scales = [None if t is None else t.expand(shape[:2]).reshape(-1) for t in (weight, bias)]
    images = input.reshape(1, -1, *shape[2:])
    out = normalise_channels(images, running[0], running[1], scales[0], scales[1], True, momentum, eps)
    for own, moved in zip((running_mean, running_var), running, strict=True):
        if own is not None and moved is not None:
            copy_(own, wrap(moved.array.reshape(shape[:2]).mean(0)))
    return out.reshape(shape)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide by a power of the mean square over neighbouring channels.

    Args:
        input: (N, C, ...) with one or more axes of positions; integers are converted to float32.
        size: the number of neighbouring channels, size // 2 of them before a channel; missing ones count as 0.
        alpha, beta, k: input / (k + alpha * mean)^beta.

    Raises:
        ShapeError: input has fewer than three axes, or size is not positive.
    """
    require_tensor("local_response_norm", "input", input)
    width, shape = integer("local_response_norm", "size", size, 1), input.array.shape
    if len(shape) < 3:
        raise ShapeError(f"local_response_norm: input must have 3 or more axes (N, C, ...), got shape {shape}")
    if input.array.size == 0:
        return input.clone()
    input = floating("local_response_norm", input)
    before, channels = width // 2, shape[1]
    zeros = [wrap(np.zeros((shape[0], n, *shape[2:]), input.array.dtype)) for n in (before, width - 1 - before)]
    squares = cat([zeros[0], input * input, zeros[1]], 1)
    total = squares[:, :channels]
    for start in range(1, width):
        total = total + squares[:, start : start + channels]
    return input / (total * (alpha / width) + k) ** beta

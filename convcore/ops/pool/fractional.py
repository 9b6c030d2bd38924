"""Max pooling to any output size: windows of one size at pseudorandom positions.

With alpha = (in - k) / (out - 1) and a random u in [0, 1] for each channel of each image and each axis, window i along
an axis starts at floor((i + u) * alpha) - floor(u * alpha), and the last one ends at the border.

Source: B. Graham, "Fractional Max-Pooling" (2014), section 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import AXIS_NAMES, check_float_tensors, numbers
from convcore.ops.create.sampling import rand
from convcore.ops.shape.indexing import gather

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    output_size: int | Sequence[int] | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest value of windows at pseudorandom positions.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        kernel_size: (height, width) of the windows.
        output_size: (height, width) of the result, or
        output_ratio: the ratio of the output size to the input size, below 1.
        return_indices: also return the index h * W + w of each value in its image; int64.
        _random_samples: (N, C, 2) values u from 0 to 1 for width and height; random by default.

    Raises:
        ShapeError: neither or both of output_size and output_ratio, or too many or too large windows for the input.
    """
    settings = kernel_size, output_size, output_ratio, return_indices, _random_samples
    return _pool("fractional_max_pool2d", 2, input, *settings)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    output_size: int | Sequence[int] | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """`fractional_max_pool2d` for volumes (N, C, D, H, W); the random samples are for depth, height and width."""
    settings = kernel_size, output_size, output_ratio, return_indices, _random_samples
    return _pool("fractional_max_pool3d", 3, input, *settings)


def _pool(op: str, rank: int, input: Tensor, kernel_size: Any, size: Any, ratio: Any, indices: bool, given: Any) -> Any:
    check_float_tensors(op, input=input)
    if input.array.ndim not in (rank + 1, rank + 2) or 0 in input.array.shape[-rank - 1 :]:
        letters = ", ".join(("D", "H", "W")[-rank:])
        raise ShapeError(f"{op}: input must be (N, C, {letters}) or (C, {letters}), got shape {input.array.shape}")
    x = input if input.array.ndim == rank + 2 else input.unsqueeze(0)
    kernel = numbers(op, "kernel_size", kernel_size, 1, rank)
    batch, channels, *sizes = x.array.shape
    wanted = _output_size(op, rank, sizes, size, ratio)
    for name, have, k, out in zip(AXIS_NAMES[rank], sizes, kernel, wanted, strict=True):
        if out + k - 1 > have:
            raise ShapeError(f"{op}: {out} windows of {k} do not fit into a {name} of {have}: out + k - 1 must fit")
    samples = rand(batch, channels, rank, dtype=x.array.dtype) if given is None else given
    if not isinstance(samples, Variable) or samples.array.dtype != x.array.dtype:
        raise DTypeError(f"{op}: _random_samples must be a tensor of {x.array.dtype}")
    if samples.array.ndim != 3 or samples.array.shape[1:] != (channels, rank) or len(samples.array) < batch:
        raise ShapeError(f"{op}: _random_samples must be ({batch}, {channels}, {rank}), got {samples.array.shape}")
    order = (1, 0) if rank == 2 else (0, 1, 2)  # for images, torch's samples have the width first
    starts = [
        _windows(samples.array[:batch, :, order[i]], have, k, out)
        for i, (have, k, out) in enumerate(zip(sizes, kernel, wanted, strict=True))
    ]
    flat = x.reshape(batch, channels, math.prod(sizes))
    where = _largest(flat.array, starts, sizes, kernel, wanted)
    out = gather(flat, 2, wrap(where)).reshape(batch, channels, *wanted)
    found = [out, wrap(where.reshape(batch, channels, *wanted))]
    if x is not input:
        found = [t.squeeze(0) for t in found]
    return tuple(found) if indices else found[0]


def _output_size(op: str, rank: int, sizes: list[int], size: Any, ratio: Any) -> tuple[int, ...]:
    if (size is None) == (ratio is None):
        raise ShapeError(f"{op}: give either output_size or output_ratio, got {size!r} and {ratio!r}")
    if size is not None:
        return numbers(op, "output_size", size, 1, rank)
    ratios = list(ratio) if isinstance(ratio, Sequence) else [ratio] * rank
    if len(ratios) != rank or not all(0 < r < 1 for r in ratios):
        raise ShapeError(f"{op}: output_ratio must be between 0 and 1, one or {rank} numbers, got {ratio!r}")
    return numbers(op, "output_size", [int(s * r) for s, r in zip(sizes, ratios, strict=True)], 1, rank)


def _windows(samples: np.ndarray, have: int, k: int, out: int) -> np.ndarray:
    """The starts of the windows along an axis: (N, C, out)."""
    starts = np.full((*samples.shape, out), have - k)
    if out > 1:
        alpha = samples.dtype.type((have - k) / (out - 1))
        shift = samples[..., None]
        steps = np.arange(out - 1, dtype=samples.dtype)
        starts[..., :-1] = ((steps + shift) * alpha).astype(np.int64) - (shift * alpha).astype(np.int64)
    return starts


def _largest(flat: np.ndarray, starts: list[np.ndarray], sizes: list[int], kernel: Any, wanted: Any) -> np.ndarray:
    """The index of each window's largest value in the flattened image, the first of several; NaN is the largest."""
    batch, channels, _ = flat.shape
    rank = len(sizes)
    where: Any = np.zeros((batch, channels, *[1] * (2 * rank)), np.int64)
    for axis in range(rank):  # the axes of `where`: all outputs, then all taps
        outputs = starts[axis].reshape(batch, channels, *[wanted[i] if i == axis else 1 for i in range(2 * rank)])
        taps = np.arange(kernel[axis]).reshape([-1 if i == rank + axis else 1 for i in range(2 * rank)])
        where = where + (outputs + taps) * math.prod(sizes[axis + 1 :])
    where = where.reshape(batch, channels, math.prod(wanted), math.prod(kernel))
    rows = where.reshape(batch, channels, math.prod(where.shape[2:]))
    values = np.take_along_axis(flat, rows, 2).reshape(where.shape)
    best = np.argmax(values, axis=-1)  # NumPy's argmax, too, treats NaN as the largest
    return np.take_along_axis(where, best[..., None], -1)[..., 0]

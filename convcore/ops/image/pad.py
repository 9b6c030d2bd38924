"""Padding: new values around a tensor; negative sizes crop.

    constant   a number
    reflect    ... 3 2 1 [0 1 2 3] 2 1 0 ...     mirrored at the outermost value, which is not repeated
    replicate  ... 0 0 0 [0 1 2 3] 3 3 3 ...     the outermost value repeated
    circular   ... 1 2 3 [0 1 2 3] 0 1 2 ...     periodic

The gradient of constant padding is the same padding with the opposite sizes: it crops the border, and pads cropped
values with zeros. The other modes copy values of the tensor, and the gradients of all copies are summed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Function, Variable, wrap
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.ops.core.arguments import integer
from convcore.ops.core.layout import inverse, memory_order
from convcore.ops.image.resample import AxisMap, ResampleAxis, axis_map

if TYPE_CHECKING:
    from convcore.tensor import Tensor

Pairs = tuple[tuple[int, int], ...]
MODES = ("constant", "reflect", "replicate", "circular")


class PadConstant(Function):
    """`value` around x: (before, after) for each axis; negative sizes crop."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pairs: Pairs, value: float):
        ctx.pairs = pairs
        array, order = x.array, memory_order(x.array)
        shape = [size + before + after for size, (before, after) in zip(array.shape, pairs, strict=True)]
        out = memory.empty([shape[axis] for axis in order], array.dtype).transpose(inverse(order))
        out[...] = value
        inside = [slice(max(b, 0), size - max(a, 0)) for size, (b, a) in zip(out.shape, pairs, strict=True)]
        kept = [slice(max(-b, 0), size - max(-a, 0)) for size, (b, a) in zip(array.shape, pairs, strict=True)]
        out[tuple(inside)] = array[tuple(kept)]
        return wrap(out)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        return PadConstant.apply(grad_out, tuple([(-before, -after) for before, after in ctx.pairs]), 0.0), None, None


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Pad a tensor.

    Args:
        input: with mode "constant" any tensor; with the others series (N, C, L), images (N, C, H, W) or volumes
            (N, C, D, H, W), also without N.
        pad: the numbers of values before and after the last axis, then before and after the axis before it, and so on;
            negative numbers crop. Modes other than "constant" take one pair for each of L, or H and W, or D, H and W.
        mode: "constant", "reflect", "replicate" or "circular"; see above.
        value: the value of a constant border; 0 by default.

    Raises:
        ShapeError: an odd number of sizes, too many sizes, or a tensor too small for the border.
        UnsupportedError: an unknown mode, or a value with a mode other than "constant".
        DTypeError: the input is not a tensor, or a size is not an integer.
    """
    if not isinstance(input, Variable):
        raise DTypeError(f"pad: input must be a tensor, got {type(input).__name__}; convcore.tensor(...) makes one")
    sizes = [integer("pad", f"pad[{i}]", size, minimum=np.iinfo(np.int64).min) for i, size in enumerate(pad)]
    ndim, count = len(input.shape), len(sizes) // 2
    if len(sizes) % 2 or count > ndim:
        raise ShapeError(
            f"pad: pad must hold two sizes for each of at most {ndim} axes, the last axis first, got {len(sizes)} "
            f"sizes for shape {tuple(input.shape)}"
        )
    if mode not in MODES:
        raise UnsupportedError(f"pad: mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    pairs: Pairs = ((0, 0),) * (ndim - count) + tuple(
        [(sizes[2 * i], sizes[2 * i + 1]) for i in reversed(range(count))]
    )
    least = 0 if mode == "constant" else 1
    for axis, (before, after) in enumerate(pairs):
        if input.shape[axis] + min(before, 0) + min(after, 0) < 0:
            raise ShapeError(
                f"pad: ({before}, {after}) cuts off more than the {input.shape[axis]} values of axis {axis}"
            )
        size = input.shape[axis] + before + after
        if size < least and (before or after):
            raise ShapeError(
                f"pad: axis {axis} of size {input.shape[axis]} with {before} and {after} more would have size {size}, "
                f"it must have at least {least}; input has shape {tuple(input.shape)}"
            )
    if mode == "constant":
        return PadConstant.apply(input, pairs, 0 if value is None else value)
    if value:
        raise UnsupportedError(f"pad: mode {mode!r} takes no value, got {value!r}; only 'constant' does")
    return _pad_with_values(input, pairs, count, mode)


def _pad_with_values(input: Tensor, pairs: Pairs, count: int, mode: str) -> Tensor:
    shape = tuple(input.shape)
    single = len(shape) == count + 1
    if not (1 <= count <= 3 and len(shape) in (count + 1, count + 2)):
        raise ShapeError(
            f"pad: mode {mode!r} takes one pair of sizes for (N, C, L), two for (N, C, H, W) or three for "
            f"(N, C, D, H, W), with or without N, got {count} for shape {shape}"
        )
    if 0 in (shape if single else shape[1:]):
        raise ShapeError(f"pad: mode {mode!r} needs an input that is empty in its batch axis at most, got {shape}")
    out = input.unsqueeze(0) if single else input
    for axis in range(2, count + 2):
        before, after = pairs[axis - 1 if single else axis]
        if before or after:
            out = ResampleAxis.apply(out, axis, _border(mode, out.shape[axis], before, after))
    return out[0] if single else out


@functools.lru_cache(maxsize=1024)
def _border(mode: str, size: int, before: int, after: int) -> AxisMap:
    """The source of each position of a padded axis."""
    positions = np.arange(-before, size + after)
    if mode == "replicate":
        return axis_map(size, positions.clip(0, size - 1))
    limit = size - 1 if mode == "reflect" else size
    if max(before, after) > limit:
        raise ShapeError(
            f"pad: mode {mode!r} can add at most {limit} values to an axis of size {size}, got {before} and {after}"
        )
    if mode == "reflect":
        return axis_map(size, size - 1 - np.abs(size - 1 - np.abs(positions)))
    kept = size + min(before, 0) + min(after, 0)  # cropped values do not wrap around
    return axis_map(size, np.arange(-max(before, 0), kept + max(after, 0)) % kept + max(-before, 0))


pad_of = pad


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """`pad` with mode "constant"."""
    return pad_of(input, pad, "constant", value)

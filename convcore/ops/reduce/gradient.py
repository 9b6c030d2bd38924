"""The gradient of a sampled function: central differences inside, one-sided differences at the ends.

At an inner point with the value y, the neighbours y- at distance p and y+ at distance q give

    y' = (y+ - y) / q * p / (p + q) + (y - y-) / p * q / (p + q)

which for p = q = h is (y+ - y-) / 2h. At an end, first order is y' = (y1 - y0) / h, and second order is the slope of
the parabola through three points. Source: B. Fornberg, "Generation of Finite Difference Formulas" (1988).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import ShapeError
from convcore.ops.core.axes import axes
from convcore.ops.core.dtypes import floating, require_tensor
from convcore.ops.shape.joining import cat

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def gradient(
    input: Tensor, *, spacing: Any = None, dim: int | Sequence[int] | None = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The derivatives along each of the axes `dim`, or all, by finite differences.

    Args:
        input: the values; at least edge_order + 1 along each axis in `dim`.
        spacing: the distance between neighbours, one number for all axes (1 by default) or one for each; or for each
            axis the coordinates of the points, a tensor of one axis.
        dim: one axis or several.
        edge_order: the order of the differences at the ends, 1 or 2.
    """
    require_tensor("gradient", "input", input)
    dims = axes("gradient", dim, input.array.ndim)
    spacing = 1.0 if spacing is None else spacing
    given = list(spacing) if isinstance(spacing, Sequence) else [spacing] * len(dims)
    if len(given) != len(dims):
        raise ShapeError(f"gradient: spacing must be one for each of {len(dims)} axes, got {len(given)}")
    if edge_order not in (1, 2):
        raise ShapeError(f"gradient: edge_order must be 1 or 2, got {edge_order}")
    x = floating("gradient", input)
    return tuple(
        [_slopes(x, axis_index, distance, edge_order) for axis_index, distance in zip(dims, given, strict=True)]
    )


def _slopes(x: Tensor, axis_index: int, spacing: Any, edge_order: int) -> Tensor:
    size = x.array.shape[axis_index]
    if size < edge_order + 1:
        raise ShapeError(
            f"gradient: input must have {edge_order + 1} or more elements on axis {axis_index}, got {size}"
        )
    if isinstance(spacing, Variable) and spacing.array.ndim:
        if spacing.array.shape != (size,):
            raise ShapeError(
                f"gradient: the positions along axis {axis_index} must be {size}, got {spacing.array.shape}"
            )
        steps = np.diff(spacing.array.astype(np.float64))
    else:
        steps = np.full(size - 1, spacing.array.item() if isinstance(spacing, Variable) else float(spacing))

    def part(start: int, count: int) -> Tensor:
        return x.narrow(axis_index, start, count)

    def along(values: np.ndarray) -> Tensor:
        shape = [-1 if i == axis_index else 1 for i in range(x.array.ndim)]
        return wrap(values.astype(x.array.dtype).reshape(shape))

    def end(first: int, second: int, third: int, near: float, far: float) -> Tensor:
        slope = (part(second, 1) - part(first, 1)) / near
        if edge_order == 1:
            return slope
        beyond = (part(third, 1) - part(second, 1)) / far
        return slope * ((2 * near + far) / (near + far)) - beyond * (near / (near + far))

    parts = [end(0, 1, min(2, size - 1), float(steps[0]), float(steps[min(1, size - 2)]))]
    if size > 2:
        before, behind = steps[:-1], steps[1:]
        earlier, here, later = (part(start, size - 2) for start in (0, 1, 2))
        total = before + behind
        parts.append(
            (later - here) * along(before / behind / total) + (here - earlier) * along(behind / before / total)
        )
    parts.append(end(size - 1, size - 2, max(size - 3, 0), -float(steps[-1]), -float(steps[max(size - 3, 0)])))
    return cat(parts, axis_index)

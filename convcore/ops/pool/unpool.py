"""Max unpooling, and pooling by norms.

    max_unpool  out[n, c, indices[n, c, o]] = input[n, c, o], and 0 elsewhere
    lp_pool     out[o] = (sum over window o of x^p)^(1/p)

Max unpooling scatters values, so the gradient gathers at the same indices; Lp pooling is average pooling of powers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import DTypeError, ShapeError, array_table
from convcore.ops.core.arguments import AXIS_NAMES, check_float_tensors, numbers
from convcore.ops.core.layout import contiguous
from convcore.ops.pool.functions import avg_pool1d, avg_pool2d, avg_pool3d
from convcore.ops.pool.geometry import IntOrSeveral

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class ScatterRows(Function):
    """Zeros (rows, size) with the values of each row written at its indices; for repeated indices the last one wins."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, indices: np.ndarray, size: int):
        ctx.indices, ctx.size = indices, size
        out = np.zeros((len(indices), size), values.array.dtype)
        np.put_along_axis(out, indices, values.array, axis=1)
        return wrap(out)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        return GatherRows.apply(grad_out, ctx.indices), None, None


class GatherRows(Function):
    """The values of each row at its indices."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, indices: np.ndarray):
        ctx.indices, ctx.size = indices, rows.array.shape[1]
        return wrap(np.take_along_axis(rows.array, indices, axis=1))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        return ScatterAddRows.apply(grad_out, ctx.indices, ctx.size), None


class ScatterAddRows(Function):
    """Zeros (rows, size) with the values of each row added at its indices."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, indices: np.ndarray, size: int):
        ctx.indices = indices
        out = np.zeros((len(indices), size), values.array.dtype)
        np.add.at(out, (np.arange(len(indices))[:, None], indices), values.array)
        return wrap(out)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        return GatherRows.apply(grad_out, ctx.indices), None, None


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Write maxima back to their positions, with zeros elsewhere.

    Args:
        input: (N, C, H, W) or (C, H, W), the maxima.
        indices: int64 of the same shape, as returned by `max_pool2d`.
        kernel_size, stride, padding: those of the pooling.
        output_size: (H_out, W_out), or the whole shape; by default (H - 1) * stride - 2 * padding + kernel_size.

    Raises:
        ShapeError: shapes differ, the output would be empty, an index is out of range, or output_size differs from the
            default by a stride or more.
        DTypeError: the input is not float, or the indices are not int64.
    """
    return _max_unpool("max_unpool2d", input, indices, kernel_size, stride, padding, output_size)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """`max_unpool2d` for (N, C, L) or (C, L)."""
    return _max_unpool("max_unpool1d", input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    padding: IntOrSeveral = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """`max_unpool2d` for (N, C, D, H, W) or (C, D, H, W)."""
    return _max_unpool("max_unpool3d", input, indices, kernel_size, stride, padding, output_size)


def _max_unpool(
    op: str,
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None,
    padding: IntOrSeveral,
    output_size: Sequence[int] | None,
) -> Tensor:
    check_float_tensors(op, input=input)
    rank, shape = int(op[-2]), tuple(input.shape)
    kernel, paddings = numbers(op, "kernel_size", kernel_size, 1, rank), numbers(op, "padding", padding, 0, rank)
    strides = kernel if stride is None else numbers(op, "stride", stride, 1, rank)
    table = array_table([("input", input, ""), ("indices", indices, "")])
    if indices.array.dtype != np.int64:
        raise DTypeError(f"{op}: indices must be int64, as pooling returns them, got {indices.array.dtype}")
    if len(shape) not in (rank + 1, rank + 2):
        raise ShapeError(f"{op}: input must have {rank + 2} axes, or {rank + 1} without a batch\n{table}")
    if shape != tuple(indices.shape):
        raise ShapeError(f"{op}: input and indices must have one shape\n{table}")
    if 0 in shape[-rank - 1 :]:
        raise ShapeError(f"{op}: input must not be empty, only its batch axis may be\n{table}")
    usual = [
        (size - 1) * step - 2 * p + k for size, step, p, k in zip(shape[-rank:], strides, paddings, kernel, strict=True)
    ]
    sizes = usual if output_size is None else [int(size) for size in output_size][-rank:]
    if output_size is not None and len(output_size) not in (rank, rank + 2, len(shape)):
        raise ShapeError(f"{op}: output_size must have {rank} sizes, or those of all axes, got {tuple(output_size)}")
    for name, size, default, step in zip(AXIS_NAMES[rank], sizes, usual, strides, strict=True):
        if output_size is not None and not default - step < size < default + step:
            raise ShapeError(
                f"{op}: output_size must lie within a stride of the usual size, "
                f"{default - step + 1} to {default + step - 1} for the {name}, got {size}"
            )
        if size < 1:
            raise ShapeError(f"{op}: the output's {name} must be at least 1, got {size}")
    rows, columns = math.prod(shape[:-rank]), math.prod(shape[-rank:])
    where = contiguous(indices.array).reshape(rows, columns)
    if where.size and not (where.min() >= 0 and where.max() < math.prod(sizes)):
        raise ShapeError(
            f"{op}: indices must lie from 0 to {math.prod(sizes) - 1} in an output of sizes {tuple(sizes)}, got "
            f"{where.min()} to {where.max()}"
        )
    return ScatterRows.apply(input.reshape(rows, columns), where, math.prod(sizes)).reshape(*shape[:-rank], *sizes)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The norm (sum of x^norm_type)^(1 / norm_type) of each window; sizes as in `avg_pool2d`, without padding."""
    return _lp_pool("lp_pool2d", avg_pool2d, 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """`lp_pool2d` for (N, C, L) or (C, L)."""
    return _lp_pool("lp_pool1d", avg_pool1d, 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrSeveral,
    stride: IntOrSeveral | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """`lp_pool2d` for (N, C, D, H, W) or (C, D, H, W)."""
    return _lp_pool("lp_pool3d", avg_pool3d, 3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(op: str, avg_pool: Any, rank: int, input: Tensor, norm_type: float, kernel_size: Any, *settings) -> Tensor:
    check_float_tensors(op, input=input)
    stride, ceil_mode = settings
    average = avg_pool(input**norm_type, kernel_size, stride, 0, ceil_mode)
    taps = math.prod(numbers(op, "kernel_size", kernel_size, 1, rank))
    return (average.sign() * average.abs().relu() * taps) ** (1.0 / norm_type)

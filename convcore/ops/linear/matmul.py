"""Matrix products and the linear layer.

    matmul  out[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]
    linear  out[..., f]    = bias[f] + sum over c of x[..., c] * weight[f, c]

The gradients, for a gradient G with respect to out (T transposes the last two axes):

    dL/da = G b^T        dL/db = a^T G         (summed over the batch axes that were broadcast)
    dL/dx = G weight     dL/dweight = G^T x    dL/dbias = the sum of G's rows

They are matrix products again, so they are written with the same operations and can be differentiated further.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Function, Variable, wrap
from convcore.errors import DTypeError, ShapeError, array_table
from convcore.ops.core.arguments import check_float_tensors
from convcore.ops.core.broadcast import unbroadcast
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters, KeptFilters
from convcore.ops.core.layout import contiguous
from convcore.ops.linear.gemm import PACKED
from convcore.ops.linear.geometry import geometry_of, geometry_of_packed
from convcore.ops.linear.skinny_gemm import has_few_rows_or_columns
from convcore.ops.linear.table import choose

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def product(
    a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None, epilogue: Epilogue = NO_EPILOGUE
) -> np.ndarray:
    """a (..., M, K) times b (..., K, N), leading axes broadcast, plus bias (N,), then the epilogue; one float dtype."""
    if epilogue.residual is not None:  # with few rows or columns, whose kernels cannot add it
        out = product(a, b, bias)
        epilogue.apply(out)
        return out
    geometry = geometry_of(a, b)
    if geometry.multiply_adds == 0:
        out = memory.empty((*geometry.batch, geometry.m, geometry.n), a.dtype)
        out[...] = 0 if bias is None else bias
        epilogue.apply(out)
        return out
    algorithm = choose(geometry)
    return algorithm.multiply(a, algorithm.prepare(b, bias), geometry, epilogue)


def rows_times_filters(rows: np.ndarray, filters: Filters, epilogue: Epilogue = NO_EPILOGUE) -> np.ndarray:
    """rows (M, C) times filters (F, C, 1, ..) transposed, plus bias, then the epilogue: (M, F).

    Filters that are kept are kept in panels: then there is nothing to pack at a call, and no reason to transpose.
    """
    (m, k), n = rows.shape, filters.count
    if not filters.are_kept or has_few_rows_or_columns(m, n) or k == 0:
        weight, bias = filters.arrays()
        return product(rows, weight.reshape(n, k).T, bias, epilogue)
    prepared = filters.prepared("panels of a matrix", lambda weight, bias: PACKED.prepare(weight.reshape(n, k).T, bias))
    rows = contiguous(rows)
    return PACKED.multiply(rows, prepared, geometry_of_packed(rows, n), epilogue)


class MatMul(Function):
    """out = a b for matrices or stacks of matrices."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor):
        wants_a, wants_b = ctx.needs_input_grad
        ctx.save_for_backward(a if wants_b else None, b if wants_a else None)
        ctx.shapes = a.array.shape, b.array.shape
        if a.array.dtype.kind != "f":
            return wrap(np.matmul(a.array, b.array))
        return wrap(product(a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        a, b = ctx.saved_tensors
        wants_a, wants_b = ctx.needs_input_grad
        grad_a = unbroadcast(matmul(grad_out, b.transpose(-1, -2)), ctx.shapes[0]) if wants_a else None
        grad_b = unbroadcast(matmul(a.transpose(-1, -2), grad_out), ctx.shapes[1]) if wants_b else None
        return grad_a, grad_b


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product with torch.matmul's rules: 1-D operands are a row or a column, leading axes broadcast."""
    if not isinstance(input, Variable) or not isinstance(other, Variable):
        raise DTypeError(
            f"matmul: both operands must be tensors, got {type(input).__name__} and {type(other).__name__}"
        )
    a, b = as_matrices("matmul", input, other)
    out = MatMul.apply(a, b)
    if b is not other:
        out = out.squeeze(-1)
    if a is not input:
        out = out.squeeze(-2 if b is other else -1)
    return out


def as_matrices(op: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The operands of a matrix product with at least two axes: of 1-D ones, a as a row and b as a column.

    Raises:
        ShapeError: they do not fit.
        DTypeError: they have two dtypes.
    """
    if a.array.ndim == 0 or b.array.ndim == 0:
        raise ShapeError(f"{op}: both operands need at least 1 axis; use * to multiply by a scalar")
    if a.array.dtype != b.array.dtype:
        raise DTypeError(f"{op}: a and b must have one dtype, got {a.array.dtype} and {b.array.dtype}")
    if a.array.ndim == 1:
        a = a.reshape(1, -1)
    if b.array.ndim == 1:
        b = b.reshape(-1, 1)
    shape_a, shape_b = a.array.shape, b.array.shape
    if shape_a[-1] != shape_b[-2]:
        raise _shape_error(op, f"a has {shape_a[-1]} columns but b has {shape_b[-2]} rows", *_operands(a, b))
    if not len(shape_a) == len(shape_b) == 2:
        try:
            np.broadcast_shapes(shape_a[:-2], shape_b[:-2])
        except ValueError:
            raise _shape_error(op, "the leading axes do not broadcast", *_operands(a, b)) from None
    return a, b


def _operands(a: Tensor, b: Tensor) -> list[tuple[str, Tensor, str]]:
    return [("a", a, "..., M, K"), ("b", b, "..., K, N")]


def _shape_error(op: str, rule: str, *rows: tuple[str, Any, str]) -> ShapeError:
    """The error with its table of shapes, which only a call that fails should pay for."""
    return ShapeError(f"{op}: {rule}\n{array_table(rows)}")


class Linear(Function):
    """out = x weight^T + bias for x (M, C); the bias is where the accumulators start."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None):
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        if wants_weight or wants_bias:  # the weight will change: nothing is worth keeping
            return wrap(product(x.array, weight.array.T, None if bias is None else bias.array))
        return wrap(rows_times_filters(x.array, KeptFilters(weight, bias)))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        grad_x = matmul(grad_out, weight) if wants_x else None
        grad_weight = matmul(grad_out.transpose(0, 1), x) if wants_weight else None
        grad_bias = grad_out.sum(0) if wants_bias else None
        return grad_x, grad_weight, grad_bias


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias, an affine map of the last axis.

    Args:
        input: (..., C_in), float32 or float64.
        weight: (C_out, C_in), of input's dtype.
        bias: (C_out,), or None for none.

    Returns:
        (..., C_out).

    Raises:
        ShapeError: the sizes do not fit.
        DTypeError: dtypes differ or are not float32 or float64.
    """
    check_float_tensors("linear", input=input, weight=weight, bias=bias)
    rows = ("input", input, "..., C_in"), ("weight", weight, "C_out, C_in"), ("bias", bias, "C_out")
    if weight.array.ndim != 2:
        raise _shape_error("linear", "weight must have 2 axes (C_out, C_in)", *rows)
    if input.array.ndim == 0 or input.shape[-1] != weight.shape[1]:
        got = "is a scalar" if input.array.ndim == 0 else f"has {input.shape[-1]} features"
        raise _shape_error("linear", f"input {got} but weight expects {weight.shape[1]}", *rows)
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise _shape_error("linear", f"bias must hold one value for each of the {weight.shape[0]} outputs", *rows)
    if input.array.ndim == 2:
        return Linear.apply(input, weight, bias)
    flat = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
    return Linear.apply(flat, weight, bias).reshape(*input.shape[:-1], weight.shape[0])

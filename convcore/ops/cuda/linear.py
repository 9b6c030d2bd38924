"""Matrix products and sums on a GPU."""

from __future__ import annotations

from typing import Any

from convcore.autograd import wrap
from convcore.engine.cuda.array import empty
from convcore.engine.dispatch import twin_of
from convcore.errors import UnsupportedError
from convcore.ops.cuda.arrays import floats
from convcore.ops.linear.matmul import Linear, MatMul
from convcore.ops.reduce.functions import Sum
from kernels.cuda import calls
from kernels.cuda.calls import Steps


def _product(a: Any, b: Any, bias: Any) -> Any:
    """a (M, K) times b (K, N), with any strides, plus bias (N) or None."""
    m, k, n = *a.shape, b.shape[1]
    out = empty((m, n))
    start = None if bias is None else bias.array.flat()
    calls.matmul(a.span(), b.span(), out.flat(), m, n, k, Steps(*a.steps()), Steps(*b.steps()), floats, start)
    return wrap(out)


def matrices_only(a: Any, b: Any) -> None:
    """Refuse batches of matrices."""
    if not a.array.ndim == b.array.ndim == 2:
        raise UnsupportedError(
            f"matmul: cuda:0 multiplies matrices, got shapes {a.array.shape} and {b.array.shape}; use .cpu() first"
        )


@twin_of(MatMul)
class MatMulOnGPU(MatMul):
    """out = a b for matrices."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any):
        matrices_only(a, b)
        wants_a, wants_b = ctx.needs_input_grad
        ctx.save_for_backward(a if wants_b else None, b if wants_a else None)
        ctx.shapes = a.array.shape, b.array.shape
        return _product(a.array, b.array, None)


@twin_of(Linear)
class LinearOnGPU(Linear):
    """out = x weight^T + bias."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any):
        wants_x, wants_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        return _product(x.array, weight.array.T, bias)


@twin_of(Sum)
class SumOnGPU(Sum):
    """The sum over axes, as the sum over the rows of a matrix; its columns are the remaining axes."""

    @staticmethod
    def forward(ctx: Any, x: Any, dims: tuple[int, ...], keepdim: bool):
        array = x.array
        ctx.shape, ctx.dims = array.shape, dims
        kept = [axis for axis in range(array.ndim) if axis not in dims]
        out = empty([array.shape[axis] for axis in kept])
        matrix = array.flat((*dims, *kept))
        if kept:
            calls.sum_columns(matrix, out.flat(), array.size // max(out.size, 1), out.size, floats)
        else:
            calls.sum_all(matrix, out.flat(), array.size, floats)
        shape = [1 if axis in dims else size for axis, size in enumerate(array.shape)]
        return wrap(out.reshape(shape) if keepdim else out)

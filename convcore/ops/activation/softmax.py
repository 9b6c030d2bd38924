"""Softmax and log-softmax along one axis.

    softmax(x)[k] = exp(x[k]) / sum_l exp(x[l]),    log_softmax(x)[k] = x[k] - log sum_l exp(x[l])

With p = softmax(x), dp[k]/dx[l] = p[k] * ([k == l] - p[l]). Multiplied by grad_out[k] and summed over k:

    softmax:      grad_x = p * (grad_out - sum_k grad_out[k] * p[k])
    log_softmax:  grad_x = grad_out - p * sum_k grad_out[k]

The gradients have their own kernels. The gradients of the gradients are tensor operations, and can be differentiated
again.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Function, wrap
from convcore.ops.core.axes import axis
from convcore.ops.core.dtypes import convert, element_type, require_floating
from convcore.ops.core.rows import from_rows, rows_along
from kernels.cpu.activation.softmax import (
    log_softmax_forward,
    log_softmax_grad_input,
    softmax_forward,
    softmax_grad_input,
)

if TYPE_CHECKING:
    from convcore.tensor import Tensor

ELEMENTS_PER_CHUNK = 4096  # exp costs some nanoseconds: enough work for a thread, small enough to balance the load


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """exp(input) divided by its sum along axis `dim`: positive values that add up to 1.

    A row of -inf only, or one with +inf or NaN, gives NaN. With `dtype` the input is converted first. Without `dim`,
    as in old programs, the axis is 1 for inputs of 2, 4 or more axes, else 0, with a warning.

    Raises:
        ShapeError: the input has no axis `dim`.
        DTypeError: the input is not float32 or float64.
    """
    return _apply_along(Softmax, "softmax", input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """The logarithm of `softmax`, computed without the intermediate result, which may underflow.

    `dim` and `dtype` are those of `softmax`.

    Raises:
        ShapeError: the input has no axis `dim`.
        DTypeError: the input is not float32 or float64.
    """
    return _apply_along(LogSoftmax, "log_softmax", input, dim, dtype)


class Softmax(Function):
    @staticmethod
    def forward(ctx, x, dim):
        out = wrap(_along_axis(softmax_forward, dim, x.array))
        ctx.save_for_backward(out)
        ctx.dim = dim
        return out

    @staticmethod
    def backward(ctx, grad_out):
        (out,) = ctx.saved_tensors
        return SoftmaxGrad.apply(grad_out, out, ctx.dim), None


class SoftmaxGrad(Function):
    """grad_x = p * (g - s), s = sum_k g[k] * p[k]. With the upstream gradient v, the gradient of g is
    p * (v - sum v p), which is the same map, and the gradient of p is v * (g - s) - g * sum v p."""

    @staticmethod
    def forward(ctx, grad_out, out, dim):
        ctx.save_for_backward(grad_out, out)
        ctx.dim = dim
        return wrap(_along_axis(softmax_grad_input, dim, grad_out.array, out.array))

    @staticmethod
    def backward(ctx, v):
        g, p = ctx.saved_tensors
        s, t = ((a * p).sum(ctx.dim, keepdim=True) for a in (g, v))
        return p * (v - t), v * (g - s) - g * t, None


class LogSoftmax(Function):
    @staticmethod
    def forward(ctx, x, dim):
        out = wrap(_along_axis(log_softmax_forward, dim, x.array))
        ctx.save_for_backward(out)
        ctx.dim = dim
        return out

    @staticmethod
    def backward(ctx, grad_out):
        (out,) = ctx.saved_tensors
        return LogSoftmaxGrad.apply(grad_out, out, ctx.dim), None


class LogSoftmaxGrad(Function):
    """grad_x = g - exp(l) * sum_k g[k]. With the upstream gradient v, the gradient of g is v - sum v exp(l), and the
    gradient of l is -v * exp(l) * sum g."""

    @staticmethod
    def forward(ctx, grad_out, out, dim):
        ctx.save_for_backward(grad_out, out)
        ctx.dim = dim
        return wrap(_along_axis(log_softmax_grad_input, dim, grad_out.array, out.array))

    @staticmethod
    def backward(ctx, v):
        g, out = ctx.saved_tensors
        weighted = v * out.exp()
        return v - weighted.sum(ctx.dim, keepdim=True), -weighted * g.sum(ctx.dim, keepdim=True), None


def _along_axis(kernel: Any, dim: int, *arrays: np.ndarray) -> np.ndarray:
    """Run a kernel on the rows along axis `dim` of arrays of one shape."""
    rows = [rows_along(array, dim) for array in arrays]
    out = memory.empty(rows[0].shape, rows[0].dtype)
    if out.size:
        kernel(*rows, out, max(ELEMENTS_PER_CHUNK // out.shape[1], 1))
    return from_rows(out, arrays[0].shape, dim)


def _implied_axis(op: str, ndim: int) -> int:
    """The default axis, as in old versions of torch, with a deprecation warning."""
    warnings.warn(f"{op}: no `dim` was given, and guessing it is deprecated; say which axis", UserWarning, stacklevel=5)
    return 0 if ndim in (0, 1, 3) else 1


def _apply_along(function: type[Function], op: str, x: Tensor, dim: int | None, dtype: Any) -> Tensor:
    """Check the arguments and apply; a tensor without axes is treated as a vector of one element, as in torch."""
    if dtype is not None:
        x = convert(x, element_type(op, dtype))
    require_floating(op, x)
    dim = axis(op, _implied_axis(op, x.array.ndim) if dim is None else dim, x.array.ndim)
    if x.array.ndim == 0:
        return function.apply(x.reshape(1), 0).reshape(())
    return function.apply(x, dim)

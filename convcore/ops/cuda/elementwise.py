"""Elementwise functions on a GPU: arithmetic with broadcasting, activations, dropout, copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd import is_grad_enabled, wrap
from convcore.engine.cuda.array import DeviceArray, broadcast_to, empty, empty_like, full, memory_order
from convcore.engine.dispatch import runs_everywhere, twin_of
from convcore.errors import UnsupportedError
from convcore.ops.activation.dropout import Dropout
from convcore.ops.activation.functions import Hardsigmoid, Hardswish
from convcore.ops.core.dtypes import Clone, compute
from convcore.ops.elementwise.arithmetic import Add, Div, Mul, Neg, Sub
from convcore.ops.elementwise.functions import Compiled, Relu
from convcore.ops.shape.indexing import Index, Scatter
from convcore.ops.shape.views import Contiguous, Expand, Permute, Reshape
from kernels.cuda import dropout, elementwise
from kernels.cuda.calls import ceil_div

runs_everywhere(Add, Sub, Mul, Div, Neg, Reshape, Permute, Expand, Index)

KERNELS = {
    np.add: elementwise.add,
    np.subtract: elementwise.sub,
    np.multiply: elementwise.mul,
    np.true_divide: elementwise.div,
}


@twin_of(compute)
def compute_on_gpu(ufunc: Any, *arrays: Any) -> Any:
    """A ufunc of float32 arrays, with broadcasting."""
    if ufunc is np.negative:
        ufunc, arrays = np.multiply, (arrays[0], full((), -1))
    if ufunc not in KERNELS:
        raise UnsupportedError(
            f"{ufunc.__name__}: there is no kernel for cuda:0; compute it on the CPU, with .cpu() first"
        )
    shape = np.broadcast_shapes(*[array.shape for array in arrays])
    model = next((array for array in arrays if array.shape == shape), None)
    out = empty(shape) if model is None else empty_like(model)
    order = memory_order(out.numbers)
    operands = [_broadcast(array, shape).flat(order) for array in arrays]
    KERNELS[ufunc](ceil_div(out.size, elementwise.PER_BLOCK), *operands, out.flat(order), out.size)
    return out


def _broadcast(array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
    return array if array.shape == shape else broadcast_to(array, shape)


def _activation(function: type[Compiled], forward_kernel: Any, backward_kernel: Any) -> None:
    """Register the implementation of a function with two kernels; the second takes grad_out and the saved tensor."""

    @twin_of(function)
    class OnGPU(function):
        @classmethod
        def forward(cls, ctx: Any, x: Any):
            out = empty_like(x.array)
            order = memory_order(out.numbers)
            blocks = ceil_div(out.size, elementwise.PER_BLOCK)
            forward_kernel(blocks, x.array.flat(order), out.flat(order), out.size)
            result = wrap(out)
            ctx.save_for_backward(result if cls.saves_output else x)
            return result

        @classmethod
        def backward(cls, ctx: Any, grad_out: Any):
            (saved,) = ctx.saved_tensors
            if is_grad_enabled():
                return cls.gradient(grad_out, saved)
            grad_x = empty_like(saved.array)
            order = memory_order(grad_x.numbers)
            given = grad_out.array.flat(order), saved.array.flat(order)
            backward_kernel(ceil_div(grad_x.size, elementwise.PER_BLOCK), *given, grad_x.flat(order), grad_x.size)
            return wrap(grad_x)


_activation(Relu, elementwise.relu_forward, elementwise.relu_grad_input)
_activation(Hardsigmoid, elementwise.hardsigmoid_forward, elementwise.hardsigmoid_grad_input)
_activation(Hardswish, elementwise.hardswish_forward, elementwise.hardswish_grad_input)


@twin_of(Dropout)
class DropoutOnGPU(Dropout):
    """Dropout with the same mask as on the CPU for the same seed."""

    @staticmethod
    def forward(ctx: Any, x: Any, p: float, seed: int, offset: int, order: list[int]):
        ctx.settings = p, seed, offset, order
        block = x.array.transpose(order)
        out = empty(block.shape)
        scale = 0 if p == 1 else 1 / (1 - p)
        given = block.flat(), out.flat(), out.size, scale, seed, offset, round(p * 2**32)
        dropout.dropout_forward(ceil_div(out.size, elementwise.PER_BLOCK), *given)
        return wrap(out.transpose(np.argsort(order)))


@twin_of(Scatter)
class ScatterOnGPU(Scatter):
    """Zeros with values in a slice."""

    @staticmethod
    def forward(ctx: Any, values: Any, shape: tuple[int, ...], index: Any, basic: bool):
        ctx.index, ctx.basic = index, basic
        out = full(shape, 0)
        out[index] = values.array
        return wrap(out)


@twin_of(Clone)
class CloneOnGPU(Clone):
    """A copy in memory of its own, with the same memory order."""

    @staticmethod
    def forward(ctx: Any, x: Any):
        return wrap(x.array.copy("K"))


@twin_of(Contiguous)
class ContiguousOnGPU(Contiguous):
    """A copy in row-major memory order."""

    @staticmethod
    def forward(ctx: Any, x: Any):
        return wrap(x.array.copy("C"))

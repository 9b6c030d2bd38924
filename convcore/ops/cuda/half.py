"""Products inside autocast: operands are rounded to 16 bits, multiplied on tensor cores, and accumulated in float32.

A product saves the rounded operands for backward, at half the size. The gradients round grad_out, and are float32, as
all results. So only products see 16-bit values, and weights keep their precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd import once_differentiable, wrap
from convcore.engine.cuda.array import empty
from convcore.engine.cuda.memory import pool
from convcore.engine.dispatch import autocast, twin_of
from convcore.ops.conv.algorithm import Request
from convcore.ops.conv.functions import ChannelSum, Conv
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.cuda.arrays import channels_last, empty_channels_last, floats
from convcore.ops.cuda.conv import ConvOnGPU, conv_sizes, only_auto
from convcore.ops.cuda.linear import matrices_only
from convcore.ops.linear.matmul import Linear, MatMul
from kernels.cuda import calls, calls16
from kernels.cuda.calls16 import Products, Rounded


def _halves(size: int) -> Any:
    return empty((size,), np.uint16)


def _kernels() -> Products:
    """The kernels for autocast's dtype on this GPU."""
    assert autocast.kind is not None
    return calls16.products(autocast.kind, pool().driver.capability())


@twin_of(Conv, rounds=True)
class ConvOfRounded(Conv):
    """out = x * weight + bias. Depthwise convolutions would not gain from tensor cores, and stay in float32."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry, request: Request):
        sizes = conv_sizes(geometry)
        if sizes.depthwise:
            ctx.function = ConvOnGPU
            return ConvOnGPU.forward(ctx, x, weight, bias, geometry, request)
        only_auto(request)
        ctx.geometry, ctx.kernels = geometry, _kernels()
        pixels = sizes.n * sizes.h_in * sizes.w_in
        images = calls16.round_images(
            ctx.kernels, channels_last(x.array), pixels, sizes.c_in, sizes.groups, _halves
        )  # fmt: skip
        wants_x, wants_weight, *_ = ctx.needs_input_grad
        ctx.save_for_backward(wrap(images.numbers) if wants_weight else None, weight if wants_x else None)
        ctx.step = images.step
        out = empty_channels_last(geometry.out_shape)
        start = None if bias is None else bias.array.flat()
        given = images, weight.array.flat(), start, channels_last(out)
        calls16.conv2d_forward(ctx.kernels, *given, sizes, _halves, floats)
        return wrap(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Any):
        images, weight = ctx.saved_tensors
        sizes, kernels = conv_sizes(ctx.geometry), ctx.kernels
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        grad_x: Any = None
        grad_weight: Any = None
        grads = calls16.round_images(
            kernels, channels_last(grad_out.array), sizes.pixels, sizes.c_out, sizes.groups, _halves
        )  # fmt: skip
        if wants_x:
            grad_x = empty_channels_last(ctx.geometry.x_shape)
            given = grads, weight.array.flat(), channels_last(grad_x)
            calls16.conv2d_grad_input(kernels, *given, sizes, _halves, floats)
        if wants_weight:
            grad_weight = empty(ctx.geometry.weight_shape)
            given = Rounded(images.array, ctx.step), grads, grad_weight.flat()
            calls16.conv2d_grad_weight(kernels, *given, sizes, floats)
        grad_bias = ChannelSum.apply(grad_out) if wants_bias else None
        return *[None if grad is None else wrap(grad) for grad in (grad_x, grad_weight)], grad_bias, None, None


def _round(kernels: Products, matrix: Any) -> Rounded:
    rows, columns = matrix.shape
    return calls16.round_rows(kernels, matrix.flat(), rows, columns, _halves)


def _save(ctx: Any, a: Rounded | None, b: Rounded | None) -> None:
    """Save the operands that gradients need."""
    ctx.save_for_backward(*[None if operand is None else wrap(operand.numbers) for operand in (a, b)])
    ctx.steps = [0 if operand is None else operand.step for operand in (a, b)]


def _saved(ctx: Any) -> list[Any]:
    pairs = zip(ctx.saved_tensors, ctx.steps, strict=True)
    return [None if tensor is None else Rounded(tensor.array, step) for tensor, step in pairs]


def _product(
    kernels: Products, a: Rounded, b: Rounded, m: int, n: int, depth: int, a_transposed: bool, b_transposed: bool,
    bias: Any = None,
) -> Any:  # fmt: skip
    out = empty((m, n))
    calls16.multiply(kernels, a, b, out.flat(), m, n, depth, floats, a_transposed, b_transposed, bias)
    return wrap(out)


@twin_of(MatMul, rounds=True)
class MatMulOfRounded(MatMul):
    """out = a b for matrices."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any):
        matrices_only(a, b)
        kernels = ctx.kernels = _kernels()
        ctx.sizes = m, k, n = *a.array.shape, b.array.shape[1]
        left, right = _round(kernels, a.array), _round(kernels, b.array)
        wants_a, wants_b = ctx.needs_input_grad
        _save(ctx, left if wants_b else None, right if wants_a else None)
        return _product(kernels, left, right, m, n, k, False, True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Any):
        (m, k, n), (a, b), kernels = ctx.sizes, _saved(ctx), ctx.kernels
        grads = _round(kernels, grad_out.array)
        wants_a, wants_b = ctx.needs_input_grad
        grad_a = _product(kernels, grads, b, m, k, n, False, False) if wants_a else None
        grad_b = _product(kernels, a, grads, k, n, m, True, True) if wants_b else None
        return grad_a, grad_b


@twin_of(Linear, rounds=True)
class LinearOfRounded(Linear):
    """out = x weight^T + bias."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any):
        kernels = ctx.kernels = _kernels()
        ctx.sizes = m, c, f = *x.array.shape, weight.array.shape[0]
        rows, filters = _round(kernels, x.array), _round(kernels, weight.array)
        wants_x, wants_weight, _ = ctx.needs_input_grad
        _save(ctx, rows if wants_weight else None, filters if wants_x else None)
        return _product(kernels, rows, filters, m, f, c, False, False, None if bias is None else bias.array.flat())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Any):
        (m, c, f), (x, weight), kernels = ctx.sizes, _saved(ctx), ctx.kernels
        grads = _round(kernels, grad_out.array)
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        grad_x = _product(kernels, grads, weight, m, c, f, False, True) if wants_x else None
        grad_weight = _product(kernels, grads, x, f, c, m, True, True) if wants_weight else None
        grad_bias: Any = None
        if wants_bias:
            grad_bias = floats(f)
            calls.sum_columns(grad_out.array.flat(), grad_bias, m, f, floats)
            grad_bias = wrap(grad_bias)
        return grad_x, grad_weight, grad_bias

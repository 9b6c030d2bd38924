"""Batch norm, alone or fused with the ReLU and the max pooling after it, as one Function and as a deferred tensor.

    y   = (x - center) * scale + shift      per channel; the coefficients are computed in `convcore.ops.norm.batch_norm`
    r   = max(y, 0)                         if a ReLU follows
    out = max over windows of r (or y)      if a max pooling follows

Backward needs g, the gradient of y: grad_out spread over the windows and cut off where y <= 0. From it the gradients of
batch norm follow as in `convcore.ops.norm.batch_norm`. Both kernels of backward compute y and g again, pixel by pixel,
so fusing changes where the numbers lie and when, not what they are.

`DeferredNorm` is what `batch_norm` returns: y, not yet computed. See `convcore.autograd.lazy`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import (
    Function,
    Inputs,
    enable_grad,
    grad,
    is_grad_enabled,
    is_recorded,
    next_number,
    no_fusion,
    set_grad_enabled,
    wrap,
    wrap_deferred,
)
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.fusion import Fusable
from convcore.ops.core.layout import nchw, nhwc
from convcore.ops.core.rows import from_rows, rows_along
from convcore.ops.elementwise.functions import relu
from convcore.ops.pool.functions import MaxPool2d
from convcore.ops.pool.geometry import PoolGeometry
from kernels.cpu.elementwise.functions import Elementwise
from kernels.cpu.elementwise.functions import relu as RELU
from kernels.cpu.norm import batch_norm as kernels
from kernels.cpu.norm import batch_norm_pool as pool_kernels
from kernels.cpu.reduce import sum_chunks

if TYPE_CHECKING:
    from convcore.tensor import Tensor

ELEMENTS_PER_CHUNK = 32768  # 128 KiB of float32: a chunk is read twice and must stay in the L2 cache in between


@dataclass(frozen=True, eq=False)
class Normalisation:
    """What one call of batch norm does to x: its statistics, (C,) in float64, and the coefficients of the kernels.

    Two are equal if they are the same object.

    Attributes:
        eps: what invstd was made with.
        training: the statistics are those of x and pass gradients to it.
        coefficients: center, scale and shift in x's dtype, repeated as the kernels want them.
    """

    mean: np.ndarray
    invstd: np.ndarray
    eps: float
    training: bool
    coefficients: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.mean.nbytes + self.invstd.nbytes + self.coefficients.nbytes

    @functools.cached_property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.coefficients).all())


def coefficient_lines(channels: int, dtype: np.dtype, *lines: np.ndarray) -> np.ndarray:
    """Lines of (C,) coefficients as the kernels want them: each repeated up to a multiple of the vector's length."""
    repeats = kernels.wide_columns(channels, dtype.itemsize) // channels
    result = np.empty((len(lines), repeats, channels), dtype)
    for line, values in zip(result, lines, strict=True):
        line[...] = values
    return result.reshape(len(lines), -1)


def rows_per_chunk(wide: int, channels: int) -> int:
    """Rows of pixels' channels in a chunk, so that it is a whole number of the kernels' steps."""
    return max(ELEMENTS_PER_CHUNK // wide, 1) * (wide // channels)


def sums_workspace(rows: int, per_chunk: int, wide: int) -> np.ndarray:
    """Memory for two sums of each column in each chunk."""
    return memory.empty((2, ceil_div(rows, per_chunk), wide), np.float64)


class BatchNorm(Function):
    """Keeps x, weight, the statistics and, below a pooling, a byte for each pooled pixel; all else is made again."""

    @staticmethod
    def forward(ctx, x, weight, bias, norm: Normalisation, rectify: bool, geometry: PoolGeometry | None):
        ctx.save_for_backward(x, weight)
        ctx.norm, ctx.rectify, ctx.geometry = norm, rectify, geometry
        if geometry is None:
            return wrap(_normalised(x.array, norm, rectify))
        block = nhwc(x.array)
        out = memory.empty(geometry.out_block_shape, block.dtype)
        channels = pool_kernels.position_channels(geometry.c, block.itemsize)
        shape = (*out.shape[:3], channels) if True in ctx.needs_input_grad else (0, 0, 0, 0)
        ctx.positions = memory.empty(shape, np.uint8)
        rows, columns = geometry.height, geometry.width
        pool_kernels.batch_norm_max_pool2d_forward(
            block, norm.coefficients, _lowest(block.dtype, rectify), out, ctx.positions,
            rows.start, rows.stop, columns.start, columns.stop, rows.dilation, columns.dilation, columns.taps,
        )  # fmt: skip
        return wrap(nchw(out))

    @staticmethod
    def backward(ctx, grad_out):
        x, weight = ctx.saved_tensors
        if is_grad_enabled():
            return (*_differentiable_gradients(ctx, x, weight, grad_out), *[None] * 3)
        if ctx.enters_at:
            return _through_the_rest(ctx, x.array, grad_out), *[None] * 5
        with np.errstate(all="ignore"):
            gradients = _gradients(ctx, x.array, grad_out.array, None if weight is None else weight.array)
        return (*[None if gradient is None else wrap(gradient) for gradient in gradients], *[None] * 3)


def _differentiable_gradients(ctx, x: Tensor, weight: Tensor | None, grad_out: Tensor) -> tuple[Any, ...]:
    """The gradients made of differentiable operations, for those who differentiate them again."""
    norm: Normalisation = ctx.norm
    if ctx.rectify or ctx.geometry is not None:
        grad_out = _through_the_rest(ctx, x.array, grad_out)
    if ctx.enters_at:
        return grad_out, None, None
    channels = norm.mean.size
    per_channel = (1, channels, *[1] * (x.array.ndim - 2))
    others = [i for i in range(x.array.ndim) if i != 1]

    def constant(values: np.ndarray) -> Tensor:
        return wrap(values.astype(x.array.dtype).reshape(per_channel))

    if norm.training:  # the statistics are functions of x
        deviation = x - x.mean(others, keepdim=True)
        variance = (deviation * deviation).mean(others, keepdim=True)
        invstd = (variance + norm.eps).rsqrt()
    else:
        deviation, invstd = x - constant(norm.mean), constant(norm.invstd)
    xhat = deviation * invstd
    h = grad_out if weight is None else grad_out * weight.reshape(per_channel)
    grad_x = h
    if norm.training:
        grad_x = h - h.mean(others, keepdim=True) - xhat * (h * xhat).mean(others, keepdim=True)
    return grad_x * invstd, (grad_out * xhat).sum(others), grad_out.sum(others)


def _lowest(dtype: np.dtype, rectify: bool) -> Any:
    """What the kernels cut off below: 0 for a ReLU; NaN, nothing."""
    return dtype.type(0 if rectify else np.nan)


def _normalised(x: np.ndarray, norm: Normalisation, rectify: bool) -> np.ndarray:
    rows = rows_along(x, 1)
    out = memory.empty(rows.shape, rows.dtype)
    per_chunk = rows_per_chunk(norm.coefficients.shape[1], max(rows.shape[1], 1))
    kernels.batch_norm_forward(rows, norm.coefficients, _lowest(rows.dtype, rectify), out, per_chunk)
    return from_rows(out, x.shape, 1)


def _through_the_rest(ctx, x: np.ndarray, grad_out: Tensor) -> Tensor:
    """The gradient of the value that backward ends at: y or, at depth 2, r. Only what follows it is gone through.

    ReLU and pooling are linear nearly everywhere, so the result depends on grad_out alone, and is differentiable in it.
    """
    create_graph = is_grad_enabled()
    with enable_grad(), no_fusion():
        start = wrap(_normalised(x, ctx.norm, ctx.enters_at == 2)).requires_grad_()
        out = relu(start) if ctx.rectify and ctx.enters_at < 2 else start
        if ctx.geometry is not None:
            out = MaxPool2d.apply(out, ctx.geometry, False)
        return grad(out, start, grad_out, create_graph=create_graph)[0]


def _gradients(ctx, x: np.ndarray, grad_out: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray | None, ...]:
    """grad_x, grad_weight, grad_bias; None for those that are not wanted."""
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    norm, dtype = ctx.norm, x.dtype
    mean, invstd, coefficients = norm.mean, norm.invstd, norm.coefficients
    channels = mean.size
    center = coefficients[0, :channels]
    scale = invstd if weight is None else invstd * weight
    slope = shift = np.zeros(channels)
    count = max(x.size // channels, 1)
    passes = _PooledPasses(ctx, x, grad_out) if ctx.geometry is not None else _RowPasses(ctx, x, grad_out)
    grad_x = grad_weight = grad_bias = None
    if norm.training or needs_weight or needs_bias:
        sum_grad, sum_grad_x = passes.sums()
        sum_grad_xhat = invstd * (sum_grad_x + (center - mean) * sum_grad)
        grad_weight = sum_grad_xhat.astype(dtype) if needs_weight else None
        grad_bias = sum_grad.astype(dtype) if needs_bias else None
        if norm.training:
            slope = -scale * invstd * sum_grad_xhat / count
            shift = -scale * sum_grad / count + slope * (center - mean)
    if needs_x:
        lines = coefficient_lines(channels, dtype, scale, slope, shift)
        grad_x = passes.grad_input(np.concatenate([coefficients, lines]), not norm.training)
    return grad_x, grad_weight, grad_bias


class _RowPasses:
    """The two passes of backward where grad_out has x's shape."""

    def __init__(self, ctx, x: np.ndarray, grad_out: np.ndarray):
        self.shape = x.shape
        self.rows, self.grad_rows = rows_along(x, 1), rows_along(grad_out, 1)
        self.coefficients = ctx.norm.coefficients
        self.lowest = _lowest(x.dtype, ctx.rectify)
        self.per_chunk = rows_per_chunk(self.coefficients.shape[1], x.shape[1])

    def sums(self) -> np.ndarray:
        sums = np.empty((2, self.rows.shape[1]))
        workspace = sums_workspace(self.rows.shape[0], self.per_chunk, self.coefficients.shape[1])
        kernels.batch_norm_grad_sums(
            self.rows, self.grad_rows, self.coefficients, self.lowest, workspace, self.per_chunk
        )
        sum_chunks(workspace, sums)
        return sums

    def grad_input(self, coefficients: np.ndarray, frozen: bool) -> np.ndarray:
        grad_x = memory.empty(self.rows.shape, self.rows.dtype)
        kernels.batch_norm_grad_input(
            self.rows, self.grad_rows, coefficients, self.lowest, frozen, grad_x, self.per_chunk
        )
        return from_rows(grad_x, self.shape, 1)


class _PooledPasses:
    """The two passes of backward where grad_out has the shape of the pooled image."""

    def __init__(self, ctx, x: np.ndarray, grad_out: np.ndarray):
        self.block, self.grad_block = nhwc(x), nhwc(grad_out)
        self.coefficients = ctx.norm.coefficients
        self.positions = ctx.positions
        rows, columns = ctx.geometry.height, ctx.geometry.width
        self.per_chunk = max(ELEMENTS_PER_CHUNK // (columns.size * ctx.geometry.c), 1)
        self.windows = (
            rows.start, columns.start, columns.stop, rows.over_start, rows.over_stop, rows.dilation, columns.dilation,
            columns.taps, columns.is_partition,
        )  # fmt: skip

    def sums(self) -> np.ndarray:
        n, h, _, channels = self.block.shape
        sums = np.empty((2, channels))
        workspace = sums_workspace(n * h, self.per_chunk, self.coefficients.shape[1])
        pool_kernels.batch_norm_max_pool2d_grad_sums(
            self.block, self.grad_block, self.positions, self.coefficients, workspace, self.per_chunk, *self.windows
        )
        sum_chunks(workspace, sums)
        return sums

    def grad_input(self, coefficients: np.ndarray, frozen: bool) -> np.ndarray:
        grad_x = memory.empty(self.block.shape, self.block.dtype)
        pool_kernels.batch_norm_max_pool2d_grad_input(
            self.block, self.grad_block, self.positions, coefficients, frozen, grad_x, self.per_chunk, *self.windows
        )
        return nchw(grad_x)


class NormInputs(Inputs):
    """A call of `batch_norm`."""

    __slots__ = ("bias", "norm", "weight", "x")

    def __init__(self, x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Normalisation):
        super().__init__(x, weight, bias)
        self.x, self.weight, self.bias, self.norm = x, weight, bias, norm


class DeferredNorm(Fusable):
    """y or r, not yet computed. Depth 1 is y, depth 2 is r."""

    __slots__ = ("rectify",)

    inputs: NormInputs

    def __init__(self, inputs: NormInputs, rectify: bool, parent: Fusable | None, recorded: bool):
        super().__init__(inputs, parent, 2 if rectify else 1, recorded)
        self.rectify = rectify
        self.number = next_number()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inputs.x.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.inputs.x.array.dtype

    def compute(self) -> Tensor:
        inputs = self.inputs
        return BatchNorm.apply(inputs.x, inputs.weight, inputs.bias, inputs.norm, self.rectify, None)

    def activate(self, kernels: Elementwise, settings: tuple[float, ...]) -> Tensor | None:
        if self.rectify or kernels is not RELU:
            return None
        return wrap_deferred(DeferredNorm(self.inputs, True, self, self.recorded and is_grad_enabled()))

    def activate_in_place(self, kernels: Elementwise, settings: tuple[float, ...]) -> bool:
        if self.rectify or kernels is not RELU or (self.recorded and not is_grad_enabled()):
            return False
        return self.become(DeferredNorm(self.inputs, True, None, self.recorded))

    def max_pool2d(self, geometry: PoolGeometry) -> Tensor | None:
        if geometry.height.taps * geometry.width.taps > pool_kernels.NOWHERE:
            return None
        with set_grad_enabled(self.recorded and is_grad_enabled()):
            inputs = self.inputs
            result = BatchNorm.apply(inputs.x, inputs.weight, inputs.bias, inputs.norm, self.rectify, geometry)
        self.bypassed_by(result.node)
        return result


def defer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Normalisation) -> Tensor:
    """y of a call that happens now, to be computed at the first look."""
    inputs = NormInputs(x, weight, bias, norm)
    return wrap_deferred(DeferredNorm(inputs, False, None, is_recorded(x, weight, bias)))

"""Pooling on a GPU. The tables of the windows are copied to the device once, at the first call."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from convcore.autograd import wrap
from convcore.engine.cuda.array import DeviceArray, empty, put
from convcore.engine.dispatch import twin_of
from convcore.errors import UnsupportedError
from convcore.ops.cuda.arrays import channels_last, empty_channels_last, images_only
from convcore.ops.pool.functions import AvgPool2d, AvgPool2dGradInput, MaxPool2d, MaxPool2dGradInput
from convcore.ops.pool.geometry import PoolGeometry, Windows
from kernels.cuda import pool
from kernels.cuda.calls import THREADS, ceil_div


@functools.lru_cache(maxsize=256)
def _table(values: bytes) -> DeviceArray:
    return put(np.frombuffer(values, np.int32))


def _tables(windows: Windows, *names: str) -> list[DeviceArray]:
    return [_table(getattr(windows, name).astype(np.int32).tobytes()) for name in names]


def _sizes(geometry: PoolGeometry) -> tuple[int, ...]:
    images_only("pool", geometry.depth)
    rows, columns = geometry.height, geometry.width
    return rows.size, columns.size, rows.size_out, columns.size_out, geometry.c


def _images(block_shape: tuple[int, ...]) -> Any:
    n, h, w, c = block_shape
    return empty_channels_last((n, c, h, w))


@twin_of(MaxPool2d)
class MaxPool2dOnGPU(MaxPool2d):
    """The maximum of each window; saves the position of each for backward, in 32 bits."""

    @staticmethod
    def forward(ctx: Any, x: Any, geometry: PoolGeometry, return_indices: bool):
        if return_indices:
            raise UnsupportedError("max_pool2d: return_indices is not computed on cuda:0; use .cpu() first")
        sizes, rows, columns = _sizes(geometry), geometry.height, geometry.width
        out = _images(geometry.out_block_shape)
        positions = empty((out.size if ctx.needs_input_grad[0] else 0,), np.int32)
        pool.max_pool2d_forward(
            ceil_div(out.size, THREADS), channels_last(x.array), channels_last(out), positions,
            *_tables(rows, "start", "stop"), *_tables(columns, "start", "stop"),
            out.size, *sizes, rows.dilation, columns.dilation,
        )  # fmt: skip
        ctx.geometry = geometry
        ctx.save_for_backward(wrap(positions))
        return wrap(out)


@twin_of(MaxPool2dGradInput)
class MaxPool2dGradInputOnGPU(MaxPool2dGradInput):
    """grad_x: the gradients, added at the positions of the maxima."""

    @staticmethod
    def forward(ctx: Any, grad_out: Any, geometry: PoolGeometry, *positions: Any):
        ctx.geometry = geometry
        ctx.save_for_backward(*positions)
        grad_x = _images(geometry.x_block_shape)
        pool.max_pool2d_grad_input(
            ceil_div(grad_x.size, THREADS), channels_last(grad_out.array), positions[0].array, channels_last(grad_x),
            *_tables(geometry.height, "over_start", "over_stop"), *_tables(geometry.width, "over_start", "over_stop"),
            grad_x.size, *_sizes(geometry),
        )  # fmt: skip
        return wrap(grad_x)


@twin_of(AvgPool2d)
class AvgPool2dOnGPU(AvgPool2d):
    """The average of each window."""

    @staticmethod
    def forward(ctx: Any, x: Any, geometry: PoolGeometry):
        ctx.geometry = geometry
        sizes = _sizes(geometry)
        out = _images(geometry.out_block_shape)
        pool.avg_pool2d_forward(
            ceil_div(out.size, THREADS), channels_last(x.array), channels_last(out),
            *_tables(geometry.height, "start", "stop", "count"), *_tables(geometry.width, "start", "stop", "count"),
            out.size, *sizes,
        )  # fmt: skip
        return wrap(out)


@twin_of(AvgPool2dGradInput)
class AvgPool2dGradInputOnGPU(AvgPool2dGradInput):
    """grad_x: the gradient of each window, divided over its positions."""

    @staticmethod
    def forward(ctx: Any, grad_out: Any, geometry: PoolGeometry):
        ctx.geometry = geometry
        grad_x = _images(geometry.x_block_shape)
        names = "over_start", "over_stop", "count"
        pool.avg_pool2d_grad_input(
            ceil_div(grad_x.size, THREADS), channels_last(grad_out.array), channels_last(grad_x),
            *_tables(geometry.height, *names), *_tables(geometry.width, *names), grad_x.size, *_sizes(geometry),
        )  # fmt: skip
        return wrap(grad_x)

"""The algorithm "im2col": patches of the input are copied into a matrix, which is multiplied with the filters.

See `kernels/cpu/conv/im2col.py` for the algorithm.
"""

from __future__ import annotations

import functools

import numpy as np

from convcore import memory
from convcore.ops.conv.algorithm import ConvAlgorithm
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.conv.panels import packed, start_at_bias
from convcore.ops.conv.work import (
    PATCHES_BYTES,
    even_rows_per_chunk,
    partial_sums,
    parts_of_sum,
    sum_of_nothing,
    sum_of_parts,
)
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters
from convcore.ops.core.layout import nhwc
from kernels.cpu.conv.im2col import conv2d_forward_im2col, conv2d_grad_input_im2col, conv2d_grad_weight_im2col

MAX_PATCHES_ROW_BYTES = 256 * 1024**2


@functools.lru_cache(maxsize=256)
def _taps_in_order(k_h: int, k_w: int) -> tuple[np.ndarray, np.ndarray]:
    """The taps (r, s) row by row; shared by all calls, which only read them."""
    rows, columns = np.indices((k_h, k_w))
    return rows.reshape(-1), columns.reshape(-1)


def _rows_per_chunk(geometry: ConvGeometry, itemsize: int) -> int:
    row_bytes = geometry.w_out * geometry.reduction * itemsize
    return even_rows_per_chunk(row_bytes, PATCHES_BYTES, geometry.h_out, geometry.n)


def _settings(geometry: ConvGeometry, itemsize: int) -> tuple[int, ...]:
    """What the kernels take after their arrays."""
    height, width = geometry.height, geometry.width
    return (
        geometry.k_h, geometry.k_w, height.stride, width.stride, height.pad_before, width.pad_before,
        height.dilation, width.dilation, geometry.groups, _rows_per_chunk(geometry, itemsize),
    )  # fmt: skip


class Im2col(ConvAlgorithm):
    """Every convolution of images whose patches fit into memory."""

    name = "im2col"
    summary = "patches copied into a matrix, then a matrix product"

    def refuses(self, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        row_bytes = geometry.w_out * geometry.reduction * dtype.itemsize
        if row_bytes > MAX_PATCHES_ROW_BYTES:
            return (
                f"the patches of one output row take {row_bytes / 1024**2:.0f} MiB "
                f"(w_out * reduction * itemsize = {geometry.w_out} * {geometry.reduction} * {dtype.itemsize}), "
                f"more than {MAX_PATCHES_ROW_BYTES // 1024**2} MiB"
            )
        return None

    def forward(self, x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE):
        """out = patches times filters."""

        def in_panels(weight, bias):
            panels = packed(weight, geometry, False, *_taps_in_order(geometry.k_h, geometry.k_w))
            return panels, start_at_bias(bias, geometry, panels)

        out = memory.empty_channels_last(geometry.out_shape, x.dtype)
        panels, start = filters.prepared(("panels of patches", geometry.groups), in_panels)
        conv2d_forward_im2col(nhwc(x), panels, start, nhwc(out), *_settings(geometry, x.itemsize))
        epilogue.apply(out)
        return out

    def grad_input(self, grad_out, weight, geometry: ConvGeometry):
        """grad_x: grad_out times filters, every patch added back where it came from."""
        grad_x = memory.empty_channels_last(geometry.x_shape, grad_out.dtype)
        panels = packed(weight, geometry, True, *_taps_in_order(geometry.k_h, geometry.k_w))
        conv2d_grad_input_im2col(nhwc(grad_out), panels, nhwc(grad_x), *_settings(geometry, grad_out.itemsize))
        return grad_x

    def grad_weight(self, x, grad_out, geometry: ConvGeometry):
        """grad_weight: transposed patches times grad_out."""
        if geometry.n == 0:
            return sum_of_nothing(geometry, x.dtype)
        blocks = geometry.n * ceil_div(geometry.h_out, _rows_per_chunk(geometry, x.itemsize))
        parts = parts_of_sum(geometry.groups, blocks, geometry.c_out * geometry.reduction * x.itemsize)
        filters = geometry.c_out // geometry.groups
        partials = partial_sums(geometry, parts, x.dtype, geometry.groups, filters)
        conv2d_grad_weight_im2col(nhwc(x), nhwc(grad_out), partials, *_settings(geometry, x.itemsize))
        return sum_of_parts(partials, geometry)


IM2COL = Im2col()

"""The algorithm "direct": address arithmetic around the micro-kernel, on images and volumes as they lie in memory.

See `kernels/cpu/conv/direct.py` for the algorithm.
"""

from __future__ import annotations

import math

import numpy as np

from convcore import memory
from convcore.ops.conv.algorithm import ConvAlgorithm
from convcore.ops.conv.geometry import ONE_PLANE, ConvGeometry, once_per_geometry
from convcore.ops.conv.loop_nest import forward_nest, grad_input_nest
from convcore.ops.conv.panels import packed, start_at_bias, start_at_zero
from convcore.ops.conv.work import (
    PANEL_BYTES,
    WINDOW_BYTES,
    empty_grad_x,
    even_rows_per_chunk,
    partial_sums,
    parts_of_sum,
    sum_of_nothing,
    sum_of_parts,
)
from convcore.ops.core.budget import MIN_CHUNKS, ceil_div
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters
from convcore.ops.core.layout import nhwc, nothing
from kernels.cpu.conv.direct import conv_forward_direct
from kernels.cpu.conv.grad_weight import conv_grad_weight_direct
from kernels.cpu.vector.target import TILE_ROWS, tile_columns

# The gradient of the filters: a block's pixels of one tile and one panel stay in L1, its sums (9 taps) in L2.
PIXELS_PER_BLOCK = 256
# Channels and filters of a chunk of that gradient. Filters of few taps allow more of both, hence fewer copies.
CHUNK_SIZE, CHUNK_SIZE_OF_FEW_TAPS, FEW_TAPS = 64, 128, 4


def _planes(image: np.ndarray) -> np.ndarray:
    """The block (N, D, H, W, C) of a volume (N, C, D, H, W), or of an image (N, C, H, W) with D = 1."""
    block = nhwc(image)
    return block if block.ndim == 5 else block[:, None]


@once_per_geometry
def settings(geometry: ConvGeometry, to_input: bool, itemsize: int) -> tuple[tuple, tuple[int, int]]:
    """What the kernel takes after its arrays: the tables of its loops, and how many rows and panels a chunk takes."""
    nest = (grad_input_nest if to_input else forward_nest)(geometry)
    d, h, w = nest.depth, nest.height, nest.width
    _, c_src, *_, w_src = geometry.out_shape if to_input else geometry.x_shape
    c_src, c_dst = c_src // geometry.groups, (geometry.c_in if to_input else geometry.c_out) // geometry.groups
    columns = tile_columns(itemsize)
    panels, panel_bytes = ceil_div(c_dst, columns), nest.taps[0].size * c_src * columns * itemsize
    chunks_per_row_block = geometry.n * len(d.rows) * d.most * len(h.rows)
    # Each chunk copies its window: where images alone make enough chunks, one takes more panels than stay in L2.
    blocks = ceil_div(MIN_CHUNKS, max(chunks_per_row_block, 1))
    panels_per_chunk = max(1, min(max(PANEL_BYTES // panel_bytes, ceil_div(panels, blocks)), panels))
    chunks_per_row_block *= ceil_div(panels, panels_per_chunk)
    row_bytes = h.src_step * w_src * c_src * itemsize * max(p.taps for p in d.rows)
    rows_per_chunk = even_rows_per_chunk(row_bytes, WINDOW_BYTES, h.most, chunks_per_row_block)
    tables = (
        d.phases, d.offsets, h.phases, h.offsets, w.phases, w.offsets, nest.steps, geometry.groups, w.consecutive
    )  # fmt: skip
    return tables, (rows_per_chunk, panels_per_chunk)


@once_per_geometry
def _grad_weight_settings(geometry: ConvGeometry, itemsize: int) -> tuple[int, int, tuple[int, ...]]:
    """The parts of the sum, the filters of a block of them, and what the kernel takes after its arrays."""
    depth, height, width = geometry.depth or ONE_PLANE, geometry.height, geometry.width
    channels, filters = geometry.c_in // geometry.groups, geometry.c_out // geometry.groups
    columns = tile_columns(itemsize)
    tile_channels = ceil_div(channels, ceil_div(channels, TILE_ROWS))
    tiles, panels = ceil_div(channels, tile_channels), ceil_div(filters, columns)
    size = CHUNK_SIZE_OF_FEW_TAPS if geometry.k_h * geometry.k_w <= FEW_TAPS else CHUNK_SIZE
    tiles_per_chunk, panels_per_chunk = min(ceil_div(size, tile_channels), tiles), min(ceil_div(size, columns), panels)
    pixels = max(1, PIXELS_PER_BLOCK // height.stride)
    rows = max(1, min(pixels // geometry.w_out, geometry.h_out))
    planes = geometry.n * depth.size_out
    images = max(1, min(pixels // (geometry.h_out * geometry.w_out), planes))
    blocks = ceil_div(planes, images) * ceil_div(geometry.h_out, rows)
    chunks_per_part = (
        geometry.groups * depth.kernel * ceil_div(tiles, tiles_per_chunk) * ceil_div(panels, panels_per_chunk)
    )
    # Each part writes its sums and has them read again: that must stay less than the images themselves.
    weight_bytes = geometry.c_out * geometry.reduction * itemsize
    image_bytes = (math.prod(geometry.x_shape) + geometry.out_size) * itemsize
    worth = max(1, image_bytes // (2 * weight_bytes))
    parts = min(worth, parts_of_sum(chunks_per_part, blocks, weight_bytes))
    return parts, panels_per_chunk * columns, (
        depth.kernel, height.kernel, width.kernel, depth.stride, height.stride, width.stride,
        depth.pad_before, height.pad_before, width.pad_before, depth.dilation, height.dilation, width.dilation,
        geometry.groups, rows, images, tile_channels, tiles_per_chunk, panels_per_chunk,
    )  # fmt: skip


class Direct(ConvAlgorithm):
    """Every convolution, of images and volumes."""

    name = "direct"
    summary = "the micro-kernel on the input itself"
    volumes = True
    fuses = True

    def forward(self, x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE):
        def in_panels(weight, bias):
            panels = packed(weight, geometry, False, *forward_nest(geometry).taps)
            return panels, start_at_bias(bias, geometry, panels)

        panels, start = filters.prepared(("panels", geometry.groups), in_panels)
        out = memory.empty_channels_last(geometry.out_shape, x.dtype)
        residual = nothing(5, x.dtype) if epilogue.residual is None else _planes(epilogue.residual)
        tables, split = settings(geometry, False, x.itemsize)
        conv_forward_direct(_planes(x), panels, start, residual, _planes(out), *tables, epilogue.relu, *split)
        return out

    def grad_input(self, grad_out, weight, geometry: ConvGeometry):
        """grad_x, by the same loops with flipped and transposed filters."""
        nest = grad_input_nest(geometry)
        grad_x = empty_grad_x(geometry, grad_out.dtype)
        if nest.reaches_nothing:
            return grad_x
        panels = packed(weight, geometry, True, *nest.taps)
        tables, split = settings(geometry, True, grad_out.itemsize)
        residual = nothing(5, grad_out.dtype)
        conv_forward_direct(
            _planes(grad_out), panels, start_at_zero(panels), residual, _planes(grad_x), *tables, False, *split
        )  # fmt: skip
        return grad_x

    def grad_weight(self, x, grad_out, geometry: ConvGeometry):
        """grad_weight, with pixels as the summation index of the micro-kernel."""
        if geometry.n == 0:
            return sum_of_nothing(geometry, x.dtype)
        parts, block_filters, kernel_settings = _grad_weight_settings(geometry, x.itemsize)
        partials = partial_sums(geometry, parts, x.dtype, geometry.groups, block_filters)
        conv_grad_weight_direct(_planes(x), _planes(grad_out), partials, *kernel_settings)
        return sum_of_parts(partials, geometry)


DIRECT = Direct()

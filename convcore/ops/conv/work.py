"""How the work of a convolution is split into chunks and sums into parts, and the memory of its gradients."""

from __future__ import annotations

import math

import numpy as np

from convcore import memory
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.conv.loop_nest import grad_input_nest
from convcore.ops.core.budget import L2_BYTES, MIN_CHUNKS, ceil_div
from kernels.cpu.conv.grad_weight import channels_per_sum, sum_filter_partials

# What a chunk reads again and again should stay in L2: its window of the input together with its packed filters, or its
# patches.
WINDOW_BYTES = L2_BYTES // 8
PANEL_BYTES = L2_BYTES // 2
PATCHES_BYTES = L2_BYTES // 4
# Partial sums of a filter gradient may take this much memory in all.
PARTIALS_BYTES = 64 * 1024**2


def most_rows_per_chunk(row_bytes: int, budget: int, rows: int, chunks_per_row_block: int) -> int:
    """The most rows of a chunk: as many as fit the budget, but few enough for MIN_CHUNKS chunks."""
    row_blocks = ceil_div(MIN_CHUNKS, max(chunks_per_row_block, 1))
    return max(1, min(budget // row_bytes, ceil_div(rows, row_blocks)))


def even_rows_per_chunk(row_bytes: int, budget: int, rows: int, chunks_per_row_block: int) -> int:
    """How many rows each chunk takes, the last one included, so that there are no more chunks than by the most rows."""
    blocks = ceil_div(rows, most_rows_per_chunk(row_bytes, budget, rows, chunks_per_row_block))
    return ceil_div(rows, blocks)


def parts_of_sum(chunks_per_part: int, blocks: int, part_bytes: int) -> int:
    """How many partial sums a filter gradient over `blocks` blocks of pixels is split into."""
    return max(1, min(ceil_div(MIN_CHUNKS, chunks_per_part), blocks, PARTIALS_BYTES // part_bytes))


def partial_sums(geometry: ConvGeometry, parts: int, dtype: np.dtype, groups: int, block_filters: int) -> np.ndarray:
    """Memory for partial sums of a filter gradient: for each of `groups` groups of filters, blocks of their filters."""
    blocks, rows = ceil_div(geometry.c_out // groups, block_filters), geometry.taps // geometry.k_w
    channels = geometry.c_in // geometry.groups
    return memory.empty((parts, groups, blocks, rows, geometry.k_w * channels, block_filters), dtype)


def sum_of_parts(partials: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """The filter gradient whose `partial_sums` are given."""
    grad_weight = memory.empty(geometry.weight_shape, partials.dtype)
    filters = geometry.c_out // partials.shape[1]
    sum_filter_partials(partials, grad_weight.reshape(-1), geometry.taps, filters, channels_per_sum(geometry.taps))
    return grad_weight


def sum_of_nothing(geometry: ConvGeometry, dtype: np.dtype) -> np.ndarray:
    """The filter gradient of an empty batch."""
    return np.zeros(geometry.weight_shape, dtype)


def empty_grad_x(geometry: ConvGeometry, dtype: np.dtype) -> np.ndarray:
    """Memory for the gradient of x, with zeros where the stride steps over a place, for there no kernel writes."""
    grad_x = memory.empty_channels_last(geometry.x_shape, dtype)
    if grad_input_nest(geometry).destinations < math.prod(geometry.x_shape[2:]):
        grad_x.fill(0)
    return grad_x

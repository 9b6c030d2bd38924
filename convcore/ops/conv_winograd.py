"""Running Winograd's F(4x4, 3x3): when it is accepted, and how its work is split.

See kernels/cpu/conv_winograd.py and conv_winograd_grad_weight.py for the algorithm. Error on normally distributed data:
at most 5e-5 of the result's maximum (tested; typically 1e-5), where the direct algorithm has 5e-6. A NaN or an infinity
spreads over the 4x4 tiles of output whose 6x6 tiles of input hold it, also to pixels whose filter does not reach it,
and over all nine taps of a filter's gradient. `use_algorithm("direct")` switches both off.
"""

from __future__ import annotations

import numpy as np

from convcore import memory
from convcore.ops.derived import Kept, made_anew
from convcore.ops.geometry import ConvGeometry
from convcore.ops.layout import nhwc
from kernels.cpu.conv_winograd import (
    DEPTH,
    conv2d_winograd_f4x4_k3x3,
    conv2d_winograd_many_filters_f4x4_k3x3,
    transform_filters_f4x4_k3x3,
    transform_tiles_f4x4_k3x3,
)
from kernels.cpu.conv_winograd_grad_weight import conv2d_grad_weight_winograd_f4x4_k3x3, sum_winograd_parts
from kernels.cpu.conv_winograd_transforms import OUT_TILE, POINTS
from kernels.cpu.target import lanes, tile_columns

# Thresholds: measured against the direct algorithm on one core of a Zen 3 EPYC, see benchmarks/NOTES.md.
MIN_CHANNELS = 16  # below, the transforms of input and output cost more than the products save
MIN_TILES = 4  # below, the transform of the filters does
MIN_TASKS = 16
PANELS_AT_ONCE = 2
# Filters are transformed beforehand if there are more tiles than this and the transformed filters take at most so much.
FEW_TILES = 128
FILTERS_BYTES = 4 * 1024**2
TILES_PER_TASK = 32
# Otherwise tiles are, a slab at a time that takes at most so much.
SLAB_BYTES = 8 * 1024**2
SLAB_TILES_PER_TASK = 200
MIN_SLAB_TILES_PER_TASK = 32
TILES_PER_TRANSFORM = 16
# The gradient of the filters: what a task transforms at once and multiplies should stay in L2.
TILES_PER_BLOCK = 48
CHANNELS_PER_TASK = 64
FILTERS_PER_TASK = 128
CHANNELS_PER_SUM = 16


def _tiles(geometry: ConvGeometry) -> int:
    """The 4x4 tiles of all output images."""
    return geometry.n * -(-geometry.h_out // OUT_TILE) * -(-geometry.w_out // OUT_TILE)


def refuse(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    """Why Winograd cannot compute this convolution; None if it can."""
    height, width = geometry.height, geometry.width
    if (height.kernel, width.kernel) != (3, 3):
        return f"it is for 3x3 filters, not {height.kernel}x{width.kernel}"
    if (height.stride, width.stride, height.dilation, width.dilation) != (1, 1, 1, 1):
        return "it needs stride 1 and dilation 1"
    if geometry.groups != 1:
        return f"it does not do groups, here {geometry.groups}"
    return None


def advise_against(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    """Why Winograd should not compute this convolution, though it can; None if it should."""
    if dtype != np.float32:
        return "less accurate: its rounding error is ten times the direct algorithm's, and float64 asks for accuracy"
    if min(geometry.c_in, geometry.c_out) < MIN_CHANNELS:
        return f"slower: it pays from {MIN_CHANNELS} channels on, here {geometry.c_in} and {geometry.c_out}"
    tiles = _tiles(geometry)
    if tiles < MIN_TILES:
        return f"slower: it pays from {MIN_TILES} tiles of 4x4 outputs on, here {tiles}"
    return None


def _run(
    src, weight, bias, dst, pad_top: int, pad_left: int, transposed: bool, relu: bool = False, kept: Kept = made_anew
) -> None:
    """dst = src * weight with `pad_top`, `pad_left` zeros before; `transposed` exchanges channels and turns filters."""
    c_out, c_in = weight.shape[:2]
    strides = (9, c_in * 9) if transposed else (c_in * 9, 9)
    c_src, c_dst = (c_out, c_in) if transposed else (c_in, c_out)
    panel_columns = tile_columns(weight.itemsize)
    n_panels = -(-c_dst // panel_columns)
    start = np.zeros(n_panels * panel_columns, weight.dtype)
    if bias is not None:
        start[:c_dst] = bias
    filters = np.ascontiguousarray(weight).reshape(-1), *strides, transposed
    source, destination = nhwc(src), nhwc(dst)
    tiles_h, tiles_w = -(-dst.shape[2] // OUT_TILE), -(-dst.shape[3] // OUT_TILE)
    tiles = dst.shape[0] * tiles_h * tiles_w
    if tiles > FEW_TILES and POINTS * c_src * c_dst * weight.itemsize <= FILTERS_BYTES:

        def transformed() -> np.ndarray:
            panels = memory.empty((n_panels, POINTS, c_src + 1, panel_columns), weight.dtype)
            transform_filters_f4x4_k3x3(*filters, c_dst, panels)
            return panels

        panels = kept("transformed filters", transformed)
        conv2d_winograd_f4x4_k3x3(
            source, panels, start, relu, destination, pad_top, pad_left, min(TILES_PER_TASK, tiles), PANELS_AT_ONCE
        )
        return
    depths = -(-c_src // DEPTH)
    slabs = -(-tiles * depths * POINTS * DEPTH * weight.itemsize // SLAB_BYTES)
    for slab in range(slabs):
        first, end = slab * tiles // slabs, (slab + 1) * tiles // slabs
        planes = memory.empty((depths, POINTS, end - first + 1, DEPTH), weight.dtype)
        transform_tiles_f4x4_k3x3(source, planes, pad_top, pad_left, tiles_h, tiles_w, first, TILES_PER_TRANSFORM)
        wanted = min(-(-MIN_TASKS // n_panels), (end - first) // MIN_SLAB_TILES_PER_TASK)
        blocks = max(-(-(end - first) // SLAB_TILES_PER_TASK), wanted)
        panels_per_task = PANELS_AT_ONCE if n_panels * blocks >= PANELS_AT_ONCE * MIN_TASKS else 1
        conv2d_winograd_many_filters_f4x4_k3x3(
            planes, *filters, start, relu, destination, c_src, first, panels_per_task, -(-(end - first) // blocks)
        )


def forward(x, weight, bias, geometry: ConvGeometry, relu: bool = False, kept: Kept = made_anew):
    """out = x * weight + bias."""
    out = memory.empty_channels_last(geometry.out_shape, x.dtype)
    pads = geometry.height.pad_before, geometry.width.pad_before
    _run(x, weight, bias, out, *pads, transposed=False, relu=relu, kept=kept)
    return out


def grad_input(grad_out, weight, geometry: ConvGeometry):
    """grad_x: a convolution of grad_out, in which a filter that read `pad` zeros before now reads 2 - pad."""
    grad_x = memory.empty_channels_last(geometry.x_shape, grad_out.dtype)
    pads = 2 - geometry.height.pad_before, 2 - geometry.width.pad_before
    _run(grad_out, weight, None, grad_x, *pads, transposed=True)
    return grad_x


def grad_weight(x, grad_out, geometry: ConvGeometry):
    """grad_weight: the products of transformed tiles of x and of grad_out, summed over the tiles."""
    tiles, c_in, c_out = _tiles(geometry), geometry.c_in, geometry.c_out
    if tiles == 0:
        return np.zeros(geometry.weight_shape, x.dtype)  # the filter gradient of an empty batch: a sum of nothing
    panel_columns, vector = tile_columns(x.itemsize), lanes(x.itemsize)
    panels = -(-c_out // panel_columns)
    blocks = -(-tiles // TILES_PER_BLOCK)
    channels = -(-c_in // (-(-c_in // CHANNELS_PER_TASK) * vector)) * vector
    panels_per_task = -(-panels // -(-panels * panel_columns // FILTERS_PER_TASK))
    tasks_per_part = -(-c_in // channels) * -(-panels // panels_per_task)
    parts = min(-(-MIN_TASKS // tasks_per_part), blocks)
    partials = memory.empty((parts, panels, c_in, 9, panel_columns), x.dtype)
    conv2d_grad_weight_winograd_f4x4_k3x3(
        nhwc(x), nhwc(grad_out), partials, geometry.height.pad_before, geometry.width.pad_before,
        -(-tiles // blocks), channels, panels_per_task,
    )  # fmt: skip
    result = memory.empty(geometry.weight_shape, x.dtype)
    sum_winograd_parts(partials, result, CHANNELS_PER_SUM)
    return result

"""The algorithms of convolution: for each pass, the ways to compute it, in the order in which "auto" tries them.

Each function here takes and returns logical (N, C, H, W) arrays, of `VOLUME_PASSES` also (N, C, D, H, W), gets its
memory from the pool and calls a kernel. How work is split into tasks depends on the geometry alone, never on the number
of threads, so results are bitwise the same for every thread count.
"""

from __future__ import annotations

import functools

import numpy as np

from convcore import memory
from convcore.ops.conv import first_layer as conv_first_layer
from convcore.ops.conv import grouped as conv_grouped_passes
from convcore.ops.conv import winograd as conv_winograd
from convcore.ops.conv.algorithm import Algorithm
from convcore.ops.conv.depthwise import (
    forward_depthwise,
    grad_input_depthwise,
    grad_weight_depthwise,
    refuse_depthwise,
)
from convcore.ops.conv.far import room_for_grad_x
from convcore.ops.conv.geometry import ONE_PLANE, ConvGeometry, once_per_geometry
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters
from convcore.ops.core.layout import contiguous, nchw, nhwc, nothing, zeros
from convcore.ops.linear.matmul import product, rows_times_filters
from kernels.cpu.conv import direct as conv_direct
from kernels.cpu.conv import im2col as conv_im2col
from kernels.cpu.conv.grad_weight import channels_per_sum, conv_grad_weight_direct, sum_filter_partials
from kernels.cpu.conv.subsample import put_pixels, take_pixels
from kernels.cpu.micro.pack import pack_filters
from kernels.cpu.vector.target import TILE_ROWS, tile_columns
from kernels.reference import conv as reference

# A task's window and its packed filters should both stay in L2: 1 to 2 MiB on today's servers, less on laptops.
WINDOW_BYTES = 128 * 1024
PANEL_BYTES = 512 * 1024
# Enough tasks that two to sixteen threads are evenly loaded, few enough that each one is worth its start.
MIN_TASKS = 16
# Partial sums of a filter gradient may take this much memory in all.
PARTIALS_BYTES = 64 * 1024**2
# The gradient of the filters: a block's pixels of one tile and one panel stay in L1, its sums (9 taps) in L2.
PIXELS_PER_BLOCK = 256
# Its channels and filters: few taps leave room for more of both, which are then copied less often.
TASK_SIZE, TASK_SIZE_OF_FEW_TAPS, FEW_TAPS = 64, 128, 4
# Where the direct algorithm computes 1x1 filters faster than a product of matrices: 0.95 to 1.6 times in 44 cases with
# AVX2 and AVX-512, of 16 to 80 channels on the side with fewer of them. Its tiles end with the rows.
FEW_WEIGHTS, LONG_ROW = 128 * 128, 14
PATCHES_BYTES = 256 * 1024
MAX_PATCHES_ROW_BYTES = 256 * 1024**2


def _packed(weight: np.ndarray, geometry: ConvGeometry, transposed: bool, rows, columns) -> np.ndarray:
    """The panels of all filters with taps (rows[t], columns[t]); the rows of a volume's planes follow each other.

    The panels' columns are the filters and their rows the channels; if `transposed`, the other way round, as the
    gradient of the input needs it.
    """
    groups, taps = geometry.groups, geometry.taps
    filters, channels = geometry.c_out // groups, geometry.c_in // groups
    strides = channels * taps, taps  # of a filter and of a channel in the contiguous weight
    c_dst, c_src = filters, channels
    if transposed:
        strides, c_dst, c_src = strides[::-1], channels, filters
    panel_columns = tile_columns(weight.itemsize)
    panels = memory.empty((groups, -(-c_dst // panel_columns), rows.size, c_src, panel_columns), weight.dtype)
    flat = contiguous(weight).reshape(-1)
    pack_filters(flat, filters * channels * taps, *strides, geometry.k_w, rows, columns, c_dst, panels)
    return panels


def _start(bias: np.ndarray | None, geometry: ConvGeometry, panels: np.ndarray) -> np.ndarray:
    """Where the accumulators of the forward pass start, (groups, n_panels * PC): at the bias."""
    if bias is None:
        return _zeros(panels)
    filters = geometry.c_out // geometry.groups
    start = np.zeros((panels.shape[0], panels.shape[1] * panels.shape[4]), panels.dtype)
    start[:, :filters] = bias.reshape(geometry.groups, filters)
    return start


def _zeros(panels: np.ndarray) -> np.ndarray:
    return zeros((panels.shape[0], panels.shape[1] * panels.shape[4]), panels.dtype)


def _rows_for(row_bytes: int, budget: int, rows: int, tasks_per_row_block: int) -> int:
    """How many rows a task takes: as many as fit the budget, but few enough for MIN_TASKS tasks; evenly many."""
    wanted = max(-(-MIN_TASKS // max(tasks_per_row_block, 1)), 1)
    most = max(1, min(budget // max(row_bytes, 1), -(-rows // wanted)))
    return max(1, -(-rows // max(1, -(-rows // most))))


# ---------------------------------------------------------------------------------------------------------- direct


def _planes(image: np.ndarray) -> np.ndarray:
    """The block (N, D, H, W, C) of a volume (N, C, D, H, W), or of an image (N, C, H, W) with D = 1."""
    block = nhwc(image)
    return block if block.ndim == 5 else block[:, None]


@once_per_geometry
def _direct_settings(geometry: ConvGeometry, to_input: bool, itemsize: int) -> tuple[tuple, tuple]:
    """What the direct kernel takes after its arrays, before and after `relu`."""
    walks = geometry.grad_input_walks if to_input else geometry.forward_walks
    walk_d, walk_h, walk_w = walks.depth, walks.height, walks.width
    _, c_src, *_, w_src = geometry.out_shape if to_input else geometry.x_shape
    c_src, c_dst = c_src // geometry.groups, (geometry.c_in if to_input else geometry.c_out) // geometry.groups
    columns = tile_columns(itemsize)
    panels, panel_bytes = -(-c_dst // columns), walks.taps[0].size * c_src * columns * itemsize
    tasks_per_row_block = geometry.n * len(walk_d.phases) * walk_d.most * len(walk_h.phases)
    # Each task copies its window: where images alone make enough tasks, one takes more panels than stay in L2.
    blocks = -(-MIN_TASKS // max(tasks_per_row_block, 1))
    panels_per_task = max(1, min(max(PANEL_BYTES // panel_bytes, -(-panels // blocks)), panels))
    tasks_per_row_block *= -(-panels // panels_per_task)
    row_bytes = walk_h.src_step * w_src * c_src * itemsize * int(walk_d.phases[:, 3].max())
    rows = _rows_for(row_bytes, WINDOW_BYTES, walk_h.most, tasks_per_row_block)
    tables = (
        walk_d.phases, walk_d.offsets, walk_h.phases, walk_h.offsets, walk_w.phases, walk_w.offsets, walks.steps,
        geometry.groups, walk_w.consecutive,
    )  # fmt: skip
    return tables, (rows, panels_per_task)


def _direct(src, panels, start, geometry: ConvGeometry, to_input: bool, epilogue: Epilogue = NO_EPILOGUE) -> np.ndarray:
    """The direct kernel's result for src, both logical (N, C, H, W) or (N, C, D, H, W)."""
    if to_input:
        result = room_for_grad_x(geometry, src.dtype)
    else:
        result = memory.empty_channels_last(geometry.out_shape, src.dtype)
    dst = nhwc(result)
    tables, split = _direct_settings(geometry, to_input, src.itemsize)
    planes = dst if geometry.depth is not None else dst[:, None]
    residual = nothing(5, dst.dtype) if epilogue.residual is None else _planes(epilogue.residual)
    conv_direct.conv_forward_direct(_planes(src), panels, start, residual, planes, *tables, epilogue.relu, *split)
    return result


def forward_direct(x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE):
    """out = x * weight + bias, and the epilogue, by address arithmetic around the micro-kernel."""

    def in_panels(weight, bias):
        panels = _packed(weight, geometry, False, *geometry.forward_walks.taps)
        return panels, _start(bias, geometry, panels)

    panels, start = filters.prepared(("panels", geometry.groups), in_panels)
    return _direct(x, panels, start, geometry, False, epilogue)


def grad_input_direct(grad_out, weight, geometry: ConvGeometry):
    """grad_x, by the same walk with flipped and transposed filters."""
    walks = geometry.grad_input_walks
    if walks.reaches_nothing:
        return room_for_grad_x(geometry, grad_out.dtype)
    panels = _packed(weight, geometry, True, *walks.taps)
    return _direct(grad_out, panels, _zeros(panels), geometry, True)


def _parts(tasks_per_part: int, blocks: int, part_bytes: int) -> int:
    """How many partial sums a filter gradient is split into."""
    wanted = -(-MIN_TASKS // tasks_per_part)
    return max(1, min(wanted, blocks, PARTIALS_BYTES // max(part_bytes, 1)))


def _no_pixels(geometry: ConvGeometry, dtype) -> np.ndarray:
    """The filter gradient of an empty batch: a sum of nothing."""
    return np.zeros(geometry.weight_shape, dtype)


def _partials(geometry: ConvGeometry, parts: int, dtype, block_filters: int) -> np.ndarray:
    """Room for partial sums of the filters of each group, in blocks of so many filters."""
    channels, filters = geometry.c_in // geometry.groups, geometry.c_out // geometry.groups
    blocks, rows = -(-filters // block_filters), geometry.taps // geometry.k_w
    return memory.empty((parts, geometry.groups, blocks, rows, geometry.k_w * channels, block_filters), dtype)


def _summed(partials: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    grad_weight = memory.empty(geometry.weight_shape, partials.dtype)
    filters = geometry.c_out // geometry.groups
    sum_filter_partials(partials, grad_weight.reshape(-1), geometry.taps, filters, channels_per_sum(geometry.taps))
    return grad_weight


def _grad_weight(x: np.ndarray, grad_out: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """grad_weight from blocks (N, D, H, W, C) and (N, D', H', W', K) of a geometry that may see them as other rows."""
    depth, height, width = geometry.depth or ONE_PLANE, geometry.height, geometry.width
    channels, filters = geometry.c_in // geometry.groups, geometry.c_out // geometry.groups
    tile_channels = -(-channels // -(-channels // TILE_ROWS))
    tiles, panels = -(-channels // tile_channels), -(-filters // tile_columns(x.itemsize))
    size = TASK_SIZE_OF_FEW_TAPS if geometry.k_h * geometry.k_w <= FEW_TAPS else TASK_SIZE
    tiles_per_task = min(-(-size // tile_channels), tiles)
    panels_per_task = min(-(-size // tile_columns(x.itemsize)), panels)
    pixels = max(1, PIXELS_PER_BLOCK // height.stride)
    rows = max(1, min(pixels // geometry.w_out, geometry.h_out))
    planes = geometry.n * depth.size_out
    images = max(1, min(pixels // (geometry.h_out * geometry.w_out), planes))
    blocks = -(-planes // images) * -(-geometry.h_out // rows)
    tasks_per_part = geometry.groups * depth.kernel * -(-tiles // tiles_per_task) * -(-panels // panels_per_task)
    # Each part writes its sums and has them read again: that must stay less than the images themselves.
    weight_bytes = geometry.c_out * geometry.reduction * x.itemsize
    worth = max(1, (x.nbytes + grad_out.nbytes) // (2 * weight_bytes))
    parts = min(worth, _parts(tasks_per_part, blocks, weight_bytes))
    partials = _partials(geometry, parts, x.dtype, panels_per_task * tile_columns(x.itemsize))
    conv_grad_weight_direct(
        x, grad_out, partials, depth.kernel, height.kernel, width.kernel, depth.stride, height.stride, width.stride,
        depth.pad_before, height.pad_before, width.pad_before, depth.dilation, height.dilation, width.dilation,
        geometry.groups, rows, images, tile_channels, tiles_per_task, panels_per_task,
    )  # fmt: skip
    return _summed(partials, geometry)


def grad_weight_direct(x, grad_out, geometry: ConvGeometry):
    """grad_weight, with pixels as the summation index of the micro-kernel."""
    if geometry.n == 0:
        return _no_pixels(geometry, x.dtype)
    return _grad_weight(_planes(x), _planes(grad_out), geometry)


# ------------------------------------------------------------------------------------------------------- pointwise


def _refuse_pointwise(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    if (geometry.k_h, geometry.k_w) != (1, 1):
        return f"its filters must be 1 x 1, they are {geometry.k_h} x {geometry.k_w}"
    if geometry.groups > 1:
        return f"it computes one group, there are {geometry.groups}"
    pads = geometry.height.pad_before, geometry.height.pad_after, geometry.width.pad_before, geometry.width.pad_after
    if any(pads):
        return "it takes no padding"
    return None


def _advise_against_pointwise(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    """Few filters of few channels in rows of some length: the direct algorithm prepares and copies less."""
    weights = geometry.c_in * geometry.c_out
    if weights <= FEW_WEIGHTS and geometry.w_out >= LONG_ROW:
        return (
            f"slower: it pays from {FEW_WEIGHTS + 1} weights on or in rows of less than {LONG_ROW} pixels; here are "
            f"{weights} and {geometry.w_out}"
        )
    return None


def _matrix(block: np.ndarray) -> np.ndarray:
    """The block (N, H, W, C) as the matrix (N * H * W, C)."""
    return block.reshape(-1, block.shape[3])


def _image(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix (N * H * W, C) as (N, C, H, W)."""
    n, c, h, w = shape
    return nchw(pixels.reshape(n, h, w, c))


def _seen(x: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
    """The pixels that a stride does not step over, as a block (N, H', W', C)."""
    strides = geometry.height.stride, geometry.width.stride
    if strides == (1, 1):
        return nhwc(x)
    seen = memory.empty((geometry.n, geometry.h_out, geometry.w_out, geometry.c_in), x.dtype)
    take_pixels(nhwc(x), seen, *strides)
    return seen


def forward_pointwise(x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE):
    """out = x weight^T + bias, and the epilogue: each pixel's channels through one matrix."""
    if epilogue.residual is not None:
        epilogue = epilogue._replace(residual=_matrix(nhwc(epilogue.residual)))
    return _image(rows_times_filters(_matrix(_seen(x, geometry)), filters, epilogue), geometry.out_shape)


def grad_input_pointwise(grad_out, weight, geometry: ConvGeometry):
    """grad_x = grad_out weight; 0 where the stride stepped over a pixel."""
    n, c, h, w = geometry.x_shape
    seen = product(_matrix(nhwc(grad_out)), weight[:, :, 0, 0]).reshape(n, geometry.h_out, geometry.w_out, c)
    strides = geometry.height.stride, geometry.width.stride
    if strides == (1, 1):
        return nchw(seen)
    grad_x = memory.empty((n, h, w, c), seen.dtype)
    put_pixels(seen, grad_x, *strides)
    return nchw(grad_x)


def grad_weight_pointwise(x, grad_out, geometry: ConvGeometry):
    """grad_weight = grad_out^T x, a sum over all pixels."""
    return product(_matrix(nhwc(grad_out)).T, _matrix(_seen(x, geometry))).reshape(geometry.weight_shape)


# ---------------------------------------------------------------------------------------------------------- im2col


def _refuse_im2col(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    row_bytes = geometry.w_out * geometry.reduction * dtype.itemsize
    if row_bytes > MAX_PATCHES_ROW_BYTES:
        return (
            f"the patches of one output row take {row_bytes / 1024**2:.0f} MiB "
            f"(w_out * reduction * itemsize = {geometry.w_out} * {geometry.reduction} * {dtype.itemsize}), "
            f"more than {MAX_PATCHES_ROW_BYTES // 1024**2} MiB"
        )
    return None


@functools.lru_cache(maxsize=256)
def _taps_in_order(k_h: int, k_w: int) -> tuple[np.ndarray, np.ndarray]:
    """The taps (r, s) row by row; shared by all calls, which only read them."""
    rows, columns = np.indices((k_h, k_w))
    return rows.reshape(-1), columns.reshape(-1)


def _im2col_settings(geometry: ConvGeometry) -> tuple[int, ...]:
    height, width = geometry.height, geometry.width
    return (
        geometry.k_h, geometry.k_w, height.stride, width.stride, height.pad_before, width.pad_before,
        height.dilation, width.dilation, geometry.groups,
    )  # fmt: skip


def _rows_of_patches(geometry: ConvGeometry, itemsize: int) -> int:
    return _rows_for(geometry.w_out * geometry.reduction * itemsize, PATCHES_BYTES, geometry.h_out, geometry.n)


def forward_im2col(x, filters: Filters, geometry: ConvGeometry):
    """out = patches times filters."""

    def in_panels(weight, bias):
        panels = _packed(weight, geometry, False, *_taps_in_order(geometry.k_h, geometry.k_w))
        return panels, _start(bias, geometry, panels)

    out = memory.empty_channels_last(geometry.out_shape, x.dtype)
    panels, start = filters.prepared(("panels of patches", geometry.groups), in_panels)
    conv_im2col.conv2d_forward_im2col(
        nhwc(x), panels, start, nhwc(out), *_im2col_settings(geometry), _rows_of_patches(geometry, x.itemsize)
    )
    return out


def grad_input_im2col(grad_out, weight, geometry: ConvGeometry):
    """grad_x: grad_out times filters, every patch added back where it came from."""
    grad_x = memory.empty_channels_last(geometry.x_shape, grad_out.dtype)
    panels = _packed(weight, geometry, True, *_taps_in_order(geometry.k_h, geometry.k_w))
    rows = _rows_of_patches(geometry, grad_out.itemsize)
    conv_im2col.conv2d_grad_input_im2col(nhwc(grad_out), panels, nhwc(grad_x), *_im2col_settings(geometry), rows)
    return grad_x


def grad_weight_im2col(x, grad_out, geometry: ConvGeometry):
    """grad_weight: transposed patches times grad_out."""
    if geometry.n == 0:
        return _no_pixels(geometry, x.dtype)
    rows = _rows_of_patches(geometry, x.itemsize)
    blocks = geometry.n * -(-geometry.h_out // rows)
    weight_bytes = geometry.c_out * geometry.reduction * x.itemsize
    filters = geometry.c_out // geometry.groups
    partials = _partials(geometry, _parts(geometry.groups, blocks, weight_bytes), x.dtype, filters)
    conv_im2col.conv2d_grad_weight_im2col(nhwc(x), nhwc(grad_out), partials, *_im2col_settings(geometry), rows)
    return _summed(partials, geometry)


# ------------------------------------------------------------------------------------------------------- reference


def _reference_settings(geometry: ConvGeometry) -> tuple:
    stride, dilation = ([getattr(axis, name) for axis in geometry.axes] for name in ("stride", "dilation"))
    return stride, [(axis.pad_before, axis.pad_after) for axis in geometry.axes], dilation, geometry.groups


def forward_reference(x, filters: Filters, geometry: ConvGeometry):
    """out from the definition, in float64, rounded to x's dtype."""
    return reference.conv_forward(x, *filters.arrays(), *_reference_settings(geometry)).astype(x.dtype)


def grad_input_reference(grad_out, weight, geometry: ConvGeometry):
    """grad_x from the definition, in float64, rounded to grad_out's dtype."""
    grad_x = reference.conv_grad_input(grad_out, weight, geometry.x_shape, *_reference_settings(geometry))
    return grad_x.astype(grad_out.dtype)


def grad_weight_reference(x, grad_out, geometry: ConvGeometry):
    """grad_weight from the definition, in float64, rounded to x's dtype."""
    grad_weight = reference.conv_grad_weight(x, grad_out, geometry.weight_shape, *_reference_settings(geometry))
    return grad_weight.astype(x.dtype)


_POINTWISE = "one matrix product over all pixels"
_DEPTHWISE = "a filter for each channel, channels side by side in a vector"
_GROUPED = "few channels per group, output channels side by side in a vector"
_FIRST_LAYER = "pixels side by side in a vector, the values under a filter as the rows of a product"
_DIRECT = "the micro-kernel on the input itself"
_IM2COL = "patches copied into a matrix, then a matrix product"
_WINOGRAD = "a quarter of the multiplications, between transforms of 6x6 tiles"
_WINOGRAD_2X2 = "4/9 of the multiplications, between transforms of 4x4 tiles"
_REFERENCE = "shifted views in float64, one filter tap at a time"


def _winograd(pass_name: str, fuses: bool = False) -> tuple[Algorithm, Algorithm]:
    """The records of one pass by F(2x2, 3x3) and F(4x4, 3x3)."""
    direct = {"forward": forward_direct, "grad_input": grad_input_direct, "grad_weight": grad_weight_direct}[pass_name]
    small, large = (
        (run, conv_winograd.refuse, of.adviser(pass_name), fuses, conv_winograd.or_else(run, direct))
        for of in (conv_winograd.F2, conv_winograd.F4)
        for run in (getattr(of, pass_name),)
    )
    return Algorithm("winograd2x2", _WINOGRAD_2X2, *small), Algorithm("winograd", _WINOGRAD, *large)


_GROUPED_BY_FILTERS = conv_grouped_passes.refuse, conv_grouped_passes.advise_against_filters
_GROUPED_BY_CHANNELS = conv_grouped_passes.refuse, conv_grouped_passes.advise_against_channels
_GROUPED_SUMS = conv_grouped_passes.refuse, conv_grouped_passes.advise_against_sums

FORWARD = (
    Algorithm("pointwise", _POINTWISE, forward_pointwise, _refuse_pointwise, _advise_against_pointwise, fuses=True),
    Algorithm("depthwise", _DEPTHWISE, forward_depthwise, refuse_depthwise),
    Algorithm("grouped", _GROUPED, conv_grouped_passes.forward_grouped, *_GROUPED_BY_FILTERS),
    *_winograd("forward", fuses=True),
    Algorithm("direct", _DIRECT, forward_direct, fuses=True),
    Algorithm("im2col", _IM2COL, forward_im2col, _refuse_im2col),
    Algorithm("reference", _REFERENCE, forward_reference),
)
GRAD_INPUT = (
    Algorithm("pointwise", _POINTWISE, grad_input_pointwise, _refuse_pointwise, _advise_against_pointwise),
    Algorithm("depthwise", _DEPTHWISE, grad_input_depthwise, refuse_depthwise),
    Algorithm("grouped", _GROUPED, conv_grouped_passes.grad_input_grouped, *_GROUPED_BY_CHANNELS),
    *_winograd("grad_input"),
    Algorithm(
        "first_layer",
        _FIRST_LAYER,
        conv_first_layer.grad_input,
        conv_first_layer.refuse,
        conv_first_layer.advise_against,
    ),
    Algorithm("direct", _DIRECT, grad_input_direct),
    Algorithm("im2col", _IM2COL, grad_input_im2col, _refuse_im2col),
    Algorithm("reference", _REFERENCE, grad_input_reference),
)
GRAD_WEIGHT = (
    Algorithm("pointwise", _POINTWISE, grad_weight_pointwise, _refuse_pointwise),
    Algorithm("depthwise", _DEPTHWISE, grad_weight_depthwise, refuse_depthwise),
    Algorithm("grouped", _GROUPED, conv_grouped_passes.grad_weight_grouped, *_GROUPED_SUMS),
    *_winograd("grad_weight"),
    Algorithm("direct", _DIRECT, grad_weight_direct),
    Algorithm("im2col", _IM2COL, grad_weight_im2col, _refuse_im2col),
    Algorithm("reference", _REFERENCE, grad_weight_reference),
)
PASSES = {"forward": FORWARD, "grad_input": GRAD_INPUT, "grad_weight": GRAD_WEIGHT}
"""The algorithms for images; a series is an image of height 1."""

VOLUME_PASSES = {
    name: tuple(record for record in records if record.name in ("direct", "reference"))
    for name, records in PASSES.items()
}
"""The algorithms for volumes (N, C, D, H, W)."""

"""The algorithm "grouped" of 2-D convolution: few channels per group, output channels side by side in a vector.

out[n, g*K + k, oh, ow] = bias[g*K + k] + sum over c, r, s of
    x[n, g*C + c, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s - pad_left] * weight[g*K + k, c, r, s]

for K filters and C channels in each group. Where K = C and groups fill vectors without a rest the depthwise kernels
find each channel within the vectors that they load, with any dilation; else the input is spread first. Source: the
layer is that of S. Xie et al., "Aggregated Residual Transformations for Deep Neural Networks" (2017), section 3; the
kernels' forms are explained in `kernels/cpu/micro/depthwise_variants.py` and `kernels/cpu/conv/grouped.py`.
"""

from __future__ import annotations

import numpy as np

from convcore import memory
from convcore.ops.conv.depthwise import forward_depthwise, grad_input_depthwise, grad_weight_depthwise
from convcore.ops.conv.far import room_for_grad_x
from convcore.ops.conv.geometry import Axis, ConvGeometry, Walks
from convcore.ops.core.filters import Filters
from convcore.ops.core.layout import contiguous, nhwc
from kernels.cpu.conv import grouped as conv_grouped
from kernels.cpu.conv.grad_weight import channels_per_sum, sum_filter_partials
from kernels.cpu.vector.target import REGISTER_BYTES, lanes

# Groups of more results than so many vectors' lanes fill vectors by themselves (AVX2, 8 lanes; benchmarks/NOTES.md,
# "Grouped convolution" and "Groups within vectors"). Spread, 2 to 4 results per group took 0.3 to 0.9 times as long as
# with "direct", 8 took 1.2 to 1.4 times as long. Within vectors, 16 took 0.5 to 0.9 times as long in forward passes and
# gradients of the input, and 0.5 to 1.15 in gradients of the weight.
WIDEST_SPREAD, WIDEST_WITHIN = 1 / 2, 2
# Of 16 to 16 channels in one group, with AVX-512: 3x3 0.5 to 1.05 and 5x5 0.7 times as long as the next best, 7x7 1.4.
WIDEST_KERNEL_OF_ONE_VECTOR = 5
# Enough tasks that two to sixteen threads are evenly loaded; each task spreads the rows between it and the next again.
TASKS = 16
# A window is written once and read for every tap: it should stay in L2.
WINDOW_BYTES = 128 * 1024


def _in_vectors(geometry: ConvGeometry, dtype: np.dtype) -> bool:
    """Whether the depthwise kernels find the channels of each group within the vectors that they load."""
    group, vector = geometry.c_in // geometry.groups, lanes(dtype.itemsize)
    same = 1 < group == geometry.c_out // geometry.groups
    return same and geometry.c_in % vector == 0 and (vector % group == 0 or group % vector == 0)


def refuse(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    """Where the input is spread, only filter rows without gaps."""
    if geometry.width.dilation > 1 and not _in_vectors(geometry, dtype):
        return f"the taps of a filter row must be neighbours, the dilation is {geometry.width.dilation}"
    return None


def _advise_against(geometry: ConvGeometry, dtype: np.dtype, columns: int, what: str) -> str | None:
    if geometry.groups == 1:
        return "slower: there is one group"
    widest = int(lanes(dtype.itemsize) * (WIDEST_WITHIN if _in_vectors(geometry, dtype) else WIDEST_SPREAD))
    if columns > widest:
        return f"slower: groups of {columns} {what} fill vectors by themselves (more than {widest})"
    return None


def _is_one_vector(geometry: ConvGeometry, dtype: np.dtype) -> bool:
    """Whether one group of as many channels as an AVX-512 vector has lanes: half of a panel would stay empty."""
    vector = lanes(dtype.itemsize)
    small = max(geometry.k_h, geometry.k_w) <= WIDEST_KERNEL_OF_ONE_VECTOR
    return REGISTER_BYTES == 64 and small and geometry.c_in == geometry.c_out == vector and geometry.groups == 1


def advise_against_filters(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    """Groups of few filters: forward pass."""
    if _is_one_vector(geometry, dtype):
        return None
    return advise_against_sums(geometry, dtype)


def advise_against_channels(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    """Groups of few channels: the gradient of the input, where they are the result."""
    if _is_one_vector(geometry, dtype):
        return None
    return _advise_against(geometry, dtype, geometry.c_in // geometry.groups, "channels")


def advise_against_sums(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    """Groups of few filters: the gradient of the weight."""
    return _advise_against(geometry, dtype, geometry.c_out // geometry.groups, "filters")


def _rows(axis_rows: int, columns: int, channels: int, step: int, itemsize: int, n: int) -> int:
    """How many rows a window serves: as many as keep it in L2, but few enough for TASKS tasks in all."""
    row_bytes = step * columns * channels * conv_grouped.block_channels(itemsize) * itemsize
    blocks = -(-TASKS // max(n, 1))
    return max(1, min(WINDOW_BYTES // row_bytes, -(-axis_rows // blocks)))


def _tap_step(axis: Axis, to_input: bool) -> int:
    """How far the source advances from tap to tap."""
    return axis.dilation // (int(np.gcd(axis.stride, axis.dilation)) if to_input else 1)


def _in_blocks(filters: np.ndarray) -> np.ndarray:
    """(k_h, k_w, C, channels of the result) in blocks of the last axis, filled up with zeros."""
    widest = conv_grouped.block_channels(filters.itemsize)
    n_blocks = -(-filters.shape[3] // widest)
    padded = np.zeros((*filters.shape[:3], n_blocks * widest), filters.dtype)
    padded[..., : filters.shape[3]] = filters
    return contiguous(padded.reshape(*filters.shape[:3], n_blocks, widest).transpose(3, 0, 1, 2, 4))


def _grouped(src, filters, start, dst, geometry: ConvGeometry, walks: Walks, to_input) -> None:
    """Run the kernel from src to dst, both logical (N, C, H, W)."""
    walk_h, walk_w = walks.height, walks.width
    rows = int(walk_h.phases[:, conv_grouped.COUNT].max())
    channels = src.shape[1] // geometry.groups
    conv_grouped.conv2d_forward_grouped(
        nhwc(src), filters, start, nhwc(dst), walk_h.phases, walk_h.offsets, walk_w.phases, walk_w.offsets,
        geometry.groups, walk_h.src_step, walk_w.src_step, walk_h.dst_step, walk_w.dst_step,
        _tap_step(geometry.height, to_input),
        _rows(rows, src.shape[3], channels, walk_h.src_step, src.itemsize, src.shape[0] * len(walk_h.phases)),
    )  # fmt: skip


def forward_grouped(x, filters: Filters, geometry: ConvGeometry):
    """out = x * weight + bias, group by group."""
    if _in_vectors(geometry, x.dtype):
        return forward_depthwise(x, filters, geometry)

    def in_blocks(weight, bias) -> tuple[np.ndarray, np.ndarray]:
        start = np.zeros(geometry.c_out, x.dtype) if bias is None else contiguous(bias)
        return _in_blocks(weight.transpose(2, 3, 1, 0)), start

    out = memory.empty_channels_last(geometry.out_shape, x.dtype)
    blocks, start = filters.prepared("blocks", in_blocks)
    _grouped(x, blocks, start, out, geometry, geometry.forward_walks, to_input=False)
    return out


def grad_input_grouped(grad_out, weight, geometry: ConvGeometry):
    """grad_x, by the same walk with flipped filters; in each group filters and channels have changed places."""
    if _in_vectors(geometry, grad_out.dtype):
        return grad_input_depthwise(grad_out, weight, geometry)
    walks = geometry.grad_input_walks
    grad_x = room_for_grad_x(geometry, grad_out.dtype)
    if walks.reaches_nothing:
        return grad_x
    groups, k_h, k_w = geometry.groups, geometry.k_h, geometry.k_w
    grouped = weight.reshape(groups, geometry.c_out // groups, geometry.c_in // groups, k_h, k_w)
    turned = grouped.transpose(3, 4, 1, 0, 2)[walks.height.taps][:, walks.width.taps]  # taps, filters, groups, channels
    filters = _in_blocks(turned.reshape(*turned.shape[:3], geometry.c_in))
    start = np.zeros(geometry.c_in, grad_out.dtype)
    _grouped(grad_out, filters, start, grad_x, geometry, walks, to_input=True)
    return grad_x


def grad_weight_grouped(x, grad_out, geometry: ConvGeometry):
    """grad_weight: for each tap, channel under the filter and filter, a sum over the pixels of the batch."""
    if _in_vectors(geometry, x.dtype):
        return grad_weight_depthwise(x, grad_out, geometry)
    height, width = geometry.height, geometry.width
    channels = geometry.c_in // geometry.groups
    columns = (geometry.w_out - 1) * width.stride + width.kernel
    rows = _rows(geometry.h_out, columns, channels, height.stride, x.itemsize, geometry.n)
    parts = max(1, min(TASKS, geometry.n * -(-geometry.h_out // rows)))
    partials = memory.empty((parts, 1, 1, geometry.k_h, geometry.k_w * channels, geometry.c_out), x.dtype)
    conv_grouped.conv2d_grad_weight_grouped(
        nhwc(x), nhwc(grad_out), partials, geometry.k_w, height.stride, width.stride,
        height.pad_before, width.pad_before, height.dilation, geometry.groups, rows,
        conv_grouped.block_channels(x.itemsize),
    )  # fmt: skip
    grad_weight = memory.empty(geometry.weight_shape, x.dtype)
    taps = geometry.k_h * geometry.k_w
    sum_filter_partials(partials, grad_weight.reshape(-1), taps, geometry.c_out, channels_per_sum(taps))
    return grad_weight

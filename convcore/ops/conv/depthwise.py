"""The algorithm "depthwise" of 2-D convolution: one filter for each channel.

out[n, c, oh, ow] = bias[c] + sum over r, s of
    x[n, c, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s * dil_w - pad_left] * weight[c, 0, r, s]

Source: the layer is L. Sifre's, in "Rigid-Motion Scattering for Image Classification" (2014), section 6.2; the kernel's
form is explained in `kernels/cpu/conv/depthwise.py`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from convcore import memory
from convcore.ops.conv.far import room_for_grad_x
from convcore.ops.conv.geometry import Axis, ConvGeometry, once_per_geometry
from convcore.ops.core.filters import Filters
from convcore.ops.core.layout import contiguous, nhwc
from kernels.cpu.conv import depthwise as conv_depthwise
from kernels.cpu.conv.grad_weight import channels_per_sum, sum_filter_partials
from kernels.cpu.micro.depthwise_tile import LINE_BYTES

# Enough tasks that two to sixteen threads are evenly loaded.
TASKS = 32
# Rows of a band: in a border's column they are what fills a tile.
BAND_ROWS = 12
# Channels of one round over a task's bands where there are groups: at least so many, whose filters should stay in L1.
GROUPED_BLOCK = 64
# What a filter gradient reads again for each filter row should come from L1.
BAND_BYTES = 64 * 1024


@dataclass(frozen=True)
class DepthwiseWalk:
    """One dimension as `kernels/cpu/conv/depthwise.py` walks it.

    Attributes:
        spans: (n_spans, 5) integers; the kernel's file says what they mean.
        taps: for each tap in the order of the spans, its index in the filter.
        src_step, dst_step: how far source and destination advance within a span.
        tap_step: how far the source advances from tap to tap.
    """

    spans: np.ndarray
    taps: np.ndarray
    src_step: int
    dst_step: int
    tap_step: int


@functools.lru_cache(maxsize=4096)
def _walk(axis: Axis, to_input: bool) -> DepthwiseWalk:
    """The walk of the forward pass, or with `to_input` that of the gradient of the input."""
    walk, size_src, tap_step = axis.forward_walk(), axis.size_in, axis.dilation
    if to_input:
        # Taps of one phase lie stride / gcd(stride, dilation) apart in the filter, hence this far in grad_out.
        walk, size_src, tap_step = axis.grad_input_walk(), axis.size_out, axis.dilation // _gcd(axis)
    spans = []
    for start, count, first_tap, taps in walk.phases.tolist():
        offsets = walk.offsets[first_tap : first_tap + taps]
        reading = None
        for j in range(count):
            # Offsets rise, so the taps inside the source are a range.
            first, end = np.searchsorted(offsets, (-j * walk.src_step, size_src - j * walk.src_step)).tolist()
            if (first, end) == reading:
                spans[-1][conv_depthwise.COUNT] += 1
            else:
                reading = first, end
                source = int(offsets[first]) + j * walk.src_step if first < end else 0
                spans.append([start + j * walk.dst_step, source, 1, first_tap + first, end - first])
    return DepthwiseWalk(np.array(spans, np.int64), walk.taps, walk.src_step, walk.dst_step, tap_step)


@functools.lru_cache(maxsize=4096)
def _bands(axis: Axis, to_input: bool, most_rows: int) -> np.ndarray:
    """The spans of the height cut into bands of at most `most_rows` destinations, in rising order."""
    walk = _walk(axis, to_input)
    bands = []
    for dst, src, count, first, taps in walk.spans.tolist():
        cuts = -(-count // most_rows)
        for begin, end in ((i * count // cuts, (i + 1) * count // cuts) for i in range(cuts)):
            bands.append((dst + begin * walk.dst_step, src + begin * walk.src_step, end - begin, first, taps))
    return np.array(sorted(bands), np.int64)


def _gcd(axis: Axis) -> int:
    return int(np.gcd(axis.stride, axis.dilation))


def refuse_depthwise(geometry: ConvGeometry, dtype: np.dtype) -> str | None:
    """Only a filter per channel: groups == c_in == c_out."""
    if geometry.groups == geometry.c_in == geometry.c_out:
        return None
    return (
        "it needs one filter for each channel (groups == c_in == c_out), "
        f"got groups={geometry.groups}, c_in={geometry.c_in}, c_out={geometry.c_out}"
    )


def _filters(weight: np.ndarray, geometry: ConvGeometry, to_input: bool) -> np.ndarray:
    """(taps, channels of a group, channels of the result); for the input, filters and channels change places."""
    group = geometry.c_in // geometry.groups
    by_group = weight.reshape(geometry.groups, group, group, -1)
    turned = by_group.transpose(3, 1, 0, 2) if to_input else by_group.transpose(3, 2, 0, 1)
    return turned.reshape(-1, group, geometry.c_out)


@once_per_geometry
def _settings(geometry: ConvGeometry, to_input: bool) -> tuple[np.ndarray, tuple]:
    """The order of the filter taps, and what the kernel takes after its arrays."""
    height, width = _walk(geometry.height, to_input), _walk(geometry.width, to_input)
    bands = _bands(geometry.height, to_input, BAND_ROWS)
    tasks_per_image = -(-TASKS // max(geometry.n, 1))
    group = geometry.c_in // geometry.groups
    return height.taps[:, None] * geometry.k_w + width.taps, (
        bands, width.spans, height.src_step, width.src_step, height.dst_step, width.dst_step,
        height.tap_step, width.tap_step, -(-len(bands) // tasks_per_image),
        geometry.c_out if group == 1 else -(-GROUPED_BLOCK // group) * group,
    )  # fmt: skip


def _depthwise(src, filters: Filters, geometry: ConvGeometry, to_input: bool) -> np.ndarray:
    """The kernel's result for src, both logical (N, C, H, W)."""
    taps, settings = _settings(geometry, to_input)
    c = geometry.c_in

    def in_order(weight, bias) -> tuple[np.ndarray, np.ndarray]:
        ordered = _filters(weight, geometry, to_input).take(taps, axis=0)
        return ordered, np.zeros(c, weight.dtype) if bias is None else contiguous(bias)

    if to_input:
        dst = room_for_grad_x(geometry, src.dtype)
    else:
        dst = memory.empty_channels_last(geometry.out_shape, src.dtype)
    # The forward pass has one phase, so the order of its taps is that of the filters, whatever the geometry.
    prepared = filters.prepared(("taps in order", geometry.groups), in_order)
    conv_depthwise.conv2d_forward_depthwise(nhwc(src), *prepared, nhwc(dst), *settings)
    return dst


def forward_depthwise(x, filters: Filters, geometry: ConvGeometry):
    """out = x * weight + bias, group by group."""
    return _depthwise(x, filters, geometry, False)


def grad_input_depthwise(grad_out, weight, geometry: ConvGeometry):
    """grad_x, by the same walk with flipped filters."""
    if geometry.grad_input_walks.reaches_nothing:
        return room_for_grad_x(geometry, grad_out.dtype)
    return _depthwise(grad_out, Filters(weight), geometry, True)


def grad_weight_depthwise(x, grad_out, geometry: ConvGeometry):
    """grad_weight: for each tap, channel of a group and filter, a sum over the pixels of the batch."""
    height, width = _walk(geometry.height, False), _walk(geometry.width, False)
    group = geometry.c_in // geometry.groups
    # A band's rows of x and grad_out, as far as one tile sees them.
    row_bytes = (geometry.w_in * height.src_step + geometry.w_out) * LINE_BYTES
    bands = _bands(geometry.height, False, max(1, BAND_BYTES // row_bytes))
    grad_weight = memory.empty(geometry.weight_shape, x.dtype)
    parts = max(1, min(TASKS, geometry.n * len(bands)))
    partials = memory.empty((parts, 1, 1, geometry.k_h, geometry.k_w * group, geometry.c_out), x.dtype)
    conv_depthwise.conv2d_grad_weight_depthwise(
        nhwc(x), nhwc(grad_out), partials, bands, width.spans,
        height.src_step, width.src_step, height.tap_step, width.tap_step, group,
    )  # fmt: skip
    taps = geometry.k_h * geometry.k_w
    sum_filter_partials(partials, grad_weight.reshape(-1), taps, geometry.c_out, channels_per_sum(taps))
    return grad_weight

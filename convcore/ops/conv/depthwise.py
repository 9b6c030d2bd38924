"""The algorithm "depthwise" of 2-D convolution: one filter for each channel.

out[n, c, oh, ow] = bias[c] + sum over r, s of
    x[n, c, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s * dil_w - pad_left] * weight[c, 0, r, s]

Source: L. Sifre, "Rigid-Motion Scattering for Image Classification" (2014), section 6.2. See
`kernels/cpu/conv/depthwise.py` for the kernel.
"""

from __future__ import annotations

import numpy as np

from convcore import memory
from convcore.ops.conv.algorithm import ConvAlgorithm
from convcore.ops.conv.geometry import ConvGeometry, once_per_geometry
from convcore.ops.conv.loop_nest import bands, grad_input_nest, span_loop
from convcore.ops.conv.work import empty_grad_x, partial_sums, sum_of_parts
from convcore.ops.core.budget import MIN_CHUNKS, ceil_div
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters
from convcore.ops.core.layout import contiguous, nhwc
from kernels.cpu.conv.depthwise import conv2d_forward_depthwise, conv2d_grad_weight_depthwise
from kernels.cpu.micro.depthwise_tile import LINE_BYTES

CHUNKS = 2 * MIN_CHUNKS
# Rows of a band: in the columns of a border the rows fill a tile.
BAND_ROWS = 12
# The fewest channels of one round over a chunk's bands where there are groups: their filters should stay in L1.
GROUPED_BLOCK = 64
# What a filter gradient reads again for each filter row should come from L1.
BAND_BYTES = 64 * 1024


@once_per_geometry
def _settings(geometry: ConvGeometry, to_input: bool) -> tuple[np.ndarray, tuple]:
    """The order of the filter taps, and what the kernel takes after its arrays."""
    height, width = span_loop(geometry.height, to_input), span_loop(geometry.width, to_input)
    rows = bands(geometry.height, to_input, BAND_ROWS)
    chunks_per_image = ceil_div(CHUNKS, max(geometry.n, 1))
    group = geometry.c_in // geometry.groups
    return height.taps[:, None] * geometry.k_w + width.taps, (
        rows, width.spans, height.src_step, width.src_step, height.dst_step, width.dst_step,
        height.tap_step, width.tap_step, ceil_div(len(rows), chunks_per_image),
        geometry.c_out if group == 1 else ceil_div(GROUPED_BLOCK, group) * group,
    )  # fmt: skip


def _by_taps(weight: np.ndarray, geometry: ConvGeometry, to_input: bool, taps: np.ndarray) -> np.ndarray:
    """(taps of h, taps of w, channels of a group, channels of the result), in the order of `taps`.

    With `to_input` filters and channels change places.
    """
    group = geometry.c_in // geometry.groups
    by_group = weight.reshape(geometry.groups, group, group, -1)
    by_tap = by_group.transpose(3, 1, 0, 2) if to_input else by_group.transpose(3, 2, 0, 1)
    return by_tap.reshape(-1, group, geometry.c_out).take(taps, axis=0)


class Depthwise(ConvAlgorithm):
    """Groups of one channel; the passes also compute wider ones (`convcore.ops.conv.grouped`)."""

    name = "depthwise"
    summary = "a filter for each channel, channels side by side in a vector"

    def refuses(self, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        if geometry.groups == geometry.c_in == geometry.c_out:
            return None
        return (
            "it needs one filter for each channel (groups == c_in == c_out), "
            f"got groups={geometry.groups}, c_in={geometry.c_in}, c_out={geometry.c_out}"
        )

    def forward(self, x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE):
        """out = x * weight + bias, group by group."""
        taps, settings = _settings(geometry, False)

        def in_order(weight, bias) -> tuple[np.ndarray, np.ndarray]:
            start = np.zeros(geometry.c_out, weight.dtype) if bias is None else contiguous(bias)
            return _by_taps(weight, geometry, False, taps), start

        out = memory.empty_channels_last(geometry.out_shape, x.dtype)
        # There is one phase, so the order of the taps is that of the filters, whatever the geometry.
        by_taps, start = filters.prepared(("taps in order", geometry.groups), in_order)
        conv2d_forward_depthwise(nhwc(x), by_taps, start, nhwc(out), *settings)
        epilogue.apply(out)
        return out

    def grad_input(self, grad_out, weight, geometry: ConvGeometry):
        """grad_x, by the same loops with flipped filters."""
        grad_x = empty_grad_x(geometry, grad_out.dtype)
        if grad_input_nest(geometry).reaches_nothing:
            return grad_x
        taps, settings = _settings(geometry, True)
        start = np.zeros(geometry.c_in, weight.dtype)
        conv2d_forward_depthwise(nhwc(grad_out), _by_taps(weight, geometry, True, taps), start, nhwc(grad_x), *settings)
        return grad_x

    def grad_weight(self, x, grad_out, geometry: ConvGeometry):
        """grad_weight: for each tap, channel of a group and filter, a sum over the pixels of the batch."""
        height, width = span_loop(geometry.height, False), span_loop(geometry.width, False)
        # A band's rows of x and grad_out, as far as one tile sees them.
        row_bytes = (geometry.w_in * height.src_step + geometry.w_out) * LINE_BYTES
        rows = bands(geometry.height, False, max(1, BAND_BYTES // row_bytes))
        parts = max(1, min(CHUNKS, geometry.n * len(rows)))
        partials = partial_sums(geometry, parts, x.dtype, 1, geometry.c_out)
        conv2d_grad_weight_depthwise(
            nhwc(x), nhwc(grad_out), partials, rows, width.spans,
            height.src_step, width.src_step, height.tap_step, width.tap_step, geometry.c_in // geometry.groups,
        )  # fmt: skip
        return sum_of_parts(partials, geometry)


DEPTHWISE = Depthwise()

"""The algorithm "grouped" of 2-D convolution: few channels per group, output channels side by side in a vector.

out[n, g*K + k, oh, ow] = bias[g*K + k] + sum over c, r, s of
    x[n, g*C + c, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s - pad_left] * weight[g*K + k, c, r, s]

for K filters and C channels in each group. Where K = C and groups fill vectors without a rest the depthwise kernels
find each channel within the vectors that they load, with any dilation; else the input is replicated first.
Source: the layer is that of S. Xie et al., "Aggregated Residual Transformations for Deep Neural Networks" (2017),
section 3; the kernels are explained in `kernels/cpu/micro/depthwise_variants.py` and `kernels/cpu/conv/grouped.py`.
"""

from __future__ import annotations

import numpy as np

from convcore import memory
from convcore.ops.conv.algorithm import ConvAlgorithm
from convcore.ops.conv.depthwise import DEPTHWISE
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.conv.loop_nest import LoopNest, forward_nest, grad_input_nest, tap_step
from convcore.ops.conv.work import WINDOW_BYTES, empty_grad_x, most_rows_per_chunk, partial_sums, sum_of_parts
from convcore.ops.core.budget import MIN_CHUNKS, ceil_div
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters
from convcore.ops.core.layout import contiguous, nhwc
from kernels.cpu.conv.grouped import block_channels, conv2d_forward_grouped, conv2d_grad_weight_grouped
from kernels.cpu.vector.target import REGISTER_BYTES, lanes

# Groups of more results than the lanes of this many vectors fill vectors by themselves (AVX2, 8 lanes;
# benchmarks/NOTES.md, "Grouped convolution" and "Groups within vectors"). Replicated, 2 to 4 results per group took 0.3
# to 0.9 times as long as with "direct", 8 took 1.2 to 1.4 times as long. Within vectors, 16 took 0.5 to 0.9 times as
# long in forward passes and gradients of the input, and 0.5 to 1.15 in gradients of the weight.
WIDEST_REPLICATED, WIDEST_WITHIN = 1 / 2, 2
# Of 16 to 16 channels in one group, with AVX-512: 3x3 0.5 to 1.05 and 5x5 0.7 times as long as the next best, 7x7 1.4.
WIDEST_KERNEL_OF_ONE_VECTOR = 5


def _within_vectors(geometry: ConvGeometry, dtype: np.dtype) -> bool:
    """Whether the depthwise kernels find the channels of each group within the vectors that they load."""
    group, vector = geometry.c_in // geometry.groups, lanes(dtype.itemsize)
    same = 1 < group == geometry.c_out // geometry.groups
    return same and geometry.c_in % vector == 0 and (vector % group == 0 or group % vector == 0)


def _is_one_vector(geometry: ConvGeometry, dtype: np.dtype) -> bool:
    """Whether one group of as many channels as an AVX-512 vector has lanes: half of a panel would stay empty."""
    vector = lanes(dtype.itemsize)
    small = max(geometry.k_h, geometry.k_w) <= WIDEST_KERNEL_OF_ONE_VECTOR
    return REGISTER_BYTES == 64 and small and geometry.c_in == geometry.c_out == vector and geometry.groups == 1


def _rows_per_chunk(rows: int, columns: int, channels: int, step: int, itemsize: int, others: int) -> int:
    """How many rows a window serves; it is written once and read for every tap, so it should stay in L2."""
    row_bytes = step * columns * channels * block_channels(itemsize) * itemsize
    return most_rows_per_chunk(row_bytes, WINDOW_BYTES, rows, others)


def _in_blocks(filters: np.ndarray) -> np.ndarray:
    """(k_h, k_w, C, channels of the result) in blocks of the last axis, filled up with zeros."""
    widest = block_channels(filters.itemsize)
    n_blocks = ceil_div(filters.shape[3], widest)
    padded = np.zeros((*filters.shape[:3], n_blocks * widest), filters.dtype)
    padded[..., : filters.shape[3]] = filters
    return contiguous(padded.reshape(*filters.shape[:3], n_blocks, widest).transpose(3, 0, 1, 2, 4))


def _settings(src: np.ndarray, geometry: ConvGeometry, nest: LoopNest, to_input: bool) -> tuple:
    """What the kernel takes after its arrays, for a source (N, C, H, W)."""
    n, c, _, columns = src.shape
    h, w = nest.height, nest.width
    return (
        h.phases, h.offsets, w.phases, w.offsets, geometry.groups, h.src_step, w.src_step, h.dst_step, w.dst_step,
        tap_step(geometry.height, to_input),
        _rows_per_chunk(h.most, columns, c // geometry.groups, h.src_step, src.itemsize, n * len(h.rows)),
    )  # fmt: skip


class Grouped(ConvAlgorithm):
    """Any number of groups, where filter rows have no gaps or groups lie within vectors."""

    name = "grouped"
    summary = "few channels per group, output channels side by side in a vector"

    def refuses(self, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        """Where the input is replicated, only filter rows without gaps."""
        if geometry.width.dilation > 1 and not _within_vectors(geometry, dtype):
            return f"the taps of a filter row must be neighbours, the dilation is {geometry.width.dilation}"
        return None

    def advises_against(self, pass_name: str, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        """It is for groups of few results: filters, or in the gradient of the input channels."""
        if pass_name != "grad_weight" and _is_one_vector(geometry, dtype):
            return None
        if geometry.groups == 1:
            return "slower: there is one group"
        of_channels = pass_name == "grad_input"
        results = (geometry.c_in if of_channels else geometry.c_out) // geometry.groups
        widest = int(lanes(dtype.itemsize) * (WIDEST_WITHIN if _within_vectors(geometry, dtype) else WIDEST_REPLICATED))
        if results > widest:
            what = "channels" if of_channels else "filters"
            return f"slower: groups of {results} {what} fill vectors by themselves (more than {widest})"
        return None

    def forward(self, x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE):
        """out = x * weight + bias, group by group."""
        if _within_vectors(geometry, x.dtype):
            return DEPTHWISE.forward(x, filters, geometry, epilogue)

        def in_blocks(weight, bias) -> tuple[np.ndarray, np.ndarray]:
            start = np.zeros(geometry.c_out, x.dtype) if bias is None else contiguous(bias)
            return _in_blocks(weight.transpose(2, 3, 1, 0)), start

        out = memory.empty_channels_last(geometry.out_shape, x.dtype)
        blocks, start = filters.prepared("blocks", in_blocks)
        conv2d_forward_grouped(
            nhwc(x), blocks, start, nhwc(out), *_settings(x, geometry, forward_nest(geometry), False)
        )
        epilogue.apply(out)
        return out

    def grad_input(self, grad_out, weight, geometry: ConvGeometry):
        """grad_x, by the same loops with flipped filters; in each group filters and channels have changed places."""
        if _within_vectors(geometry, grad_out.dtype):
            return DEPTHWISE.grad_input(grad_out, weight, geometry)
        nest = grad_input_nest(geometry)
        grad_x = empty_grad_x(geometry, grad_out.dtype)
        if nest.reaches_nothing:
            return grad_x
        groups, k_h, k_w = geometry.groups, geometry.k_h, geometry.k_w
        by_group = weight.reshape(groups, geometry.c_out // groups, geometry.c_in // groups, k_h, k_w)
        by_tap = by_group.transpose(3, 4, 1, 0, 2)[nest.height.taps][:, nest.width.taps]  # h, w, filters, groups, C
        filters = _in_blocks(by_tap.reshape(*by_tap.shape[:3], geometry.c_in))
        start = np.zeros(geometry.c_in, grad_out.dtype)
        settings = _settings(grad_out, geometry, nest, True)
        conv2d_forward_grouped(nhwc(grad_out), filters, start, nhwc(grad_x), *settings)
        return grad_x

    def grad_weight(self, x, grad_out, geometry: ConvGeometry):
        """grad_weight: for each tap, channel under the filter and filter, a sum over the pixels of the batch."""
        if _within_vectors(geometry, x.dtype):
            return DEPTHWISE.grad_weight(x, grad_out, geometry)
        height, width = geometry.height, geometry.width
        columns = (geometry.w_out - 1) * width.stride + width.kernel
        channels = geometry.c_in // geometry.groups
        rows = _rows_per_chunk(geometry.h_out, columns, channels, height.stride, x.itemsize, geometry.n)
        parts = max(1, min(MIN_CHUNKS, geometry.n * ceil_div(geometry.h_out, rows)))
        partials = partial_sums(geometry, parts, x.dtype, 1, geometry.c_out)
        conv2d_grad_weight_grouped(
            nhwc(x), nhwc(grad_out), partials, geometry.k_w, height.stride, width.stride,
            height.pad_before, width.pad_before, height.dilation, geometry.groups, rows, block_channels(x.itemsize),
        )  # fmt: skip
        return sum_of_parts(partials, geometry)


GROUPED = Grouped()

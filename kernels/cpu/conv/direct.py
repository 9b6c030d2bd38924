"""Direct convolution: no transformed copy of the input, only address arithmetic around the micro-kernel.

Forward and the gradient of the input are the same loop nest. In each dimension a *destination* index d and a filter tap
t meet at one *source* index, and both passes can be written as

    destination  d = start[p] + j * dst_step          phase p, j = 0, 1, ...
    source       s = j * src_step + offset[t]         for the taps t of phase p

- forward: destination = output, one phase, dst_step = 1, src_step = stride, offset[t] = t * dilation - padding;
- gradient of the input: destination = input, source = grad_out, src_step = 1, dst_step = stride. A filter tap reaches
  only the input positions of one remainder modulo the stride, so there are `stride` phases with a part of the taps
  each, and nothing is multiplied by the zeros that a dilated grad_out would have.

Taps that are neighbours in the source are merged: with dilation 1 the k_w taps of a filter row are one tap of
k_w * C contiguous values, so the micro-kernel's inner loop is long even for an image of 1 or 3 channels.
Source: the loop nest is E. Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions on SIMD
Architectures" (2018), section II, with channels-last layout.
"""

import numpy as np

from kernels.cpu.conv.loop_table import COUNT, DST, FIRST_TAP, TAPS, most_destinations
from kernels.cpu.micro.brgemm import brgemm
from kernels.cpu.micro.gather import copy_window, reaches_outside
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.target import REGISTER_BYTES, STREAM_BYTES, TILE_VECTORS
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _extent(phases, offsets, src_step):
    """The most destinations of a phase, and the first and last source index that any phase reads."""
    most, first, last = most_destinations(phases), offsets[0], offsets[0]
    for t in range(offsets.size):
        first = min(first, offsets[t])
        last = max(last, offsets[t])
    return most, first, last + (most - 1) * src_step


@inline
def _chunks(src, panels, phases_d, phases_h, rows_per_chunk, panels_per_chunk):
    planes = phases_d.shape[0] * most_destinations(phases_d)
    row_blocks = phases_h.shape[0] * ceil_div(most_destinations(phases_h), rows_per_chunk)
    return src.shape[0] * planes * row_blocks * ceil_div(panels.shape[1], panels_per_chunk)


@kernel(_chunks)
def conv_forward_direct(
    chunk, src, panels, bias, residual, dst, phases_d, offsets_d, phases_h, offsets_h, phases_w, offsets_w, steps,
    groups, merged, relu, rows_per_chunk, panels_per_chunk,
):  # fmt: skip
    """Convolve: the forward pass, or the gradient of the input.

    Computes   dst[n, dd, dh, dw, k] = bias[k] + residual[n, dd, dh, dw, k] + sum over taps (q, t, u) and channels l of
               src[n, jd * src_step_d + offsets_d[q], jh * src_step_h + offsets_h[t], jw * src_step_w + offsets_w[u], l]
               * filter[k, (q, t, u), l]; if `relu`, max(0, that), where NaN stays NaN.
    Requires   src (N, D, H, W, C), dst (N, D', H', W', K) C-contiguous, for images with D = D' = 1; residual as dst, or
               empty where nothing is to be added; steps holds [src_step, dst_step] of each axis; panels as
               `pack_filters` writes them, taps in the order of phases (pd, ph, pw), then q, then t, then u; bias padded
               to full panels per group. If `merged`, the offsets_w of a phase are consecutive.
    Writes     all of dst.
    Parallel   over images, planes of dst, phases of rows, blocks of rows and blocks of panels.
    Why        the accumulators of a tile stay in registers over all taps and channels, and a chunk's source rows and
               panel stay in L2: every value loaded is used 12 or 32 times.
    """
    _, d_src, h_src, w_src, c_src = src.shape
    _, d_dst, h_dst, w_dst, c_dst = dst.shape
    source, destination, packed, start = src.reshape(-1), dst.reshape(-1), panels.reshape(-1), bias.reshape(-1)
    has_residual, stream = residual.size > 0, dst.size * dst.itemsize >= STREAM_BYTES
    added = residual.reshape(-1) if has_residual else destination
    src_step_d, src_step_h, src_step_w = steps[0, 0], steps[1, 0], steps[2, 0]
    dst_step_d, dst_step_h, dst_step_w = steps[0, 1], steps[1, 1], steps[2, 1]
    lanes_per_panel = TILE_VECTORS * (REGISTER_BYTES // src.itemsize)
    channels, filters = c_src // groups, c_dst // groups
    n_panels = panels.shape[1]
    panel_blocks = ceil_div(n_panels, panels_per_chunk)
    most_planes, d_first, d_last = _extent(phases_d, offsets_d, src_step_d)
    most_rows, h_first, h_last = _extent(phases_h, offsets_h, src_step_h)
    _, w_first, w_last = _extent(phases_w, offsets_w, src_step_w)
    row_blocks = ceil_div(most_rows, rows_per_chunk)

    # The window of a chunk: the planes and the rows of the chunk's phases, and the columns of all phases.
    copied = (
        groups > 1 or reaches_outside(d_first, d_last, d_src) or reaches_outside(h_first, h_last, h_src)
        or reaches_outside(w_first, w_last, w_src)
    )  # fmt: skip
    window_columns = w_last - w_first + 1
    window_rows = h_last - h_first - (most_rows - rows_per_chunk) * src_step_h + 1
    window_plane = window_rows * window_columns * channels

    panel_block = chunk % panel_blocks
    rest = chunk // panel_blocks
    row_block = rest % row_blocks
    rest = rest // row_blocks
    ph = rest % phases_h.shape[0]
    rest = rest // phases_h.shape[0]
    jd = rest % most_planes
    rest = rest // most_planes
    pd = rest % phases_d.shape[0]
    image = rest // phases_d.shape[0]

    j_first = row_block * rows_per_chunk
    j_count = min(rows_per_chunk, phases_h[ph, COUNT] - j_first)
    first_d, taps_d = phases_d[pd, FIRST_TAP], phases_d[pd, TAPS]
    first_h, taps_h = phases_h[ph, FIRST_TAP], phases_h[ph, TAPS]
    window = np.empty(taps_d * window_plane if copied else 0, src.dtype)
    taps = np.empty(max(1, taps_d * taps_h * offsets_w.size), np.int64)
    if j_count > 0 and jd < phases_d[pd, COUNT]:
        dd = phases_d[pd, DST] + jd * dst_step_d
        for g in range(groups):
            if copied:
                for q in range(taps_d):
                    plane = jd * src_step_d + offsets_d[first_d + q]
                    copy_window(
                        source, (image * d_src + plane) * h_src * w_src * c_src,
                        h_src if 0 <= plane < d_src else 0, w_src, c_src, g * channels, channels,
                        j_first * src_step_h + h_first, w_first, 1, 1,
                        window, q * window_plane, window_rows, window_columns, channels,
                    )  # fmt: skip
                a, a_origin, row_stride = window, 0, window_columns * channels
            else:
                a, row_stride = source, w_src * c_src
                a_origin = image * d_src * h_src + j_first * src_step_h + h_first
                a_origin = a_origin * row_stride + w_first * c_src
            for pw in range(phases_w.shape[0]):
                first_w, taps_w = phases_w[pw, FIRST_TAP], phases_w[pw, TAPS]
                # The taps of the micro-kernel: one per filter row if merged, else one per filter tap.
                tap_columns = min(taps_w, 1) if merged else taps_w
                n_taps = taps_d * taps_h * tap_columns
                length = channels * (taps_w if merged else 1)
                for q in range(taps_d):
                    plane = jd * src_step_d + offsets_d[first_d + q]
                    plane_offset = q * window_plane if copied else plane * h_src * row_stride
                    for t in range(taps_h):
                        row_offset = plane_offset + (offsets_h[first_h + t] - h_first) * row_stride
                        for u in range(tap_columns):
                            tap = (q * taps_h + t) * tap_columns + u
                            taps[tap] = row_offset + (offsets_w[first_w + u] - w_first) * channels
                tap_number = (first_d * offsets_h.size + taps_d * first_h) * offsets_w.size
                tap_number += taps_d * taps_h * first_w
                for p in range(panel_block * panels_per_chunk, min((panel_block + 1) * panels_per_chunk, n_panels)):
                    columns = min(lanes_per_panel, filters - p * lanes_per_panel)
                    panel = (g * n_panels + p) * offsets_d.size * offsets_h.size * offsets_w.size + tap_number
                    for j in range(j_first, j_first + j_count):
                        dh = phases_h[ph, DST] + j * dst_step_h
                        a_row_offset = a_origin + (j - j_first) * src_step_h * row_stride
                        dst_row = ((image * d_dst + dd) * h_dst + dh) * w_dst
                        dw = phases_w[pw, DST]
                        c_offset = (dst_row + dw) * c_dst + g * filters + p * lanes_per_panel
                        brgemm(
                            phases_w[pw, COUNT], a, a_row_offset, src_step_w * channels, 1, taps, n_taps, length,
                            packed, panel * channels * lanes_per_panel,
                            length * lanes_per_panel, lanes_per_panel,
                            destination, c_offset, dst_step_w * c_dst, columns,
                            start, (g * n_panels + p) * lanes_per_panel,
                            added, c_offset, has_residual, relu, stream, False,
                        )  # fmt: skip

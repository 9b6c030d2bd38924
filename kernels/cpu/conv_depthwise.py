"""Depthwise convolution: each channel has a filter of its own, and channels are the lanes of the vectors.

The passes are walks of addresses around `depthwise_tile`. In each dimension the destinations are divided into *spans*:
neighbours that read the same filter taps, all of them inside the source. In the middle of an image that is one span
with all taps; at a border each span leaves out the taps that would read padding. So nothing is padded, copied or
multiplied by zeros, and the micro-kernel knows no borders. A span is a row of a table:

    DST        its first destination; the next ones lie `dst_step` apart
    SRC        the source index that the first destination reads with the first tap
    COUNT      how many destinations; from one to the next the source advances by `src_step`
    FIRST_TAP  the first tap, counted in the order of the packed filters
    TAPS       how many taps (none where a window lies wholly in the padding); from one to the next the source advances
               by `tap_step`

The gradient of the input walks the same way from grad_out, with one set of spans for each remainder modulo the stride
(`convcore.ops.geometry.Axis.grad_input_walk` derives them).
"""

from kernels.cpu.brgemm import split_evenly
from kernels.cpu.denormals import flush_denormals, restore_denormals
from kernels.cpu.depthwise_tile import DEPTHWISE_ROWS, DEPTHWISE_VECTORS, depthwise_tile
from kernels.cpu.target import REGISTER_BYTES
from kernels.jit import inline, kernel, prange

# Columns of a table of spans.
DST, SRC, COUNT, FIRST_TAP, TAPS = 0, 1, 2, 3, 4


@inline
def _channel_blocks(channels, lanes):
    """How many blocks the channels of a tile are taken from: of whole vectors, and one of what is left."""
    return (channels // lanes + DEPTHWISE_VECTORS - 1) // DEPTHWISE_VECTORS + (1 if channels % lanes else 0)


@inline
def _channel_block(channels, lanes, block):
    """The range [begin, end) of channels in a block."""
    whole = channels // lanes
    wide_blocks = (whole + DEPTHWISE_VECTORS - 1) // DEPTHWISE_VECTORS
    if block == wide_blocks:
        return whole * lanes, channels
    begin, end = split_evenly(whole, wide_blocks, block)
    return begin * lanes, end * lanes


@kernel
def conv2d_depthwise(
    src, filters, bias, dst, rows, spans, src_step_w, dst_step_w, tap_step_h, tap_step_w, rows_per_task
):
    """Convolve each channel with its filter: the forward pass, or the gradient of the input.

    Computes   dst[n, dh, dw, c] = bias[c] + sum over the taps (t, u) of dh's row and dw's span of
               src[n, SRC_h + t * tap_step_h, SRC_w + j * src_step_w + u * tap_step_w, c] * filters[t, u, c],
               where dw is destination j of its span, and t and u count from FIRST_TAP.
    Requires   src (N, H, W, C), dst (N, H', W', C) C-contiguous; filters (taps of h, taps of w, C) C-contiguous, in the
               order of the tables; bias (C,); rows: a table with one row per destination row; spans: the table of w.
    Writes     all of dst.
    Parallel   over images and blocks of rows.
    Why        the accumulators of a tile stay in registers over all taps, and the rows of one block of channels that
               neighbouring destination rows share stay in L1.
    """
    n, h_src, w_src, channels = src.shape
    _, h_dst, w_dst, _ = dst.shape
    source, packed, destination = src.reshape(-1), filters.reshape(-1), dst.reshape(-1)
    lanes = REGISTER_BYTES // src.itemsize
    row_blocks = (rows.shape[0] + rows_per_task - 1) // rows_per_task
    for task in prange(n * row_blocks):
        mode = flush_denormals()
        image, first_row = task // row_blocks, task % row_blocks * rows_per_task
        for row in range(first_row, min(first_row + rows_per_task, rows.shape[0])):
            for block in range(_channel_blocks(channels, lanes)):
                c, c_end = _channel_block(channels, lanes, block)
                src_row = (image * h_src + rows[row, SRC]) * w_src
                dst_row = (image * h_dst + rows[row, DST]) * w_dst
                for span in range(spans.shape[0]):
                    tap = rows[row, FIRST_TAP] * filters.shape[1] + spans[span, FIRST_TAP]
                    count = spans[span, COUNT]
                    tiles = (count + DEPTHWISE_ROWS - 1) // DEPTHWISE_ROWS
                    for tile in range(tiles):
                        begin, end = split_evenly(count, tiles, tile)
                        depthwise_tile(
                            end - begin, source, (src_row + spans[span, SRC] + begin * src_step_w) * channels + c,
                            src_step_w * channels,
                            rows[row, TAPS], tap_step_h * w_src * channels, spans[span, TAPS], tap_step_w * channels,
                            packed, tap * channels + c, filters.shape[1] * channels, channels,
                            destination, (dst_row + spans[span, DST] + begin * dst_step_w) * channels + c,
                            dst_step_w * channels, c_end - c,
                            bias, c, 0,
                        )  # fmt: skip
        restore_denormals(mode)


@kernel
def conv2d_grad_weight_depthwise(x, grad_out, partials, rows, spans, stride_w, dil_h, dil_w):
    """The gradient of the filters, as partial sums over parts of the batch.

    Computes   partials[i, 0, r, s, c] = sum over the pixels (n, oh, ow) of part i whose tap (r, s) is inside the image
               of x[n, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s * dil_w - pad_left, c] * G[n, oh, ow, c]
               with G = grad_out.
    Requires   x (N, H, W, C), grad_out (N, H', W', C) C-contiguous; partials (parts, 1, k_h, k_w, C); rows and spans as
               for the forward pass.
    Writes     all of partials.
    Parallel   over parts, which divide the rows of the batch evenly; `sum_filter_partials` adds them in a fixed order.
    Why        the sums of a filter row stay in registers over the pixels of a span, and rows stay in L1 from one filter
               row to the next.
    """
    _, h_in, w_in, channels = x.shape
    n, h_out, w_out, _ = grad_out.shape
    parts, _, k_h, k_w, _ = partials.shape
    source, gradient, sums = x.reshape(-1), grad_out.reshape(-1), partials.reshape(-1)
    lanes = REGISTER_BYTES // x.itemsize
    for part in prange(parts):
        mode = flush_denormals()
        for i in range(part * k_h * k_w * channels, (part + 1) * k_h * k_w * channels):
            sums[i] = 0
        first_row, end_row = split_evenly(n * h_out, parts, part)
        for block in range(_channel_blocks(channels, lanes)):
            c, c_end = _channel_block(channels, lanes, block)
            for row in range(first_row, end_row):
                image, oh = row // h_out, row % h_out
                for t in range(rows[oh, TAPS]):
                    x_row = (image * h_in + rows[oh, SRC] + t * dil_h) * w_in
                    filter_row = (part * k_h + rows[oh, FIRST_TAP] + t) * k_w
                    for span in range(spans.shape[0]):
                        taps = spans[span, TAPS]
                        tiles = (taps + DEPTHWISE_ROWS - 1) // DEPTHWISE_ROWS
                        for tile in range(tiles):
                            begin, end = split_evenly(taps, tiles, tile)
                            total = (filter_row + spans[span, FIRST_TAP] + begin) * channels + c
                            depthwise_tile(
                                end - begin, source, (x_row + spans[span, SRC] + begin * dil_w) * channels + c,
                                dil_w * channels,
                                1, 0, spans[span, COUNT], stride_w * channels,
                                gradient, (row * w_out + spans[span, DST]) * channels + c, 0, channels,
                                sums, total, channels, c_end - c,
                                sums, total, channels,
                            )  # fmt: skip
        restore_denormals(mode)

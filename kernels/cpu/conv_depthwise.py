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

In the height, spans are cut into *bands* of a few rows, which are what threads share out.

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
    src, filters, bias, dst, bands, spans, src_step_h, src_step_w, dst_step_h, dst_step_w, tap_step_h, tap_step_w,
    bands_per_task,
):  # fmt: skip
    """Convolve each channel with its filter: the forward pass, or the gradient of the input.

    Computes   dst[n, dh, dw, c] = bias[c] + sum over the taps (t, u) of dh's band and dw's span of
               src[n, SRC_h + i * src_step_h + t * tap_step_h, SRC_w + j * src_step_w + u * tap_step_w, c] *
               filters[t, u, c], where dh and dw are destinations i and j of theirs, and t and u count from FIRST_TAP.
    Requires   src (N, H, W, C), dst (N, H', W', C) C-contiguous; filters (taps of h, taps of w, C) C-contiguous, in the
               order of the tables; bias (C,); bands and spans, the tables of h and w.
    Writes     all of dst.
    Parallel   over images and blocks of bands.
    Why        the accumulators of a tile stay in registers over all taps; tiles lie along the longer side of a band's
               and a span's rectangle, so that the columns beside a border fill tiles as well.
    """
    n, h_src, w_src, channels = src.shape
    _, h_dst, w_dst, _ = dst.shape
    source, packed, destination = src.reshape(-1), filters.reshape(-1), dst.reshape(-1)
    lanes = REGISTER_BYTES // src.itemsize
    taps_w = filters.shape[1]
    band_blocks = (bands.shape[0] + bands_per_task - 1) // bands_per_task
    src_h, src_w = src_step_h * w_src * channels, src_step_w * channels
    dst_h, dst_w = dst_step_h * w_dst * channels, dst_step_w * channels
    for task in prange(n * band_blocks):
        mode = flush_denormals()
        image, first = task // band_blocks, task % band_blocks * bands_per_task
        for band in range(first, min(first + bands_per_task, bands.shape[0])):
            src_row = (image * h_src + bands[band, SRC]) * w_src
            dst_row = (image * h_dst + bands[band, DST]) * w_dst
            for block in range(_channel_blocks(channels, lanes)):
                c, c_end = _channel_block(channels, lanes, block)
                for line in range(bands[band, COUNT]):
                    for span in range(spans.shape[0]):
                        lines, length = bands[band, COUNT], spans[span, COUNT]
                        src_line, src_pixel, dst_line, dst_pixel = src_h, src_w, dst_h, dst_w
                        if lines > length:
                            lines, length = length, lines
                            src_line, src_pixel, dst_line, dst_pixel = src_w, src_h, dst_w, dst_h
                        tap = bands[band, FIRST_TAP] * taps_w + spans[span, FIRST_TAP]
                        a = (src_row + spans[span, SRC]) * channels + line * src_line + c
                        d = (dst_row + spans[span, DST]) * channels + line * dst_line + c
                        tiles = (length + DEPTHWISE_ROWS - 1) // DEPTHWISE_ROWS if line < lines else 0
                        for tile in range(tiles):
                            begin, end = split_evenly(length, tiles, tile)
                            depthwise_tile(
                                end - begin, source, a + begin * src_pixel, src_pixel,
                                bands[band, TAPS], tap_step_h * w_src * channels,
                                spans[span, TAPS], tap_step_w * channels,
                                packed, tap * channels + c, taps_w * channels, channels,
                                destination, d + begin * dst_pixel, dst_pixel, c_end - c,
                                bias, c, 0,
                            )  # fmt: skip
        restore_denormals(mode)


@kernel
def conv2d_grad_weight_depthwise(x, grad_out, partials, bands, spans, stride_h, stride_w, dil_h, dil_w):
    """The gradient of the filters, as partial sums over parts of the batch.

    Computes   partials[i, 0, 0, r, s, c] = sum over the pixels (n, oh, ow) of part i whose tap (r, s) is inside the
               image of x[n, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s * dil_w - pad_left, c] *
               G[n, oh, ow, c]
               with G = grad_out.
    Requires   x (N, H, W, C), grad_out (N, H', W', C) C-contiguous; partials (parts, 1, 1, k_h, k_w, C); bands and
               spans, the tables of h and w for the forward pass.
    Writes     all of partials.
    Parallel   over parts, which divide the bands of the batch evenly; `sum_filter_partials` adds them in a fixed order.
    Why        the sums of a filter row stay in registers over all pixels of a band and a span, and a band stays in the
               cache from one filter row to the next.
    """
    n, h_in, w_in, channels = x.shape
    _, h_out, w_out, _ = grad_out.shape
    parts, _, _, k_h, k_w, _ = partials.shape
    source, gradient, sums = x.reshape(-1), grad_out.reshape(-1), partials.reshape(-1)
    lanes = REGISTER_BYTES // x.itemsize
    n_bands = bands.shape[0]
    for part in prange(parts):
        mode = flush_denormals()
        for i in range(part * k_h * k_w * channels, (part + 1) * k_h * k_w * channels):
            sums[i] = 0
        first, end_band = split_evenly(n * n_bands, parts, part)
        for item in range(first, end_band):
            image, band = item // n_bands, item % n_bands
            gradient_row = (image * h_out + bands[band, DST]) * w_out
            for block in range(_channel_blocks(channels, lanes)):
                c, c_end = _channel_block(channels, lanes, block)
                for t in range(bands[band, TAPS]):
                    x_row = (image * h_in + bands[band, SRC] + t * dil_h) * w_in
                    filter_row = (part * k_h + bands[band, FIRST_TAP] + t) * k_w
                    for span in range(spans.shape[0]):
                        taps = spans[span, TAPS]
                        tiles = (taps + DEPTHWISE_ROWS - 1) // DEPTHWISE_ROWS
                        for tile in range(tiles):
                            begin, end = split_evenly(taps, tiles, tile)
                            total = (filter_row + spans[span, FIRST_TAP] + begin) * channels + c
                            depthwise_tile(
                                end - begin, source, (x_row + spans[span, SRC] + begin * dil_w) * channels + c,
                                dil_w * channels,
                                bands[band, COUNT], stride_h * w_in * channels, spans[span, COUNT], stride_w * channels,
                                gradient, (gradient_row + spans[span, DST]) * channels + c, w_out * channels, channels,
                                sums, total, channels, c_end - c,
                                sums, total, channels,
                            )  # fmt: skip
        restore_denormals(mode)

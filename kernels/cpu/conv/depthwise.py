"""Depthwise convolution: each channel has a filter of its own, and channels are the lanes of the vectors.

Groups of G channels and G filters are convolved in the same way: output channel k reads the channels
k // G * G + c, c < G, and `depthwise_tiles` finds them within the vectors that it loads.

The passes are loop nests of addresses around `depthwise_tiles`. In each dimension the destinations are divided into
*spans*: neighbours that read the same filter taps, all of them inside the source. In the middle of an image that is one
span with all taps; at a border each span leaves out the taps that would read padding. So nothing is padded, copied or
multiplied by zeros, and the micro-kernel knows no borders. A span is a row of a table (`loop_table.py`); its taps lie
`tap_step` apart in the source, and it has none where a window lies wholly in the padding.

In the height, spans are cut into *bands* of a few rows, which are distributed to threads.

The gradient of the input runs the same loops over grad_out, with one set of spans for each remainder modulo the stride
(`convcore/ops/conv` derives them).
"""

from kernels.cpu.conv.loop_table import COUNT, DST, FIRST_TAP, SRC, TAPS
from kernels.cpu.micro.depthwise_tile import depthwise_tiles
from kernels.cpu.vector.split import ceil_div, split_evenly
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _chunks(src, bands, bands_per_chunk):
    return src.shape[0] * ceil_div(bands.shape[0], bands_per_chunk)


@kernel(_chunks)
def conv2d_forward_depthwise(
    chunk, src, filters, bias, dst, bands, spans, src_step_h, src_step_w, dst_step_h, dst_step_w, tap_step_h,
    tap_step_w, bands_per_chunk, channels_per_block,
):  # fmt: skip
    """Convolve the channels of each group with its filters: the forward pass, or the gradient of the input.

    Computes   dst[n, dh, dw, k] = bias[k] + sum over the taps (t, u) of dh's band and dw's span and over c < G of
               src[n, SRC_h + i * src_step_h + t * tap_step_h, SRC_w + j * src_step_w + u * tap_step_w,
               k // G * G + c] * filters[t, u, c, k], where dh and dw are destinations i and j of theirs, and t and u
               count from FIRST_TAP.
    Requires   src (N, H, W, C), dst (N, H', W', C) C-contiguous; filters (taps of h, taps of w, G, C) C-contiguous, in
               the order of the tables; bias (C,); bands and spans, the tables of h and w; a G that `depthwise_tiles`
               takes; `channels_per_block`, a multiple of VL and of G, or C.
    Writes     all of dst.
    Parallel   over images and blocks of bands.
    Why        the accumulators of a tile stay in registers over all taps; tiles lie along the longer side of a band's
               and a span's rectangle, so that the columns beside a border fill tiles as well.
    """
    _, h_src, w_src, channels = src.shape
    _, h_dst, w_dst, _ = dst.shape
    source, packed, destination = src.reshape(-1), filters.reshape(-1), dst.reshape(-1)
    _, taps_w, group, _ = filters.shape
    tap_size = group * channels
    channel_blocks = max(channels // channels_per_block, 1)
    band_blocks = ceil_div(bands.shape[0], bands_per_chunk)
    src_h, src_w = src_step_h * w_src * channels, src_step_w * channels
    dst_h, dst_w = dst_step_h * w_dst * channels, dst_step_w * channels
    image, first = chunk // band_blocks, chunk % band_blocks * bands_per_chunk
    for block in range(channel_blocks):
        k = block * channels_per_block
        width = channels_per_block if block < channel_blocks - 1 else channels - k
        for band in range(first, min(first + bands_per_chunk, bands.shape[0])):
            src_row = (image * h_src + bands[band, SRC]) * w_src
            dst_row = (image * h_dst + bands[band, DST]) * w_dst
            for span in range(spans.shape[0]):
                lines, rows = bands[band, COUNT], spans[span, COUNT]
                src_line, src_pixel, dst_line, dst_pixel = src_h, src_w, dst_h, dst_w
                if lines > rows:
                    lines, rows = rows, lines
                    src_line, src_pixel, dst_line, dst_pixel = src_w, src_h, dst_w, dst_h
                depthwise_tiles(
                    lines, rows, width, group,
                    source, (src_row + spans[span, SRC]) * channels + k, src_line, src_pixel,
                    bands[band, TAPS], tap_step_h * w_src * channels, spans[span, TAPS], tap_step_w * channels,
                    packed, (bands[band, FIRST_TAP] * taps_w + spans[span, FIRST_TAP]) * tap_size + k,
                    taps_w * tap_size, tap_size, channels,
                    destination, (dst_row + spans[span, DST]) * channels + k, dst_line, dst_pixel, 0,
                    bias, k, False,
                )  # fmt: skip


@inline
def _parts(partials):
    return partials.shape[0]


@kernel(_parts)
def conv2d_grad_weight_depthwise(chunk, x, grad_out, partials, bands, spans, stride_h, stride_w, dil_h, dil_w, group):
    """The gradient of the filters, as partial sums over parts of the batch.

    Computes   partials[i, 0, 0, r, s * G + c, k] = sum over the pixels (n, oh, ow) of part i whose tap (r, s) is inside
               the image of x[n, oh * stride_h + r * dil_h - pad_top, ow * stride_w + s * dil_w - pad_left,
               k // G * G + c] * grad_out[n, oh, ow, k] with G = group.
    Requires   x (N, H, W, C), grad_out (N, H', W', C) C-contiguous; partials (parts, 1, 1, k_h, k_w * G, C); bands and
               spans, the tables of h and w for the forward pass; a G that `depthwise_tiles` takes.
    Writes     all of partials.
    Parallel   over parts, which divide the bands of the batch evenly; `sum_filter_partials` adds them in a fixed order.
    Why        the sums of a filter row stay in registers over all pixels of a band and a span, and a band stays in the
               cache from one filter row to the next.
    """
    n, h_in, w_in, channels = x.shape
    _, h_out, w_out, _ = grad_out.shape
    parts, _, _, k_h, filter_row_size, _ = partials.shape
    source, gradient, sums = x.reshape(-1), grad_out.reshape(-1), partials.reshape(-1)
    n_bands = bands.shape[0]
    separate = 1 if group > 1 else 0
    for i in range(chunk * k_h * filter_row_size * channels, (chunk + 1) * k_h * filter_row_size * channels):
        sums[i] = 0
    first, end_band = split_evenly(n * n_bands, parts, chunk)
    for item in range(first, end_band):
        image, band = item // n_bands, item % n_bands
        x_row = (image * h_in + bands[band, SRC]) * w_in
        gradient_row = (image * h_out + bands[band, DST]) * w_out
        filter_row = (chunk * k_h + bands[band, FIRST_TAP]) * filter_row_size
        for span in range(spans.shape[0]):
            depthwise_tiles(
                bands[band, TAPS], spans[span, TAPS], channels, group,
                source, (x_row + spans[span, SRC]) * channels, dil_h * w_in * channels, dil_w * channels,
                bands[band, COUNT], stride_h * w_in * channels, spans[span, COUNT], stride_w * channels,
                gradient, (gradient_row + spans[span, DST]) * channels, w_out * channels, channels, 0,
                sums, (filter_row + spans[span, FIRST_TAP] * group) * channels, filter_row_size * channels,
                group * channels, separate * channels, sums, 0, True,
            )  # fmt: skip

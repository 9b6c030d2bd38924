"""Windows: the part of an image that a tile of output pixels reads, copied with its zero padding.

The micro-kernel knows no borders. Before it runs, the rows that it will read are copied into a buffer that stays in the
L2 cache, with zeros where the window reaches beyond the image, and only the channels of one group. The copy reads each
pixel about once, while the convolution reads it k_h * k_w times per panel of filters: so it costs little, and it saves
a padded copy of the whole batch in main memory.
"""

from kernels.cpu.vector.copy import clear_line, copy_line, copy_padded
from kernels.cpu.vector.split import ceil_div
from kernels.jit import inline


@inline
def inside_range(first, step, size, count):
    """The range [begin, end) of the i < count for which first + i * step lies in an axis of `size` positions."""
    begin = min(ceil_div(max(-first, 0), step), count)
    return begin, max(min(count, ceil_div(size - first, step)), begin)


@inline
def copy_window(
    x, image_offset, h_in, w_in, c_in, first_channel, channels, h_first, w_first, h_step, w_step,
    window, at, rows, columns, width,
):  # fmt: skip
    """window[at + (i, j, c)] = x[h_first + i * h_step, w_first + j * w_step, first_channel + c] for c < channels.

    0 outside the image and for channels <= c < width. x is a flat (N, H, W, C) block, `image_offset` the place of the
    image in it; from `at` on `window` is flat, of shape (rows, columns, width), where `width` is `channels` or a
    multiple of VL. With h_in = 0 everything is outside.
    """
    begin, end = inside_range(w_first, w_step, w_in, columns)
    for i in range(rows):
        target = at + i * columns * width
        h = h_first + i * h_step
        if h < 0 or h >= h_in:
            clear_line(window, target, columns * width)
            continue
        clear_line(window, target, begin * width)
        clear_line(window, target + end * width, (columns - end) * width)
        source = image_offset + (h * w_in + w_first + begin * w_step) * c_in + first_channel
        target += begin * width
        if channels == c_in and width == c_in and w_step == 1:
            copy_line(x, source, window, target, (end - begin) * width)
        elif channels == width:
            for j in range(end - begin):
                copy_line(x, source + j * w_step * c_in, window, target + j * width, channels)
        else:
            for j in range(end - begin):
                copy_padded(x, source + j * w_step * c_in, window, target + j * width, channels, width)


@inline
def reaches_outside(first, last, size):
    """Whether the indices first to last leave the range 0 to size - 1."""
    return first < 0 or last >= size

"""Windows: the part of an image that a block of output pixels reads, with its zero padding made real.

The micro-kernel knows no edges. Before it runs, the rows that it will read are copied into a buffer that stays in the
L2 cache, with zeros where the window reaches beyond the image, and only the channels of one group. The copy reads each
pixel about once, while the convolution reads it k_h * k_w times per panel of filters, so it costs little, and it saves
a padded copy of the whole batch in main memory.
"""

from kernels.cpu.vector.copy import clear_line, copy_line
from kernels.jit import inline


@inline
def copy_window(
    x, image_offset, h_in, w_in, c_in, first_channel, channels, h_first, w_first, window, at, rows, columns,
):  # fmt: skip
    """window[at + (i, j, c)] = x[h_first + i, w_first + j, first_channel + c], 0 outside the image.

    x is a flat (N, H, W, C) block, `image_offset` the place of its image; from `at` on `window` is flat, of shape
    (rows, columns, channels). With h_in = 0 everything is outside.
    """
    inside_first = min(max(-w_first, 0), columns)
    inside_end = max(min(columns, w_in - w_first), inside_first)
    for i in range(rows):
        target = at + i * columns * channels
        h = h_first + i
        if h < 0 or h >= h_in:
            clear_line(window, target, columns * channels)
            continue
        clear_line(window, target, inside_first * channels)
        clear_line(window, target + inside_end * channels, (columns - inside_end) * channels)
        source = image_offset + (h * w_in + w_first + inside_first) * c_in + first_channel
        target += inside_first * channels
        if channels == c_in:
            copy_line(x, source, window, target, (inside_end - inside_first) * channels)
        else:
            for j in range(inside_end - inside_first):
                copy_line(x, source + j * c_in, window, target + j * channels, channels)


@inline
def reaches_outside(first, last, size):
    """Whether the indices first to last leave the range 0 to size - 1."""
    return first < 0 or last >= size

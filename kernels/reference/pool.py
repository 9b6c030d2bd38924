"""Pooling by its definition: windows are lists of positions, and Python loops visit them one by one.

Images are blocks (N, H, W, C), as for the kernels; everything is computed in float64. `taps_h` and `taps_w` list for
every window along an axis the positions inside the image that it looks at, in rising order; a window of the image is
one of each.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

Taps = Sequence[Sequence[int]]


def window_starts(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> list[int]:
    """Where the windows along an axis begin, counted from the image's first position (so negative in the padding).

    Windows begin every `stride` positions as long as they fit into the padded image; `ceil_mode` adds a last one that
    reaches beyond it, if it begins inside the image or the padding before it.
    """
    spare = size + 2 * padding - dilation * (kernel - 1) - 1
    steps = Fraction(spare, stride)
    count = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
    starts = [o * stride - padding for o in range(count)]
    return [start for start in starts if start < size] if ceil_mode else starts


def window_taps(
    size: int, kernel: int, stride: int, padding: int, dilation: int = 1, ceil_mode: bool = False
) -> list[list[int]]:
    """The taps of ordinary pooling along an axis."""
    starts = window_starts(size, kernel, stride, padding, dilation, ceil_mode)
    return [[i for i in (start + r * dilation for r in range(kernel)) if 0 <= i < size] for start in starts]


def padded_counts(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool = False) -> list[int]:
    """How many positions of the padded image each window covers: what the average divides by where padding counts."""
    starts = window_starts(size, kernel, stride, padding, 1, ceil_mode)
    return [sum(start + r < size + padding for r in range(kernel)) for start in starts]


def adaptive_taps(size: int, size_out: int) -> list[list[int]]:
    """The taps of adaptive pooling: window o covers [o, o + 1] * size / size_out, parts of positions counted whole."""
    return [
        list(range(math.floor(Fraction(o * size, size_out)), math.ceil(Fraction((o + 1) * size, size_out))))
        for o in range(size_out)
    ]


def max_pool2d_forward(x: np.ndarray, taps_h: Taps, taps_w: Taps) -> tuple[np.ndarray, np.ndarray]:
    """out[n, oh, ow, c] = the largest x[n, h, w, c] in window (oh, ow); and its place h * W + w.

    Of equal values the first is taken, of NaNs the last. A window without taps gives -inf and place -1.
    """
    n, _, w_in, c_out = x.shape
    out = np.full((n, len(taps_h), len(taps_w), c_out), -np.inf)
    indices = np.full(out.shape, -1, np.int64)
    for i, oh, ow, c in np.ndindex(out.shape):
        for h in taps_h[oh]:
            for w in taps_w[ow]:
                value, largest = float(x[i, h, w, c]), out[i, oh, ow, c]
                if value > largest or math.isnan(value) or indices[i, oh, ow, c] < 0:
                    out[i, oh, ow, c] = value
                    indices[i, oh, ow, c] = h * w_in + w
    return out, indices


def max_pool2d_grad_input(grad_out: np.ndarray, indices: np.ndarray, h_in: int, w_in: int) -> np.ndarray:
    """grad_x[n, h, w, c] = sum of grad_out[n, oh, ow, c] over the windows whose maximum is at (h, w)."""
    n, _, _, c_in = grad_out.shape
    grad_x = np.zeros((n, h_in, w_in, c_in))
    for i, oh, ow, c in np.ndindex(grad_out.shape):
        if indices[i, oh, ow, c] >= 0:
            h, w = divmod(int(indices[i, oh, ow, c]), w_in)
            grad_x[i, h, w, c] += grad_out[i, oh, ow, c]
    return grad_x


def avg_pool2d_forward(x: np.ndarray, taps_h: Taps, taps_w: Taps, divisors: np.ndarray) -> np.ndarray:
    """out[n, oh, ow, c] = sum of x[n, h, w, c] over window (oh, ow), divided by divisors[oh, ow]."""
    n, _, _, c_out = x.shape
    out = np.zeros((n, len(taps_h), len(taps_w), c_out))
    for i, oh, ow, c in np.ndindex(out.shape):
        out[i, oh, ow, c] = math.fsum(x[i, h, w, c] for h in taps_h[oh] for w in taps_w[ow]) / divisors[oh, ow]
    return out


def avg_pool2d_grad_input(
    grad_out: np.ndarray, taps_h: Taps, taps_w: Taps, divisors: np.ndarray, h_in: int, w_in: int
) -> np.ndarray:
    """grad_x[n, h, w, c] = sum of grad_out[n, oh, ow, c] / divisors[oh, ow] over the windows that hold (h, w)."""
    n, _, _, c_in = grad_out.shape
    grad_x = np.zeros((n, h_in, w_in, c_in))
    for i, oh, ow, c in np.ndindex(grad_out.shape):
        for h in taps_h[oh]:
            for w in taps_w[ow]:
                grad_x[i, h, w, c] += float(grad_out[i, oh, ow, c]) / divisors[oh, ow]
    return grad_x

"""Sums and products of two arrays: what NumPy computes, but on all threads, and denormals count as 0.

These functions are bound by memory, and one core cannot use its whole bandwidth: on two cores of a Zen 3 server the sum
of two images of 25 MB takes half of NumPy's time.
"""

from collections.abc import Callable
from typing import Any

from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import load_lanes, store_lanes, vlanes
from kernels.jit import inline
from kernels.launch import Kernel, kernel, kernel_named

CHUNK = 16 * 1024  # elements
ROWS_PER_CHUNK = 64  # pixels: their channels and the factors, read once for all of them, stay in L1


@inline
def _sum(a, b):
    return a + b


@inline
def _product(a, b):
    return a * b


@inline
def _chunks(out):
    return ceil_div(out.shape[0], CHUNK)


def _of_pairs(name: str, combined: Callable[[Any, Any], Any]) -> Kernel:
    """The kernel of a function of two vectors."""

    @kernel_named(name, _chunks)
    def pairs(chunk, a, b, out):
        """A function of the elements of two arrays.

        Computes   out[i] = a[i] + b[i], or a[i] * b[i], as the kernel's name says.
        Requires   C-contiguous 1-D arrays of one length and dtype; out may be a or b.
        Writes     all of out.
        Parallel   over chunks of CHUNK elements.
        Why        two reads and one write, in order.
        """
        size, lanes = out.shape[0], vlanes(out)
        end = min((chunk + 1) * CHUNK, size)
        for i in range(chunk * CHUNK, end, lanes):
            store_lanes(combined(load_lanes(a, i, end - i), load_lanes(b, i, end - i)), out, i, end - i)

    return pairs


add = _of_pairs("add", _sum)
multiply = _of_pairs("multiply", _product)


@inline
def _channel_chunks(x):
    return x.shape[0] * ceil_div(x.shape[1], ROWS_PER_CHUNK)


@kernel(_channel_chunks)
def multiply_channels(chunk, x, factors, out):
    """Scale the channels of images, as squeeze and excitation does.

    Computes   out[n, p, c] = x[n, p, c] * factors[n, c], or factors[0, c] for all images.
    Requires   x and out (N, P, C), factors (N, C) or (1, C), C-contiguous, of one dtype.
    Writes     all of out.
    Parallel   over images and chunks of ROWS_PER_CHUNK pixels.
    Why        one read and one write, in order; the factors stay in L1.
    """
    _, pixels, channels = x.shape
    source, target, scale = x.reshape(-1), out.reshape(-1), factors.reshape(-1)
    lanes = vlanes(out)
    blocks = ceil_div(pixels, ROWS_PER_CHUNK)
    image, block = chunk // blocks, chunk % blocks
    own = image % factors.shape[0] * channels
    for p in range(block * ROWS_PER_CHUNK, min((block + 1) * ROWS_PER_CHUNK, pixels)):
        row = (image * pixels + p) * channels
        for c in range(0, channels, lanes):
            left = channels - c
            product = load_lanes(source, row + c, left) * load_lanes(scale, own + c, left)
            store_lanes(product, target, row + c, left)

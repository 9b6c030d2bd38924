"""Sums and products of two arrays: what NumPy computes, but on all threads, and denormals count as 0.

These functions are bound by memory, and one core cannot use its whole bandwidth: on two cores of a Zen 3 server the sum
of two images of 25 MB takes half of NumPy's time.
"""

from collections.abc import Callable
from typing import Any

from kernels.cpu.vector.chunk import begin_chunk, end_chunk
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import load_lanes, store_lanes, vlanes
from kernels.jit import Kernel, inline, kernel, kernel_named, prange

CHUNK = 16 * 1024  # elements
ROWS_PER_CHUNK = 64  # pixels: their channels and the factors, read once for all of them, stay in L1


@inline
def _sum(a, b):
    return a + b


@inline
def _product(a, b):
    return a * b


def _of_pairs(name: str, combined: Callable[[Any, Any], Any]) -> Kernel:
    """The kernel of a function of two vectors."""

    @kernel_named(name)
    def pairs(a, b, out):
        """A function of the elements of two arrays.

        Computes   out[i] = a[i] + b[i], or a[i] * b[i], as the kernel's name says.
        Requires   C-contiguous 1-D arrays of one length and dtype; out may be a or b.
        Writes     all of out.
        Parallel   over chunks of CHUNK elements.
        Why        two reads and one write, in order.
        """
        size, lanes = out.shape[0], vlanes(out)
        for chunk in prange(ceil_div(size, CHUNK)):
            mode = begin_chunk()
            end = min((chunk + 1) * CHUNK, size)
            for i in range(chunk * CHUNK, end, lanes):
                store_lanes(combined(load_lanes(a, i, end - i), load_lanes(b, i, end - i)), out, i, end - i)
            end_chunk(mode)

    return pairs


add = _of_pairs("add", _sum)
multiply = _of_pairs("multiply", _product)


@kernel
def multiply_channels(x, factors, out):
    """Scale the channels of images, as squeeze and excitation does.

    Computes   out[n, p, c] = x[n, p, c] * factors[n, c], or factors[0, c] for all images.
    Requires   x and out (N, P, C), factors (N, C) or (1, C), C-contiguous, of one dtype.
    Writes     all of out.
    Parallel   over images and chunks of ROWS_PER_CHUNK pixels.
    Why        one read and one write, in order; the factors stay in L1.
    """
    images, pixels, channels = x.shape
    source, target, scale = x.reshape(-1), out.reshape(-1), factors.reshape(-1)
    lanes = vlanes(out)
    chunks = ceil_div(pixels, ROWS_PER_CHUNK)
    for task in prange(images * chunks):
        mode = begin_chunk()
        image, chunk = task // chunks, task % chunks
        own = image % factors.shape[0] * channels
        for p in range(chunk * ROWS_PER_CHUNK, min((chunk + 1) * ROWS_PER_CHUNK, pixels)):
            row = (image * pixels + p) * channels
            for c in range(0, channels, lanes):
                left = channels - c
                product = load_lanes(source, row + c, left) * load_lanes(scale, own + c, left)
                store_lanes(product, target, row + c, left)
        end_chunk(mode)

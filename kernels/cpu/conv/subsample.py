"""Subsampling: the pixels that a stride reads, taken out of images and put back.

A strided 1x1 convolution is a matrix product of these pixels.
"""

from kernels.cpu.vector.copy import clear_line, copy_line
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _rows(out):
    return out.shape[0] * out.shape[1]


@kernel(_rows)
def take_pixels(chunk, x, out, stride_h, stride_w):
    """Every stride_h-th row and stride_w-th column of images.

    Computes   out[n, h, w, c] = x[n, h * stride_h, w * stride_w, c].
    Requires   x (N, H, W, C) and out (N, H', W', C) C-contiguous, (H' - 1) * stride_h < H, (W' - 1) * stride_w < W.
    Writes     all of out.
    Parallel   over rows of out.
    Why        bound by memory: a pixel's channels are read and written in order, nothing else is touched.
    Reference  a step of `conv_forward` and `conv_grad_weight`.
    """
    _, h_in, w_in, channels = x.shape
    _, h_out, w_out, _ = out.shape
    source, flat_out = x.reshape(-1), out.reshape(-1)
    row = (chunk // h_out * h_in + chunk % h_out * stride_h) * w_in
    for w in range(w_out):
        copy_line(source, (row + w * stride_w) * channels, flat_out, (chunk * w_out + w) * channels, channels)


@kernel(_rows)
def put_pixels(chunk, x, out, stride_h, stride_w):
    """The transpose of `take_pixels`: pixels back into images, with 0 between them.

    Computes   out[n, h * stride_h, w * stride_w, c] = x[n, h, w, c], 0 in all other pixels.
    Requires   x (N, H, W, C) and out (N, H', W', C) C-contiguous, (H - 1) * stride_h < H' <= H * stride_h, and so for
               the width.
    Writes     all of out.
    Parallel   over rows of out.
    Why        bound by memory: out is written once, in order, zeros and pixels together.
    Reference  a step of `conv_grad_input`.
    """
    _, h_in, w_in, channels = x.shape
    _, h_out, w_out, _ = out.shape
    source, flat_out = x.reshape(-1), out.reshape(-1)
    image, h = chunk // h_out, chunk % h_out
    first, end = chunk * w_out * channels, (chunk + 1) * w_out * channels
    if h % stride_h == 0:
        row = (image * h_in + h // stride_h) * w_in
        for w in range(w_in):
            at = first + w * stride_w * channels
            copy_line(source, (row + w) * channels, flat_out, at, channels)
            clear_line(flat_out, at + channels, min((stride_w - 1) * channels, end - at - channels))
    else:
        clear_line(flat_out, first, end - first)

"""Convolution with one filter per channel: too few multiply-adds per value for a tile; a thread computes one element.

Channel k of the output sees only channel k // multiplier of the input, multiplier = c_out / c_in. Neighbouring threads
are neighbouring channels: a warp reads 128 bytes of each pixel, and the windows of neighbouring pixels share what they
read through the L1 cache. The kernels are bound by memory.
"""

from __future__ import annotations

from kernels.cuda.jit import Count, Floats, Offset, cuda, f32, i32, kernel, u32
from kernels.cuda.reduce import COLUMNS, ROWS, tree_sum

THREADS = 256


@kernel(threads=THREADS, registers=56)
def conv2d_forward_depthwise(
    x: Floats, weight: Floats, bias: Floats, out: Floats,
    size: Count, h_in: Count, w_in: Count, c_in: Count, h_out: Count, w_out: Count, c_out: Count,
    k_h: Count, k_w: Count, stride_h: Offset, stride_w: Offset, pad_top: Offset, pad_left: Offset,
    dil_h: Offset, dil_w: Offset, relu: Count,
):  # fmt: skip
    """Convolve every channel with filters of its own.

    Computes   out[n, oh, ow, k] = bias[k] + sum over (r, s) of weight[k, r, s] *
               x[n, oh * stride_h - pad_top + r * dil_h, ow * stride_w - pad_left + s * dil_w, k // multiplier], with
               `relu` not below 0.
    Requires   x (N, h_in, w_in, c_in), weight (c_out, k_h, k_w), bias (c_out) or empty, out (N, h_out, w_out, c_out)
               with size elements.
    Writes     all of out.
    Parallel   over the elements of out: grid ceil(size / 256).
    Why        see the head of this file.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if e < size:
        pixel = u32(e // c_out)
        k = u32(e - pixel * c_out)
        line = u32(pixel // w_out)
        n = u32(line // h_out)
        top = i32(i32(line - n * h_out) * stride_h - pad_top)
        left = i32(i32(pixel - line * w_out) * stride_w - pad_left)
        c = u32(k // u32(c_out // c_in))
        total = bias[k] if bias.size > 0 else f32(0)
        tap = u32(k * k_h * k_w)
        for r in range(k_h):
            h = i32(top + i32(r) * dil_h)
            for s in range(k_w):
                w = i32(left + i32(s) * dil_w)
                if h >= i32(0) and u32(h) < h_in and w >= i32(0) and u32(w) < w_in:
                    total += weight[tap] * x[u32(((n * h_in + u32(h)) * w_in + u32(w)) * c_in + c)]
                tap = u32(tap + u32(1))
        out[e] = f32(0) if relu != u32(0) and total <= f32(0) else total


@kernel(threads=THREADS, registers=56)
def conv2d_grad_input_depthwise(
    grad_out: Floats, weight: Floats, grad_x: Floats,
    size: Count, h_in: Count, w_in: Count, c_in: Count, h_out: Count, w_out: Count, c_out: Count,
    k_h: Count, k_w: Count, stride_h: Offset, stride_w: Offset, pad_top: Offset, pad_left: Offset,
    dil_h: Offset, dil_w: Offset,
):  # fmt: skip
    """The gradient of the input: every pixel collects from the outputs that saw it.

    Computes   grad_x[n, h, w, c] = sum over the filters k of channel c and their taps (r, s) of weight[k, r, s] *
               grad_out[n, oh, ow, k], where oh * stride_h - pad_top + r * dil_h = h and likewise for ow, if there are
               such.
    Requires   grad_out (N, h_out, w_out, c_out), weight (c_out, k_h, k_w), grad_x (N, h_in, w_in, c_in) with size
               elements.
    Writes     all of grad_x.
    Parallel   over the elements of grad_x: grid ceil(size / 256).
    Why        see the head of this file; collecting needs no atomic additions.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if e < size:
        pixel = u32(e // c_in)
        c = u32(e - pixel * c_in)
        line = u32(pixel // w_in)
        n = u32(line // h_in)
        top = i32(i32(line - n * h_in) + pad_top)
        left = i32(i32(pixel - line * w_in) + pad_left)
        multiplier = u32(c_out // c_in)
        total = f32(0)
        for r in range(k_h):
            down = i32(top - i32(r) * dil_h)
            oh = u32(u32(down) // u32(stride_h))
            if down >= i32(0) and oh < h_out and i32(i32(oh) * stride_h) == down:
                for s in range(k_w):
                    right = i32(left - i32(s) * dil_w)
                    ow = u32(u32(right) // u32(stride_w))
                    if right >= i32(0) and ow < w_out and i32(i32(ow) * stride_w) == right:
                        at = u32(((n * h_out + oh) * w_out + ow) * c_out + c * multiplier)
                        tap = u32((c * multiplier * k_h + u32(r)) * k_w + u32(s))
                        for m in range(multiplier):
                            total += weight[u32(tap + u32(m) * k_h * k_w)] * grad_out[u32(at + u32(m))]
        grad_x[e] = total


@kernel(threads=THREADS, registers=56, shared=4 * THREADS)
def conv2d_grad_weight_depthwise(
    x: Floats, grad_out: Floats, partials: Floats,
    pixels: Count, h_in: Count, w_in: Count, c_in: Count, h_out: Count, w_out: Count, c_out: Count,
    k_h: Count, k_w: Count, stride_h: Offset, stride_w: Offset, pad_top: Offset, pad_left: Offset,
    dil_h: Offset, dil_w: Offset, pixels_per_part: Count,
):  # fmt: skip
    """The gradient of the filters, in parts of the sum.

    Computes   partials[part, k, r, s] = sum over the part's output pixels (n, oh, ow) of grad_out[n, oh, ow, k] *
               x[n, oh * stride_h - pad_top + r * dil_h, ow * stride_w - pad_left + s * dil_w, k // multiplier].
    Requires   x (N, h_in, w_in, c_in), grad_out (N, h_out, w_out, c_out), pixels = N * h_out * w_out; partials
               (ceil(pixels / pixels_per_part), c_out, k_h, k_w), to be added by `sum_parts`.
    Writes     all of partials.
    Parallel   over filters by 32, parts, and taps: grid (ceil(c_out / 32), parts, k_h * k_w).
    Why        a warp reads 128 bytes of each pixel; eight pixels are summed in parallel and joined by a tree.
    """
    values = cuda.shared.array(THREADS, f32)
    thread = u32(cuda.threadIdx.x)
    k = u32(u32(cuda.blockIdx.x) * u32(COLUMNS) + thread % u32(COLUMNS))
    tap = u32(cuda.blockIdx.z)
    r = u32(tap // k_w)
    down = i32(i32(r) * dil_h - pad_top)
    right = i32(i32(tap - r * k_w) * dil_w - pad_left)
    pixel = u32(u32(cuda.blockIdx.y) * pixels_per_part + thread // u32(COLUMNS))
    last = u32((u32(cuda.blockIdx.y) + u32(1)) * pixels_per_part)
    last = last if last < pixels else pixels
    total = f32(0)
    if k < c_out:
        c = u32(k // u32(c_out // c_in))
        while pixel < last:
            line = u32(pixel // w_out)
            n = u32(line // h_out)
            h = i32(i32(line - n * h_out) * stride_h + down)
            w = i32(i32(pixel - line * w_out) * stride_w + right)
            if h >= i32(0) and u32(h) < h_in and w >= i32(0) and u32(w) < w_in:
                value = x[u32(((n * h_in + u32(h)) * w_in + u32(w)) * c_in + c)]
                total += value * grad_out[u32(pixel * c_out + k)]
            pixel = u32(pixel + u32(ROWS))
    values[thread] = total
    tree_sum(values, thread, u32(COLUMNS))
    if thread < u32(COLUMNS) and k < c_out:
        taps = u32(k_h * k_w)
        partials[u32((u32(cuda.blockIdx.y) * c_out + k) * taps + tap)] = values[thread]

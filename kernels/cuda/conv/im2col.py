"""Convolution by im2col: write every patch as a row of a matrix, then multiply matrices (`gemm`).

    out (pixels x c_out) = patches (pixels x depth) x weight (c_out x depth) transposed,      depth = c_in * k_h * k_w
    grad_weight = grad_out transposed x patches          grad_patches = grad_out x weight, added up by `col2im`

A column is (c, r, s), in the order of the filters, which therefore need no packing. The matrix of patches is k_h * k_w
times as large as the image: `conv_implicit_gemm` avoids it. Source: K. Chellapilla, S. Puri and P. Simard, "High
Performance Convolutional Neural Networks for Document Processing" (2006), section 3.
"""

from __future__ import annotations

from kernels.cuda.jit import Count, Floats, Offset, cuda, f32, i32, kernel, u32

THREADS = 256


@kernel(threads=THREADS, registers=40)
def im2col(
    x: Floats, patches: Floats,
    size: Count, h_in: Count, w_in: Count, c_in: Count, h_out: Count, w_out: Count,
    k_h: Count, k_w: Count, stride_h: Offset, stride_w: Offset, pad_top: Offset, pad_left: Offset,
    dil_h: Offset, dil_w: Offset,
):  # fmt: skip
    """Copy what every filter position sees into a row.

    Computes   patches[(n, oh, ow), (c, r, s)] = x[n, oh * stride_h - pad_top + r * dil_h,
               ow * stride_w - pad_left + s * dil_w, c], or 0 outside of the image.
    Requires   x (N, h_in, w_in, c_in), patches (N * h_out * w_out, c_in * k_h * k_w) with size elements.
    Writes     all of patches.
    Parallel   over the elements of patches: grid ceil(size / 256).
    Why        writes are in the order of memory; the reads of a patch repeat and come from the caches.
    Reference  a step of `conv_forward` and `conv_grad_weight`.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if e < size:
        rest = u32(e // k_w)
        s = u32(e - rest * k_w)
        filter_row = u32(rest // k_h)
        r = u32(rest - filter_row * k_h)
        pixel = u32(filter_row // c_in)
        c = u32(filter_row - pixel * c_in)
        line = u32(pixel // w_out)
        n = u32(line // h_out)
        h = i32(i32(line - n * h_out) * stride_h - pad_top + i32(r) * dil_h)
        w = i32(i32(pixel - line * w_out) * stride_w - pad_left + i32(s) * dil_w)
        value = f32(0)
        if h >= i32(0) and u32(h) < h_in and w >= i32(0) and u32(w) < w_in:
            value = x[u32(((n * h_in + u32(h)) * w_in + u32(w)) * c_in + c)]
        patches[e] = value


@kernel(threads=THREADS, registers=56)
def col2im(
    grad_patches: Floats, grad_x: Floats,
    size: Count, h_in: Count, w_in: Count, c_in: Count, h_out: Count, w_out: Count,
    k_h: Count, k_w: Count, stride_h: Offset, stride_w: Offset, pad_top: Offset, pad_left: Offset,
    dil_h: Offset, dil_w: Offset,
):  # fmt: skip
    """Add every patch's gradient back to where the patch came from.

    Computes   grad_x[n, h, w, c] = the sum of all grad_patches[(n, oh, ow), (c, r, s)] that `im2col` copied from
               there.
    Requires   grad_patches (N * h_out * w_out, c_in * k_h * k_w), grad_x (N, h_in, w_in, c_in) with size elements.
    Writes     all of grad_x.
    Parallel   over the elements of grad_x, which collect their terms in the order of (r, s): grid ceil(size / 256).
    Why        collecting needs no atomic additions.
    Reference  a step of `conv_grad_input`.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
    if e < size:
        pixel = u32(e // c_in)
        c = u32(e - pixel * c_in)
        line = u32(pixel // w_in)
        n = u32(line // h_in)
        top = i32(i32(line - n * h_in) + pad_top)
        left = i32(i32(pixel - line * w_in) + pad_left)
        total = f32(0)
        for r in range(k_h):
            down = i32(top - i32(r) * dil_h)
            oh = u32(u32(down) // u32(stride_h))
            if down >= i32(0) and oh < h_out and i32(i32(oh) * stride_h) == down:
                for s in range(k_w):
                    right = i32(left - i32(s) * dil_w)
                    ow = u32(u32(right) // u32(stride_w))
                    if right >= i32(0) and ow < w_out and i32(i32(ow) * stride_w) == right:
                        patch = u32((n * h_out + oh) * w_out + ow)
                        total += grad_patches[u32(((patch * c_in + c) * k_h + u32(r)) * k_w + u32(s))]
        grad_x[e] = total

"""Convolution of images of 16 bits as a matrix product without a matrix of patches; see `implicit_gemm.py`.

The difference: channels are padded to a multiple of eight, and loaded eight at a time. A column l of the patches is
(tap, channel) with `padded` channels for each tap, so eights never cross from one tap to the next, and an eight needs
one address.

    images (N, H, W, groups, padded)          filters (groups, filters, taps, padded), from `pack_filters_*`

Source: S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning" (2014), section 3.
"""

from __future__ import annotations

from typing import Any

from kernels.cuda.conv.implicit_gemm import (
    NOWHERE,
    source_backward,
    source_forward,
    window_backward,
    window_forward,
)
from kernels.cuda.jit import Count, Floats, Halves, Kernel, Offset, cuda, device, f32, i32, kernel_named, u16, u32
from kernels.cuda.linear.half import WITH_TENSOR_CORES, WITHOUT
from kernels.cuda.micro.half import CHUNK
from kernels.cuda.micro.tile_half import (
    ACROSS,
    CHUNKS,
    HALVES_A,
    HALVES_B,
    MMA_COLUMNS,
    PITCH,
    RESULTS,
    ROWS,
    SHARED,
    THREADS,
    TILE_K,
    TILE_M,
    TILE_N,
    clear,
    group,
    load_columns,
    load_rows,
    member,
    multiply_bfloat16,
    multiply_bfloat16_scalar,
    multiply_float16,
    multiply_float16_scalar,
    own_columns,
    own_rows,
    scatter8,
    store,
)  # fmt: skip
from kernels.cuda.micro.vectors import load8, store8


@device
def _filled_up(channels):
    """The next multiple of eight."""
    return u32(u32(channels + u32(CHUNK - 1)) // u32(CHUNK) * u32(CHUNK))


def _walk(name: str, window: Any, source: Any, multiply: Any, generations: Any) -> Kernel:
    @kernel_named(name, threads=THREADS, registers=80, shared=SHARED + 12 * TILE_M, generations=generations)
    def convolve(
        src: Halves, filters: Halves, bias: Floats, dst: Floats,
        rows: Count, h_src: Count, w_src: Count, c_src: Count, h_dst: Count, w_dst: Count, c_dst: Count,
        k_h: Count, k_w: Count, stride_h: Offset, stride_w: Offset, pad_top: Offset, pad_left: Offset,
        dil_h: Offset, dil_w: Offset, groups: Count,
    ):  # fmt: skip
        """Convolve: the forward pass, or the gradient of the input, of operands of 16 bits.

        Computes   dst[i, g, k] = bias[g, k] + sum over l = (r, s, c) of patches[i, g, l] * filters[g, k, l]; patches
                   are of src.
        Requires   src (N, h_src, w_src, groups, padded), padded the multiple of 8 that holds c_src / groups channels;
                   filters (groups, c_dst / groups, k_h * k_w, padded) from `pack_filters_*`; bias (c_dst) or empty;
                   dst (N, h_dst, w_dst, c_dst), rows = N * h_dst * w_dst.
        Writes     all of dst.
        Parallel   over tiles of pixels, tiles of filters and groups: grid (ceil(rows / TILE_M), ceil(c_dst / groups /
                   TILE_N), groups).
        Why        as in float32, with eight channels to an address, and a warp's products in one instruction.
        """
        a_tile = cuda.shared.array(HALVES_A, u16, alignment=16)
        b_tile = cuda.shared.array(HALVES_B, u16, alignment=16)
        origin_h = cuda.shared.array(TILE_M, i32)
        origin_w = cuda.shared.array(TILE_M, i32)
        image = cuda.shared.array(TILE_M, i32)
        sums = cuda.local.array(RESULTS, f32)
        clear(sums)
        thread = u32(cuda.threadIdx.x)
        first_row = u32(u32(cuda.blockIdx.x) * u32(TILE_M))
        first_column = u32(u32(cuda.blockIdx.y) * u32(TILE_N))
        g = u32(cuda.blockIdx.z)
        padded, columns = _filled_up(u32(c_src // groups)), u32(c_dst // groups)
        depth = u32(k_h * k_w * padded)

        if thread < u32(TILE_M):
            row = u32(first_row + thread)
            line = u32(row // w_dst)
            n = u32(line // h_dst)
            h, w = i32(line - n * h_dst), i32(row - line * w_dst)
            origin_h[thread] = window(h, stride_h, pad_top) if row < rows else i32(NOWHERE)
            origin_w[thread] = window(w, stride_w, pad_left)
            image[thread] = i32(n * h_src)
        cuda.syncthreads()

        k = u32(thread % u32(CHUNKS) * u32(CHUNK))
        for first_k in range(0, depth, TILE_K):
            l = u32(u32(first_k) + k)
            tap = u32(l // padded)
            r = u32(tap // k_w)
            c = u32(g * padded + l - tap * padded)
            s = u32(tap - r * k_w)
            for part in range(TILE_M * CHUNKS // THREADS):
                i = u32(thread // u32(CHUNKS) + u32(part * (THREADS // CHUNKS)))
                h = source(origin_h[i], i32(r), dil_h, stride_h)
                w = source(origin_w[i], i32(s), dil_w, stride_w)
                w0, w1, w2, w3 = u32(0), u32(0), u32(0), u32(0)
                if l < depth and h >= i32(0) and u32(h) < h_src and w >= i32(0) and u32(w) < w_src:
                    pixel = u32((u32(image[i]) + u32(h)) * w_src + u32(w))
                    w0, w1, w2, w3 = load8(src, u32(pixel * groups * padded + c))
                store8(a_tile, u32(i * u32(PITCH) + k), w0, w1, w2, w3)
            load_rows(
                filters, u32((g * columns + first_column) * depth), depth, u32(columns - first_column), u32(first_k),
                depth, b_tile, TILE_N,
            )  # fmt: skip
            cuda.syncthreads()
            multiply(a_tile, b_tile, sums)
            cuda.syncthreads()
        column = u32(g * columns + first_column)
        store(
            sums, bias, column, dst, u32(first_row * c_dst + column), c_dst, u32(rows - first_row),
            u32(columns - first_column),
        )  # fmt: skip

    return convolve


@device
def _store_transposed(sums, out, first, channels, padded, taps, first_row, first_column, columns):
    """out[first + (column * channels + c) * taps + tap] = sums[row, column] with row = tap * padded + c."""
    for i in range(ROWS):
        row = u32(first_row + own_rows() + group() + u32(8 * i))
        tap = u32(row // padded)
        c = u32(row - tap * padded)
        if tap < taps and c < channels:
            for j in range(ACROSS):
                for part in range(2):
                    column = u32(first_column + own_columns() + u32(2) * member() + u32(j * MMA_COLUMNS + part))
                    if column < columns:
                        result = sums[(i // 2 * ACROSS + j) * 4 + i % 2 * 2 + part]
                        out[u32(first + (column * channels + c) * taps + tap)] = result


def _grad_weight(name: str, multiply: Any, generations: Any) -> Kernel:
    @kernel_named(name, threads=THREADS, registers=80, shared=SHARED + 12 * TILE_K, generations=generations)
    def grad_weight(
        x: Halves, grad_out: Halves, partials: Floats,
        pixels: Count, h_in: Count, w_in: Count, c_in: Count, h_out: Count, w_out: Count, c_out: Count,
        k_h: Count, k_w: Count, stride_h: Offset, stride_w: Offset, pad_top: Offset, pad_left: Offset,
        dil_h: Offset, dil_w: Offset, groups: Count, pixels_per_part: Count,
    ):  # fmt: skip
        """The gradient of the filters from images of 16 bits, in parts of the sum.

        Computes   partials[part, k, c, r, s] = sum over the part's output pixels (n, oh, ow) of
                   grad_out[n, oh, ow, k] * x[n, oh * stride_h - pad_top + r * dil_h, ow * stride_w - pad_left + s *
                   dil_w, c].
        Requires   x (N, h_in, w_in, groups, channels) and grad_out (N, h_out, w_out, groups, filters), both filled up
                   to multiples of 8; pixels = N * h_out * w_out; partials (ceil(pixels / pixels_per_part), c_out,
                   c_in / groups, k_h, k_w), to be added by `sum_parts`.
        Writes     all of partials.
        Parallel   over tiles of (tap, channel), tiles of filters, and groups and parts of the pixels: grid (ceil(k_h *
                   k_w * padded channels / TILE_M), ceil(c_out / groups / TILE_N), groups * parts).
        Why        both operands run along their channels, the sum along pixels: eight values at a time are transposed
                   on the way into the tiles, so memory is still read eight values at a time.
        """
        a_tile = cuda.shared.array(HALVES_A, u16, alignment=16)
        b_tile = cuda.shared.array(HALVES_B, u16, alignment=16)
        origin_h = cuda.shared.array(TILE_K, i32)
        origin_w = cuda.shared.array(TILE_K, i32)
        image = cuda.shared.array(TILE_K, i32)
        sums = cuda.local.array(RESULTS, f32)
        clear(sums)
        thread = u32(cuda.threadIdx.x)
        first_row = u32(u32(cuda.blockIdx.x) * u32(TILE_M))
        first_column = u32(u32(cuda.blockIdx.y) * u32(TILE_N))
        part = u32(u32(cuda.blockIdx.z) // groups)
        g = u32(u32(cuda.blockIdx.z) - part * groups)
        channels, columns = u32(c_in // groups), u32(c_out // groups)
        padded, padded_out = _filled_up(channels), _filled_up(columns)
        taps = u32(k_h * k_w)
        first_pixel = u32(part * pixels_per_part)
        last_pixel = u32(first_pixel + pixels_per_part)
        last_pixel = last_pixel if last_pixel < pixels else pixels

        k = u32(thread % u32(TILE_K))
        for first_k in range(first_pixel, last_pixel, TILE_K):
            if thread < u32(TILE_K):
                pixel = u32(u32(first_k) + thread)
                line = u32(pixel // w_out)
                n = u32(line // h_out)
                top = i32(i32(line - n * h_out) * stride_h - pad_top)
                origin_h[thread] = top if pixel < last_pixel else i32(NOWHERE)
                origin_w[thread] = i32(i32(pixel - line * w_out) * stride_w - pad_left)
                image[thread] = i32(n * h_in)
            cuda.syncthreads()
            for step in range(TILE_M * CHUNKS // THREADS):
                i = u32(u32(thread // u32(TILE_K) + u32(step * (THREADS // TILE_K))) * u32(CHUNK))
                tap = u32(u32(first_row + i) // padded)
                r = u32(tap // k_w)
                h = i32(origin_h[k] + i32(r) * dil_h)
                w = i32(origin_w[k] + i32(tap - r * k_w) * dil_w)
                w0, w1, w2, w3 = u32(0), u32(0), u32(0), u32(0)
                if tap < taps and h >= i32(0) and u32(h) < h_in and w >= i32(0) and u32(w) < w_in:
                    place = u32((u32(image[k]) + u32(h)) * w_in + u32(w))
                    c = u32(first_row + i - tap * padded)
                    w0, w1, w2, w3 = load8(x, u32((place * groups + g) * padded + c))
                scatter8(a_tile, i, k, w0, w1, w2, w3)
            load_columns(
                grad_out, u32(g * padded_out + first_column), u32(groups * padded_out), u32(columns - first_column),
                u32(first_k), last_pixel, b_tile, TILE_N,
            )  # fmt: skip
            cuda.syncthreads()
            multiply(a_tile, b_tile, sums)
            # No thread of the next round writes to a tile before all have passed its first barrier.
        first = u32((part * c_out + g * columns) * channels * taps)
        _store_transposed(sums, partials, first, channels, padded, taps, first_row, first_column, columns)

    return grad_weight


_FORWARD, _BACKWARD = (window_forward, source_forward), (window_backward, source_backward)
_FLOAT16, _BFLOAT16 = (multiply_float16, WITH_TENSOR_CORES), (multiply_bfloat16, WITH_TENSOR_CORES)
_FLOAT16_SCALAR, _BFLOAT16_SCALAR = (multiply_float16_scalar, WITHOUT), (multiply_bfloat16_scalar, WITHOUT)

conv2d_forward_float16 = _walk("conv2d_forward_float16", *_FORWARD, *_FLOAT16)
conv2d_forward_bfloat16 = _walk("conv2d_forward_bfloat16", *_FORWARD, *_BFLOAT16)
conv2d_forward_float16_scalar = _walk("conv2d_forward_float16_scalar", *_FORWARD, *_FLOAT16_SCALAR)
conv2d_forward_bfloat16_scalar = _walk("conv2d_forward_bfloat16_scalar", *_FORWARD, *_BFLOAT16_SCALAR)
conv2d_grad_input_float16 = _walk("conv2d_grad_input_float16", *_BACKWARD, *_FLOAT16)
conv2d_grad_input_bfloat16 = _walk("conv2d_grad_input_bfloat16", *_BACKWARD, *_BFLOAT16)
conv2d_grad_input_float16_scalar = _walk("conv2d_grad_input_float16_scalar", *_BACKWARD, *_FLOAT16_SCALAR)
conv2d_grad_input_bfloat16_scalar = _walk("conv2d_grad_input_bfloat16_scalar", *_BACKWARD, *_BFLOAT16_SCALAR)
conv2d_grad_weight_float16 = _grad_weight("conv2d_grad_weight_float16", *_FLOAT16)
conv2d_grad_weight_bfloat16 = _grad_weight("conv2d_grad_weight_bfloat16", *_BFLOAT16)
conv2d_grad_weight_float16_scalar = _grad_weight("conv2d_grad_weight_float16_scalar", *_FLOAT16_SCALAR)
conv2d_grad_weight_bfloat16_scalar = _grad_weight("conv2d_grad_weight_bfloat16_scalar", *_BFLOAT16_SCALAR)

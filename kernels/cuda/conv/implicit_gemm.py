"""Convolution as a matrix product whose matrix of patches exists only as addresses, and is never written.

    out (pixels x filters) = patches (pixels x depth) x filters (depth x filters),   depth = taps * channels

    row i of patches = output pixel (n, oh, ow)       column l = tap (r, s), channel c;  c runs fastest
    patches[i, l] = x[n, oh * stride_h - pad_top + r * dil_h, ow * stride_w - pad_left + s * dil_w, c], or 0 outside

A block loads a slice of 128 pixels and 16 columns l straight from the image into its tile (kernels/cuda/micro/tile.py),
with zeros where the padding would be. Sixteen neighbouring threads read sixteen channels of one pixel, which are
neighbours in memory. The beginning of each pixel's window is computed once per block and kept in shared memory.

The gradient of the input is the same loop nest with another way to the source: x[h] met out[oh] through tap r where
h = oh * stride - pad + r * dil, so from h one comes back to oh = (h + pad - r * dil) / stride, if that divides.

Source: S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning" (2014), section 3.
"""

from __future__ import annotations

from typing import Any

from kernels.cuda.jit import Count, Floats, Kernel, Offset, cuda, device, f32, i32, kernel, kernel_named, u32
from kernels.cuda.micro.tile import (
    COLUMNS,
    FLOATS_A,
    FLOATS_B,
    PITCH_A,
    PITCH_B,
    RESULTS,
    ROWS,
    SHARED,
    THREADS,
    TILE_K,
    TILE_M,
    TILE_N,
    clear,
    load_slice,
    multiply,
    store,
)  # fmt: skip

NOWHERE = -(2**30)  # where the window of a row beyond the last pixel begins: outside of every image, whatever is added


@device
def window_forward(position, stride, pad):
    """Where the window of an output begins."""
    return i32(position * stride - pad)


@device
def source_forward(origin, tap, dil, stride):
    """The source position that a tap sees of a window that begins at `origin`."""
    return i32(origin + tap * dil)


@device
def window_backward(position, stride, pad):
    """An input's position in the padded image."""
    return i32(position + pad)


@device
def source_backward(origin, tap, dil, stride):
    """The output that saw an input position through a tap, -1 if none did."""
    reached = i32(origin - tap * dil)
    place = i32(u32(reached) // u32(stride))
    return place if reached >= i32(0) and i32(place * stride) == reached else i32(-1)


def _walk(name: str, window: Any, source: Any, registers: int) -> Kernel:
    @kernel_named(name, threads=THREADS, registers=registers, shared=SHARED + 12 * TILE_M)
    def convolve(
        src: Floats, filters: Floats, bias: Floats, dst: Floats,
        rows: Count, h_src: Count, w_src: Count, c_src: Count, h_dst: Count, w_dst: Count, c_dst: Count,
        k_h: Count, k_w: Count, stride_h: Offset, stride_w: Offset, pad_top: Offset, pad_left: Offset,
        dil_h: Offset, dil_w: Offset, groups: Count, relu: Count,
    ):  # fmt: skip
        """Convolve: the forward pass, or the gradient of the input, by a product without a matrix of patches.

        Computes   dst[i, g, k] = bias[g, k] + sum over l = (r, s, c) of patches[i, g, l] * filters[g, l, k], with
                   `relu` not below 0; patches are of src, as the head of this file says.
        Requires   src (N, h_src, w_src, c_src), dst (N, h_dst, w_dst, c_dst), rows = N * h_dst * w_dst; filters
                   (groups, k_h * k_w * channels, filters) from `pack_filters`; bias (c_dst) or empty.
        Writes     all of dst.
        Parallel   over tiles of pixels, tiles of filters and groups: grid (ceil(rows / TILE_M), ceil(c_dst / groups /
                   TILE_N), groups).
        Why        a value that is loaded serves 64 or 128 multiply-adds, and a patch costs no memory. The gradient of
                   a strided convolution also multiplies the zeros in between, stride^2 - 1 of stride^2.
        """
        a_tile = cuda.shared.array(FLOATS_A, f32, alignment=16)
        b_tile = cuda.shared.array(FLOATS_B, f32, alignment=16)
        origin_h = cuda.shared.array(TILE_M, i32)
        origin_w = cuda.shared.array(TILE_M, i32)
        image = cuda.shared.array(TILE_M, i32)
        sums = cuda.local.array(RESULTS, f32)
        clear(sums)
        thread = u32(cuda.threadIdx.x)
        first_row = u32(u32(cuda.blockIdx.x) * u32(TILE_M))
        first_column = u32(u32(cuda.blockIdx.y) * u32(TILE_N))
        group = u32(cuda.blockIdx.z)
        channels, columns = u32(c_src // groups), u32(c_dst // groups)
        depth = u32(k_h * k_w * channels)

        if thread < u32(TILE_M):
            row = u32(first_row + thread)
            line = u32(row // w_dst)
            n = u32(line // h_dst)
            h, w = i32(line - n * h_dst), i32(row - line * w_dst)
            origin_h[thread] = window(h, stride_h, pad_top) if row < rows else i32(NOWHERE)
            origin_w[thread] = window(w, stride_w, pad_left)
            image[thread] = i32(n * h_src)
        cuda.syncthreads()

        k = u32(thread % u32(TILE_K))
        for first_k in range(0, depth, TILE_K):
            l = u32(u32(first_k) + k)
            tap = u32(l // channels)
            r = u32(tap // k_w)
            c = u32(group * channels + l - tap * channels)
            s = u32(tap - r * k_w)
            for part in range(TILE_M * TILE_K // THREADS):
                i = u32(thread // u32(TILE_K) + u32(part * (THREADS // TILE_K)))
                h = source(origin_h[i], i32(r), dil_h, stride_h)
                w = source(origin_w[i], i32(s), dil_w, stride_w)
                value = f32(0)
                if l < depth and h >= i32(0) and u32(h) < h_src and w >= i32(0) and u32(w) < w_src:
                    value = src[u32(((u32(image[i]) + u32(h)) * w_src + u32(w)) * c_src + c)]
                a_tile[u32(k * u32(PITCH_A) + i)] = value
            load_slice(
                filters, u32(group * depth * columns + first_column), u32(1), u32(columns - first_column),
                u32(first_k), columns, depth, b_tile, u32(PITCH_B), TILE_N,
            )  # fmt: skip
            cuda.syncthreads()
            multiply(a_tile, b_tile, sums)
            cuda.syncthreads()
        column = u32(group * columns + first_column)
        store(
            sums, bias, column, relu, dst, u32(first_row * c_dst + column), c_dst, u32(rows - first_row),
            u32(columns - first_column),
        )  # fmt: skip

    return convolve


conv2d_forward_implicit_gemm = _walk("conv2d_forward_implicit_gemm", window_forward, source_forward, registers=128)
conv2d_grad_input_implicit_gemm = _walk(
    "conv2d_grad_input_implicit_gemm", window_backward, source_backward, registers=128
)


@kernel(threads=256, registers=32)
def pack_filters(
    weight: Floats, filters: Floats, size: Count, c_out: Count, channels: Count, taps: Count, groups: Count,
    backward: Count,
):  # fmt: skip
    """Bring filters into the order in which a convolution reads them.

    Computes   filters[g, t, c, k] = weight[g * (c_out / groups) + k, c, t]; `backward`: filters[g, t, k, c] = the same.
    Requires   weight (c_out, channels, taps), filters as large; size = c_out * channels * taps.
    Writes     all of filters.
    Parallel   over elements: grid ceil(size / 256).
    Why        the columns of a product are then contiguous. The few weights of a layer stay in the L2 cache.
    Reference  a step of `conv_forward` and `conv_grad_input`.
    """
    e = u32(u32(cuda.blockIdx.x) * u32(256) + u32(cuda.threadIdx.x))
    if e < size:
        per_group = u32(c_out // groups)
        inner = channels if backward != u32(0) else per_group
        outer = per_group if backward != u32(0) else channels
        line = u32(e // inner)
        last = u32(e - line * inner)
        block = u32(line // outer)
        middle = u32(line - block * outer)
        group = u32(block // taps)
        k = last if backward == u32(0) else middle
        c = middle if backward == u32(0) else last
        filters[e] = weight[u32(((group * per_group + k) * channels + c) * taps + block - group * taps)]


@device
def _store_transposed(sums, out, first, channels, taps, first_row, first_column, columns):
    """out[first + (column * channels + c) * taps + tap] = sums[row, column] with row = tap * channels + c."""
    thread = u32(cuda.threadIdx.x)
    column = u32(first_column + thread % u32(16) * u32(COLUMNS))
    for i in range(ROWS):
        row = u32(first_row + thread // u32(16) * u32(ROWS) + u32(i))
        tap = u32(row // channels)
        if tap < taps:
            for j in range(COLUMNS):
                k = u32(column + u32(j))
                if k < columns:
                    at = u32(first + (k * channels + row - tap * channels) * taps + tap)
                    out[at] = sums[i * COLUMNS + j]


@kernel(threads=THREADS, registers=128, shared=SHARED + 12 * TILE_K)
def conv2d_grad_weight_implicit_gemm(
    x: Floats, grad_out: Floats, partials: Floats,
    pixels: Count, h_in: Count, w_in: Count, c_in: Count, h_out: Count, w_out: Count, c_out: Count,
    k_h: Count, k_w: Count, stride_h: Offset, stride_w: Offset, pad_top: Offset, pad_left: Offset,
    dil_h: Offset, dil_w: Offset, groups: Count, pixels_per_part: Count,
):  # fmt: skip
    """The gradient of the filters: patches transposed times the gradient of the output, in parts of the sum.

    Computes   partials[part, k, c, r, s] = sum over the part's output pixels (n, oh, ow) of grad_out[n, oh, ow, k] *
               x[n, oh * stride_h - pad_top + r * dil_h, ow * stride_w - pad_left + s * dil_w, c].
    Requires   x (N, h_in, w_in, c_in), grad_out (N, h_out, w_out, c_out), pixels = N * h_out * w_out; partials
               (ceil(pixels / pixels_per_part), c_out, c_in / groups, k_h, k_w), to be added by `sum_parts`.
    Writes     all of partials.
    Parallel   over tiles of (tap, channel), tiles of filters, and groups and parts of the pixels: grid (ceil(k_h * k_w
               * channels / TILE_M), ceil(c_out / groups / TILE_N), groups * parts).
    Why        a sum over all pixels of a batch is long and has few results, so parts of it keep the whole GPU busy;
               they follow from the shape, so the sum is the same in every run.
    """
    a_tile = cuda.shared.array(FLOATS_A, f32, alignment=16)
    b_tile = cuda.shared.array(FLOATS_B, f32, alignment=16)
    origin_h = cuda.shared.array(TILE_K, i32)
    origin_w = cuda.shared.array(TILE_K, i32)
    image = cuda.shared.array(TILE_K, i32)
    sums = cuda.local.array(RESULTS, f32)
    clear(sums)
    thread = u32(cuda.threadIdx.x)
    first_row = u32(u32(cuda.blockIdx.x) * u32(TILE_M))
    first_column = u32(u32(cuda.blockIdx.y) * u32(TILE_N))
    part = u32(u32(cuda.blockIdx.z) // groups)
    group = u32(u32(cuda.blockIdx.z) - part * groups)
    channels, columns = u32(c_in // groups), u32(c_out // groups)
    taps = u32(k_h * k_w)
    first_pixel = u32(part * pixels_per_part)
    last_pixel = u32(first_pixel + pixels_per_part)
    last_pixel = last_pixel if last_pixel < pixels else pixels

    # A thread loads one (tap, channel) of every second pixel.
    i = u32(thread % u32(TILE_M))
    tap = u32(u32(first_row + i) // channels)
    r = u32(tap // k_w)
    down, right = i32(i32(r) * dil_h), i32(i32(tap - r * k_w) * dil_w)
    c = u32(first_row + i - tap * channels)
    for first_k in range(first_pixel, last_pixel, TILE_K):
        if thread < u32(TILE_K):
            pixel = u32(u32(first_k) + thread)
            line = u32(pixel // w_out)
            n = u32(line // h_out)
            origin_h[thread] = i32(i32(line - n * h_out) * stride_h - pad_top) if pixel < last_pixel else i32(NOWHERE)
            origin_w[thread] = i32(i32(pixel - line * w_out) * stride_w - pad_left)
            image[thread] = i32(n * h_in)
        cuda.syncthreads()
        for step in range(TILE_M * TILE_K // THREADS):
            k = u32(thread // u32(TILE_M) + u32(step * (THREADS // TILE_M)))
            h, w = i32(origin_h[k] + down), i32(origin_w[k] + right)
            value = f32(0)
            if tap < taps and h >= i32(0) and u32(h) < h_in and w >= i32(0) and u32(w) < w_in:
                value = x[u32(((u32(image[k]) + u32(h)) * w_in + u32(w)) * c_in + group * channels + c)]
            a_tile[u32(k * u32(PITCH_A) + i)] = value
        load_slice(
            grad_out, u32(group * columns + first_column), u32(1), u32(columns - first_column),
            u32(first_k), c_out, last_pixel, b_tile, u32(PITCH_B), TILE_N,
        )  # fmt: skip
        cuda.syncthreads()
        multiply(a_tile, b_tile, sums)
        # No thread of the next round writes to a tile before all have passed its first barrier.
    first = u32((part * c_out + group * columns) * channels * taps)
    _store_transposed(sums, partials, first, channels, taps, first_row, first_column, columns)

"""The gradient of the input of a network's first convolution, whose images have one to four channels.

In the direct algorithm the channels of the result are the lanes of the vectors: three channels leave most lanes empty.
Here pixels are the lanes. Each pixel of G = grad_out contributes to every value under the filter

    P[(c, r, s), ow] = sum over k of weight[k, c, r, s] * G[n, oh, ow, k]

a product of the weights, (C * k_h * k_w) x K, with a row of G transposed to K x pixels, so that pixels are the lanes.
P[(c, r, s), ow] belongs to the input at row oh * stride_h + r * dil_h - pad_top and column ow * stride_w +
s * dil_w - pad_left. From one ow to the next the column moves by the stride. So the rows of the result are collected
in *planes*, one for each channel and each remainder of the column (counted with the padding) modulo the stride: there
neighbours in ow are neighbours in memory, and a row of P is added to a row of a plane a vector at a time.

    columns w + pad_left:  0 1 2 3 4 5 ...    stride 2:  plane 0: 0 2 4 ...   plane 1: 1 3 5 ...
"""

import numpy as np

from kernels.cpu.micro.brgemm import brgemm
from kernels.cpu.micro.pack import transpose_block
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.target import REGISTER_BYTES, TILE_VECTORS
from kernels.cpu.vector.values import vload, vload_part, vstore, vstore_part
from kernels.jit import inline
from kernels.launch import kernel


@inline
def _add_row(products, source, planes, target, count):
    """planes[target + i] += products[source + i]."""
    lanes = REGISTER_BYTES // planes.itemsize
    for i in range(0, count - lanes + 1, lanes):
        vstore(vload(planes, target + i) + vload(products, source + i), planes, target + i)
    rest = count % lanes
    if rest > 0:
        i = count - rest
        total = vload_part(planes, target + i, rest) + vload_part(products, source + i, rest)
        vstore_part(total, planes, target + i, rest)


@inline
def _chunks(grad_x, rows_per_chunk):
    return grad_x.shape[0] * ceil_div(grad_x.shape[1], rows_per_chunk)


@kernel(_chunks)
def conv2d_grad_input_first_layer(
    chunk, grad_out, weight, grad_x, k_h, k_w, stride_h, stride_w, pad_top, pad_left, dil_h, dil_w, rows_per_chunk,
):  # fmt: skip
    """The gradient of the input, for few channels.

    Computes   grad_x[n, h, w, c] = sum of P[(c, r, s), ow] over the (r, s, oh, ow) that read (h, w), with P as at the
               top of this file.
    Requires   grad_out (N, H', W', K) and grad_x (N, H, W, C) C-contiguous; weight (C * k_h * k_w, K) C-contiguous,
               rows in the order (c, r, s).
    Writes     all of grad_x.
    Parallel   over images and blocks of rows of grad_x. Rows of G at the edge of two blocks are multiplied in both.
    Why        every lane is a pixel, so none is idle. P and the planes of a block stay in L2.
    """
    _, h_in, w_in, c_in = grad_x.shape
    _, h_out, w_out, c_out = grad_out.shape
    gradient, matrix, result = grad_out.reshape(-1), weight.reshape(-1), grad_x.reshape(-1)
    values = weight.shape[0]
    panel_columns = TILE_VECTORS * (REGISTER_BYTES // grad_out.itemsize)
    n_panels = ceil_div(w_out, panel_columns)
    width = n_panels * panel_columns
    plane_width = max(w_out + (k_w - 1) * dil_w // stride_w, ceil_div(w_in + pad_left, stride_w))
    row_size = c_in * stride_w * plane_width
    row_blocks = ceil_div(h_in, rows_per_chunk)
    image, first_h = chunk // row_blocks, chunk % row_blocks * rows_per_chunk
    rows = min(rows_per_chunk, h_in - first_h)
    transposed = np.empty(c_out * panel_columns, grad_out.dtype)
    products = np.empty(values * width, grad_out.dtype)
    planes = np.zeros(rows * row_size, grad_out.dtype)
    taps, start = np.zeros(1, np.int64), np.zeros(panel_columns, grad_out.dtype)
    # The rows of G whose filters reach into the block: oh * stride_h + (0 to reach) - pad_top.
    reach = (k_h - 1) * dil_h
    first_oh = max(0, ceil_div(first_h + pad_top - reach, stride_h))
    end_oh = min(h_out, (first_h + rows - 1 + pad_top) // stride_h + 1)
    for oh in range(first_oh, end_oh):
        for p in range(n_panels):
            pixels = min(panel_columns, w_out - p * panel_columns)
            pixel = (image * h_out + oh) * w_out + p * panel_columns
            transpose_block(
                gradient, pixel * c_out, c_out, pixels, c_out, transposed, 0, panel_columns, panel_columns
            )  # fmt: skip
            brgemm(
                values, matrix, 0, c_out, 1, taps, 1, c_out, transposed, 0, 0, panel_columns,
                products, p * panel_columns, width, panel_columns, start, 0,
                products, 0, False, False, False, False,
            )  # fmt: skip
        for r in range(k_h):
            h = oh * stride_h + r * dil_h - pad_top - first_h
            if 0 <= h < rows:
                for c in range(c_in):
                    for s in range(k_w):
                        plane = (h * c_in + c) * stride_w + s * dil_w % stride_w
                        _add_row(
                            products, ((c * k_h + r) * k_w + s) * width,
                            planes, plane * plane_width + s * dil_w // stride_w, w_out,
                        )  # fmt: skip
    for h in range(rows):
        target = (image * h_in + first_h + h) * w_in * c_in
        for c in range(c_in):
            for w in range(w_in):
                column = w + pad_left
                plane = (h * c_in + c) * stride_w + column % stride_w
                result[target + w * c_in + c] = planes[plane * plane_width + column // stride_w]

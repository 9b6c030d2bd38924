"""Skinny matrix products: one size is small, as in a batch of one to sixteen rows. Reading the weight is the limit.

The micro-kernel needs a packed right operand, and packing moves the whole weight once more. Nothing is packed here:
both kernels read the large matrix once, along its rows.
"""

import numpy as np

from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.values import load_lanes, store_lanes, vlanes, vload, vmuladd, vsplat, vstore, vsum
from kernels.jit import inline
from kernels.launch import kernel

FEATURES_PER_CHUNK = 16
# Values of a row that are multiplied at a time: 4 rows of the weight take 16 KiB of float32, and stay in the L1 cache
# for all rows of x.
BLOCK_LENGTH = 1024
BLOCK_DEPTH = 8  # rows of b that are added up in registers: if they are 4 KiB apart, they fill one set of L1


@inline
def _zeros(array):
    """Eight vectors of 0, the sums of two rows of x and four vectors y."""
    zero = vsplat(array, 0)
    return zero, zero, zero, zero, zero, zero, zero, zero


@inline
def _four(array, at_0, at_1, at_2, at_3, count):
    """Four vectors, or only their first `count` lanes."""
    return (
        load_lanes(array, at_0, count), load_lanes(array, at_1, count),
        load_lanes(array, at_2, count), load_lanes(array, at_3, count),
    )  # fmt: skip


@inline
def _add_products(sums, x_0, x_1, y):
    """Add x_0 * y[i] to the first four sums and x_1 * y[i] to the others."""
    return (
        vmuladd(x_0, y[0], sums[0]), vmuladd(x_0, y[1], sums[1]), vmuladd(x_0, y[2], sums[2]),
        vmuladd(x_0, y[3], sums[3]), vmuladd(x_1, y[0], sums[4]), vmuladd(x_1, y[1], sums[5]),
        vmuladd(x_1, y[2], sums[6]), vmuladd(x_1, y[3], sums[7]),
    )  # fmt: skip


@inline
def _eight_dots(a_0, a_1, w_0, w_1, w_2, w_3, x, weight, length):
    """The eight dot products of rows of x, which begin at a_0 and a_1, and of weight, at w_0 to w_3; both are flat."""
    lanes = vlanes(x)
    sums = _zeros(x)
    whole = length - length % lanes
    for c in range(0, whole, lanes):
        y = _four(weight, w_0 + c, w_1 + c, w_2 + c, w_3 + c, lanes)
        sums = _add_products(sums, vload(x, a_0 + c), vload(x, a_1 + c), y)
    if whole < length:
        count = length - whole
        y = _four(weight, w_0 + whole, w_1 + whole, w_2 + whole, w_3 + whole, count)
        sums = _add_products(sums, load_lanes(x, a_0 + whole, count), load_lanes(x, a_1 + whole, count), y)
    s_00, s_01, s_02, s_03, s_10, s_11, s_12, s_13 = sums
    return vsum(s_00), vsum(s_01), vsum(s_02), vsum(s_03), vsum(s_10), vsum(s_11), vsum(s_12), vsum(s_13)


@inline
def _feature_chunks(weight):
    return ceil_div(weight.shape[0], FEATURES_PER_CHUNK)


@kernel(_feature_chunks)
def linear_skinny(chunk, x, weight, bias, out):
    """Products of a few rows with the rows of a matrix: `linear` of a small batch.

    Computes   out[m, f] = bias[f] + sum over c of x[m, c] * weight[f, c].
    Requires   x (M, C) and weight (F, C) C-contiguous, bias (F,).
    Writes     all of out (M, F), of any strides.
    Parallel   over blocks of rows of weight.
    Why        the weight is read once, four rows at a time, along its rows; eight sums in registers keep the additions
               busy. Where fewer rows are left, the last one is taken again, and its sum is not used.
    """
    rows, length = x.shape
    features = weight.shape[0]
    block_length = BLOCK_LENGTH if rows > 2 else length
    flat_x, flat_weight = x.reshape(-1), weight.reshape(-1)
    sums = np.empty((rows + 1, 4), x.dtype)
    end = min((chunk + 1) * FEATURES_PER_CHUNK, features)
    for f in range(chunk * FEATURES_PER_CHUNK, end, 4):
        sums[:] = 0
        for c in range(0, length, block_length):
            w_0, w_1 = f * length + c, min(f + 1, end - 1) * length + c
            w_2, w_3 = min(f + 2, end - 1) * length + c, min(f + 3, end - 1) * length + c
            for m in range(0, rows, 2):
                dots = _eight_dots(
                    m * length + c, min(m + 1, rows - 1) * length + c, w_0, w_1, w_2, w_3,
                    flat_x, flat_weight, min(block_length, length - c),
                )  # fmt: skip
                for i in range(4):
                    sums[m, i] += dots[i]
                    sums[m + 1, i] += dots[4 + i]
        for m in range(rows):
            for i in range(min(4, end - f)):
                out[m, f + i] = sums[m, i] + bias[f + i]


@inline
def _add_to_two_rows(a, m_0, m_1, k_first, k_end, b, n, columns, out):
    """out[m, n + j] = (out[m, n + j] if k_first > 0) + sum over k of a[m, k] * b[k, n + j], for four vectors."""
    lanes = vlanes(a)
    to_0, to_1 = m_0 * columns + n, m_1 * columns + n
    sums = _zeros(a)
    if k_first > 0:
        s_00, s_01, s_02, s_03 = _four(out, to_0, to_0 + lanes, to_0 + 2 * lanes, to_0 + 3 * lanes, lanes)
        s_10, s_11, s_12, s_13 = _four(out, to_1, to_1 + lanes, to_1 + 2 * lanes, to_1 + 3 * lanes, lanes)
        sums = s_00, s_01, s_02, s_03, s_10, s_11, s_12, s_13
    for k in range(k_first, k_end):
        at = k * columns + n
        y = _four(b, at, at + lanes, at + 2 * lanes, at + 3 * lanes, lanes)
        sums = _add_products(sums, vsplat(a, a[m_0, k]), vsplat(a, a[m_1, k]), y)
    s_00, s_01, s_02, s_03, s_10, s_11, s_12, s_13 = sums
    vstore(s_00, out, to_0)
    vstore(s_01, out, to_0 + lanes)
    vstore(s_02, out, to_0 + 2 * lanes)
    vstore(s_03, out, to_0 + 3 * lanes)
    vstore(s_10, out, to_1)
    vstore(s_11, out, to_1 + lanes)
    vstore(s_12, out, to_1 + 2 * lanes)
    vstore(s_13, out, to_1 + 3 * lanes)


@inline
def _chunks(a, b, rows_per_chunk, columns_per_chunk):
    return ceil_div(a.shape[0], rows_per_chunk) * ceil_div(b.shape[1], columns_per_chunk)


@kernel(_chunks)
def gemm_skinny(chunk, a, b, out, rows_per_chunk, columns_per_chunk):
    """A product with few rows, or few terms in each sum.

    Computes   out[m, n] = sum over k of a[m, k] * b[k, n].
    Requires   a (M, K), b (K, N) and out (M, N) C-contiguous.
    Writes     all of out.
    Parallel   over blocks of rows and columns.
    Why        few rows: b is read once, along its rows, and its block stays in the L1 cache for all of them. Few terms:
               out is written once. BLOCK_DEPTH terms are added up before a sum is put back.
    """
    rows, depth = a.shape
    columns = b.shape[1]
    flat_b, flat_out = b.reshape(-1), out.reshape(-1)
    lanes = vlanes(a)
    column_chunks = ceil_div(columns, columns_per_chunk)
    m_first, n_first = chunk // column_chunks * rows_per_chunk, chunk % column_chunks * columns_per_chunk
    m_end, n_end = min(m_first + rows_per_chunk, rows), min(n_first + columns_per_chunk, columns)
    whole = n_end - (n_end - n_first) % (4 * lanes)
    for k_first in range(0, depth, BLOCK_DEPTH):
        k_end = min(k_first + BLOCK_DEPTH, depth)
        for m in range(m_first, m_end, 2):
            for n in range(n_first, whole, 4 * lanes):
                _add_to_two_rows(a, m, min(m + 1, m_end - 1), k_first, k_end, flat_b, n, columns, flat_out)
        for m in range(m_first, m_end):
            for n in range(whole, n_end, lanes):
                count = n_end - n
                total = vsplat(a, 0)
                if k_first > 0:
                    total = load_lanes(flat_out, m * columns + n, count)
                for k in range(k_first, k_end):
                    total = vmuladd(vsplat(a, a[m, k]), load_lanes(flat_b, k * columns + n, count), total)
                store_lanes(total, flat_out, m * columns + n, count)

"""Winograd's transforms: what the matrices of F(m x m, 3x3) do to tiles, a vector of channels at a time.

A 3x3 filter g makes an m x m tile of output Y from an (m+2) x (m+2) tile of input d. In each dimension that is a
product of polynomials, known from its values at m + 2 points; transforming both factors to these values, multiplying
them point by point and transforming back gives

    Y = A^T [ (G g G^T) * (B^T d B) ] A                          (* element by element)

with the matrices of winograd_matrices.py: (m+2)^2 multiplications for what takes the direct algorithm 9 m^2, that is 16
for 36 if m = 2 and 36 for 144 if m = 4. The price is accuracy: the factors up to 8 of m = 4 cost about one decimal
digit against the direct algorithm; those of m = 2 are 1/2 and 1, and cost next to nothing.

Y is linear in g. For an upstream gradient dY, sum(dY * Y) = sum((A dY A^T) * (G g G^T) * (B^T d B)), so the gradient of
the filter needs the transposed matrices only:

    dg = G^T [ (B^T d B) * (A dY A^T) ] G

The point p = 1 has a column of ones in A^T. So a value added to product (1, 1) is added to all of Y: the bias enters
the result there, at `bias_point(m)`.

Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), sections 4.1 and 4.2.

All functions here work on whole vectors of channels; `scratch` holds (m+2)^2 vectors between the two dimensions. Point
e = (m + 2) * i + j of a transformed tile lies e planes behind the first.
"""

import numpy as np

from kernels.cpu.conv.winograd_matrices import POINTS, TAPS, transposed, winograd_matrices
from kernels.cpu.micro.constant_matmul import constant_product, output_product
from kernels.cpu.micro.gather import copy_window
from kernels.cpu.vector.split import ceil_div
from kernels.cpu.vector.target import STREAM_BYTES
from kernels.cpu.vector.values import vlanes, vsplat
from kernels.jit import inline

MATRICES = {m: winograd_matrices(m) for m in POINTS}


@inline
def points(m):
    """The points of a transformed tile, the multiplications for m x m outputs."""
    return (m + TAPS - 1) * (m + TAPS - 1)


@inline
def bias_point(m):
    """The point whose value is added to every output."""
    return m + TAPS


def _both_dimensions(matrices):
    """M D M^T for a matrix that depends on m: first the columns of the tile D, then the rows of what comes out."""
    line = constant_product(matrices)
    # The height and width of the matrix are linear in m.
    (small, large), (first, second) = sorted(matrices), (matrices[m] for m in sorted(matrices))
    more_out, more_in = ((len(b) - len(a)) // (large - small) for a, b in ((first, second), (first[0], second[0])))
    least_out, least_in = len(first) - more_out * small, len(first[0]) - more_in * small

    @inline
    def transform(m, source, at, row, column, count, target, to, to_row, to_column, scratch):
        lanes = vlanes(source)
        size_in, size_out = more_in * m + least_in, more_out * m + least_out
        for c in range(0, count, lanes):
            for j in range(size_in):
                line(m, source, at + j * column + c, row, scratch, j * lanes, size_in * lanes)
            for i in range(size_out):
                line(m, scratch, i * size_in * lanes, lanes, target, to + i * to_row + c, to_column)

    return transform


# (m, source, at, row, column, count, target, to, to_row, to_column, scratch):
# target[to + i * to_row + j * to_column + c] = (M D M^T)[i, j] with D[i, j] = source[at + i * row + j * column + c] for
# c < count, rounded up to whole vectors.
transform_input = _both_dimensions({m: of.input for m, of in MATRICES.items()})  # B^T d B
transform_filter = _both_dimensions({m: of.filter for m, of in MATRICES.items()})  # G g G^T
transform_grad_out = _both_dimensions({m: transposed(of.output) for m, of in MATRICES.items()})  # A dY A^T
transform_grad_filter = _both_dimensions({m: transposed(of.filter) for m, of in MATRICES.items()})  # G^T M G
_output_product = constant_product({m: of.output for m, of in MATRICES.items()})
_last_output_product = output_product({m: of.output for m, of in MATRICES.items()})


@inline
def transform_output(m, products, at, plane, residual, relu, count, dst, target, row, column, rows, columns, scratch):
    """dst[target + i * row + j * column + k] = (A^T M A)[i, j] for k < count, with M[e] = products[at + e * plane + k].

    Only the `rows` x `columns` of the m x m tile that lie inside the image; plus the elements of `residual` at the same
    places, unless it is empty; if `relu`, max(0, that). The vector of scratch after those of the tile stays 0 as long
    as every result is finite.
    """
    lanes, size = vlanes(products), m + TAPS - 1
    limit, stream = vsplat(products, 0.0 if relu else -np.inf), dst.size * dst.itemsize >= STREAM_BYTES
    for k in range(0, count, lanes):
        for j in range(size):
            _output_product(m, products, at + j * plane + k, size * plane, scratch, j * lanes, size * lanes)
        for i in range(rows):
            _last_output_product(
                m, scratch, i * size * lanes, lanes, dst, target + i * row + k, column, residual, residual.size > 0,
                limit, columns, count - k, stream, size * size * lanes,
            )  # fmt: skip


@inline
def all_finite(scratch, at):
    """Whether the vector at scratch[at], to which 0 times each result was added, is still 0: infinity and NaN stay."""
    finite = True
    for l in range(vlanes(scratch)):
        finite = finite and scratch[at + l] == 0  # NaN is not
    return finite


@inline
def place(tile_index, tiles_h, tiles_w):
    """(image, row, column): where tile `tile_index` of a batch lies, in units of tiles."""
    rest = tile_index // tiles_w
    return rest // tiles_h, rest % tiles_h, tile_index % tiles_w


@inline
def transform_input_tiles(
    m, x, h_in, w_in, c_in, channel, count, pad_top, pad_left, tiles_h, tiles_w, first, end, planes, at, row, plane,
    tile, scratch
):  # fmt: skip
    """planes[at + e * plane + (t - first) * row + c] = (B^T d B)[e] for the tiles first <= t < end of x (N, H, W, C).

    For `count` channels from `channel` on; rows of planes reach to whole vectors. Tiles are transformed in place,
    unless they cross the border or their last vector is not whole: these are copied first.
    """
    lanes = vlanes(x)
    padded, size = ceil_div(count, lanes) * lanes, m + TAPS - 1
    for t in range(first, end):
        image, i, j = place(t, tiles_h, tiles_w)
        top, left = i * m - pad_top, j * m - pad_left
        offset, target = image * h_in * w_in * c_in + channel, at + (t - first) * row
        inside = min(top, left) >= 0 and top + size <= h_in and left + size <= w_in
        if inside and padded == count:
            source = offset + (top * w_in + left) * c_in
            transform_input(m, x, source, w_in * c_in, c_in, count, planes, target, size * plane, plane, scratch)
        else:
            copy_window(x, offset, h_in, w_in, c_in, 0, count, top, left, 1, 1, tile, 0, size, size, padded)
            transform_input(m, tile, 0, size * padded, padded, padded, planes, target, size * plane, plane, scratch)

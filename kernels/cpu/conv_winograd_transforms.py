"""Winograd's transforms: the matrices of F(4x4, 3x3) and what they do to tiles, a vector of channels at a time.

A 3x3 filter g makes a 4x4 tile of output Y from a 6x6 tile of input d. In each dimension that is a product of
polynomials, which is known from its values at six points; transforming both factors to these values, multiplying them
point by point and transforming back gives

    Y = A^T [ (G g G^T) * (B^T d B) ] A                          (* element by element)

36 multiplications for what takes the direct algorithm 144. The matrices (points 0, 1, -1, 2, -2 and infinity):

          4  0 -5  0  1  0         1/4    0    0         1  1  1  1  1  0
          0 -4 -4  1  1  0        -1/6 -1/6 -1/6         0  1 -1  2 -2  0
    B^T = 0  4 -4 -1  1  0    G = -1/6  1/6 -1/6   A^T = 0  1  1  4  4  0
          0 -2 -1  2  1  0        1/24 1/12  1/6         0  1 -1  8 -8  1
          0  2 -1 -2  1  0        1/24 -1/12 1/6
          0  4  0 -5  0  1           0    0    1

Y is linear in g. For an upstream gradient dY, sum(dY * Y) = sum((A dY A^T) * (G g G^T) * (B^T d B)), so the gradient of
the filter needs the transposed matrices only:

    dg = G^T [ (B^T d B) * (A dY A^T) ] G

Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), sections 4.1 and 4.2. The
price is accuracy: the factors up to 8 cost about one decimal digit against the direct algorithm.

All functions here work on whole vectors of channels; `scratch` holds 36 vectors between the two dimensions. Point
e = 6 * i + j of a transformed tile lies e planes behind the first.
"""

from kernels.cpu.simd import vload, vload_part, vrelu, vsplat, vstore, vstore_part
from kernels.cpu.target import REGISTER_BYTES, TILE_VECTORS
from kernels.jit import inline

OUT_TILE = 4
IN_TILE = 6
POINTS = IN_TILE * IN_TILE


@inline
def _load_three(array, at, step):
    return vload(array, at), vload(array, at + step), vload(array, at + 2 * step)


@inline
def _load_four(array, at, step):
    return vload(array, at), vload(array, at + step), vload(array, at + 2 * step), vload(array, at + 3 * step)


@inline
def _load_six(array, at, step):
    return (
        vload(array, at), vload(array, at + step), vload(array, at + 2 * step),
        vload(array, at + 3 * step), vload(array, at + 4 * step), vload(array, at + 5 * step),
    )  # fmt: skip


@inline
def _store_three(values, array, at, step):
    vstore(values[0], array, at)
    vstore(values[1], array, at + step)
    vstore(values[2], array, at + 2 * step)


@inline
def _store_four(values, array, at, step):
    vstore(values[0], array, at)
    vstore(values[1], array, at + step)
    vstore(values[2], array, at + 2 * step)
    vstore(values[3], array, at + 3 * step)


@inline
def _store_six(values, array, at, step):
    vstore(values[0], array, at)
    vstore(values[1], array, at + step)
    vstore(values[2], array, at + 2 * step)
    vstore(values[3], array, at + 3 * step)
    vstore(values[4], array, at + 4 * step)
    vstore(values[5], array, at + 5 * step)


@inline
def _input_1d(d, two, four, five):
    """B^T d for a column of six vectors; rows 1 and 2, and 3 and 4, share their sums."""
    d0, d1, d2, d3, d4, d5 = d
    a, b = d4 - four * d2, d3 - four * d1
    c, e = d4 - d2, two * (d3 - d1)
    return four * d0 - five * d2 + d4, a + b, a - b, c + e, c - e, four * d1 - five * d3 + d5


@inline
def _output_1d(m, two, four, eight):
    """A^T m for a column of six vectors."""
    m0, m1, m2, m3, m4, m5 = m
    sum_12, difference_12 = m1 + m2, m1 - m2
    sum_34, difference_34 = m3 + m4, m3 - m4
    return (
        m0 + sum_12 + sum_34,
        difference_12 + two * difference_34,
        sum_12 + four * sum_34,
        difference_12 + eight * difference_34 + m5,
    )


@inline
def _grad_out_1d(y, two, four, eight):
    """A y for a column of four vectors."""
    y0, y1, y2, y3 = y
    even, odd = y0 + y2, y1 + y3
    even_2, odd_2 = y0 + four * y2, two * y1 + eight * y3
    return y0, even + odd, even - odd, even_2 + odd_2, even_2 - odd_2, y3


@inline
def _filter_1d(g, quarter, sixth, twelfth, twenty_fourth):
    """G g for a column of three vectors."""
    g0, g1, g2 = g
    ends, middle = sixth * (g0 + g2), sixth * g1
    opposite = middle - ends
    far, near = twenty_fourth * g0 + sixth * g2, twelfth * g1
    return quarter * g0, opposite - (middle + middle), opposite, far + near, far - near, g2


@inline
def _grad_filter_1d(m, quarter, sixth, twelfth, twenty_fourth):
    """G^T m for a column of six vectors."""
    m0, m1, m2, m3, m4, m5 = m
    sum_12, sum_34 = sixth * (m1 + m2), m3 + m4
    return (
        quarter * m0 - sum_12 + twenty_fourth * sum_34,
        sixth * (m2 - m1) + twelfth * (m3 - m4),
        sixth * sum_34 - sum_12 + m5,
    )


@inline
def transform_input(source, at, row, column, count, planes, target, plane, scratch):
    """planes[target + e * plane + c] = (B^T d B)[e] with d[i, j] = source[at + i * row + j * column + c]."""
    lanes = REGISTER_BYTES // source.itemsize
    two, four, five = vsplat(source, 2.0), vsplat(source, 4.0), vsplat(source, 5.0)
    for c in range(0, count, lanes):
        for j in range(IN_TILE):
            values = _input_1d(_load_six(source, at + j * column + c, row), two, four, five)
            _store_six(values, scratch, j * lanes, IN_TILE * lanes)
        for i in range(IN_TILE):
            values = _input_1d(_load_six(scratch, i * IN_TILE * lanes, lanes), two, four, five)
            _store_six(values, planes, target + i * IN_TILE * plane + c, plane)


@inline
def transform_filter(taps, at, tap, panels, target, plane, scratch):
    """panels[target + e * plane + j] = (G g G^T)[e] for a panel of filters; g[r, s] = taps[at + (3r + s) * tap + j]."""
    lanes = REGISTER_BYTES // taps.itemsize
    quarter, sixth = vsplat(taps, 1 / 4), vsplat(taps, 1 / 6)
    twelfth, twenty_fourth = vsplat(taps, 1 / 12), vsplat(taps, 1 / 24)
    for j in range(0, TILE_VECTORS * lanes, lanes):
        for s in range(3):
            column = _filter_1d(_load_three(taps, at + s * tap + j, 3 * tap), quarter, sixth, twelfth, twenty_fourth)
            _store_six(column, scratch, s * lanes, 3 * lanes)
        for i in range(IN_TILE):
            row = _filter_1d(_load_three(scratch, i * 3 * lanes, lanes), quarter, sixth, twelfth, twenty_fourth)
            _store_six(row, panels, target + i * IN_TILE * plane + j, plane)


@inline
def _store_output(value, dst, at, count, lanes):
    if count >= lanes:
        vstore(value, dst, at)
    else:
        vstore_part(value, dst, at, count)


@inline
def transform_output(
    products, at, plane, start, start_at, relu, count, dst, target, row, column, rows, columns, scratch
):
    """dst[target + i * row + j * column + k] = (A^T M A)[i, j] + start[start_at + k] for k < count.

    M[e] = products[at + e * plane + k]. Only the `rows` x `columns` of the 4x4 tile that lie inside the image; if
    `relu`, max(0, that).
    """
    lanes = REGISTER_BYTES // products.itemsize
    two, four, eight = vsplat(products, 2.0), vsplat(products, 4.0), vsplat(products, 8.0)
    for k in range(0, count, lanes):
        for j in range(IN_TILE):
            values = _output_1d(_load_six(products, at + j * plane + k, IN_TILE * plane), two, four, eight)
            _store_four(values, scratch, j * lanes, IN_TILE * lanes)
        first = vload(start, start_at + k)
        for i in range(rows):
            y = _output_1d(_load_six(scratch, i * IN_TILE * lanes, lanes), two, four, eight)
            y0, y1, y2, y3 = y[0] + first, y[1] + first, y[2] + first, y[3] + first
            if relu:
                y0, y1, y2, y3 = vrelu(y0), vrelu(y1), vrelu(y2), vrelu(y3)
            out = target + i * row + k
            _store_output(y0, dst, out, count - k, lanes)
            if columns > 1:
                _store_output(y1, dst, out + column, count - k, lanes)
            if columns > 2:
                _store_output(y2, dst, out + 2 * column, count - k, lanes)
            if columns > 3:
                _store_output(y3, dst, out + 3 * column, count - k, lanes)


@inline
def transform_grad_out(source, at, row, column, count, planes, target, plane, scratch):
    """planes[target + e * plane + k] = (A dY A^T)[e] with dY[i, j] = source[at + i * row + j * column + k]."""
    lanes = REGISTER_BYTES // source.itemsize
    two, four, eight = vsplat(source, 2.0), vsplat(source, 4.0), vsplat(source, 8.0)
    for k in range(0, count, lanes):
        for j in range(OUT_TILE):
            values = _grad_out_1d(_load_four(source, at + j * column + k, row), two, four, eight)
            _store_six(values, scratch, j * lanes, OUT_TILE * lanes)
        for i in range(IN_TILE):
            values = _grad_out_1d(_load_four(scratch, i * OUT_TILE * lanes, lanes), two, four, eight)
            _store_six(values, planes, target + i * IN_TILE * plane + k, plane)


@inline
def transform_grad_filter(sums, at, plane, filters, target, step, scratch):
    """filters[target + t * step] = (G^T M G)[t], vectors of filters, with M[e] = sums[at + e * plane]."""
    lanes = REGISTER_BYTES // sums.itemsize
    quarter, sixth = vsplat(sums, 1 / 4), vsplat(sums, 1 / 6)
    twelfth, twenty_fourth = vsplat(sums, 1 / 12), vsplat(sums, 1 / 24)
    for j in range(IN_TILE):
        column = _grad_filter_1d(
            _load_six(sums, at + j * plane, IN_TILE * plane), quarter, sixth, twelfth, twenty_fourth
        )
        _store_three(column, scratch, j * lanes, IN_TILE * lanes)
    for r in range(3):
        row = _grad_filter_1d(_load_six(scratch, r * IN_TILE * lanes, lanes), quarter, sixth, twelfth, twenty_fourth)
        _store_three(row, filters, target + r * 3 * step, step)


@inline
def copy_tile(images, offset, height, width, row, channels, count, top, left, size, tile, padded):
    """tile[(i * size + j) * padded + c] = images[offset + (top + i) * row + (left + j) * channels + c], c < count.

    0 outside the image and for count <= c < padded, a multiple of VL.
    """
    lanes = REGISTER_BYTES // tile.itemsize
    zero = vsplat(tile, 0.0)
    for i in range(size):
        for j in range(size):
            h, w = top + i, left + j
            source, target = offset + h * row + w * channels, (i * size + j) * padded
            if 0 <= h < height and 0 <= w < width:
                whole = count // lanes * lanes
                for c in range(0, whole, lanes):
                    vstore(vload(images, source + c), tile, target + c)
                if whole < count:
                    vstore(vload_part(images, source + whole, count - whole), tile, target + whole)
            else:
                for c in range(0, padded, lanes):
                    vstore(zero, tile, target + c)


@inline
def place(tile_index, tiles_h, tiles_w):
    """(image, row, column): where tile `tile_index` of a batch lies, in units of tiles."""
    rest = tile_index // tiles_w
    return rest // tiles_h, rest % tiles_h, tile_index % tiles_w


@inline
def transform_input_tiles(
    x, h_in, w_in, c_in, channel, count, pad_top, pad_left, tiles_h, tiles_w, first, end, planes, at, row, plane,
    tile, scratch
):  # fmt: skip
    """planes[at + e * plane + (t - first) * row + c] = (B^T d B)[e] for the tiles first <= t < end of x (N, H, W, C).

    Takes `count` channels from `channel` on; rows of planes reach to whole vectors of them. Tiles are transformed where
    they lie unless they cross the border or their last vector is not whole.
    """
    lanes = REGISTER_BYTES // x.itemsize
    padded = (count + lanes - 1) // lanes * lanes
    for t in range(first, end):
        image, i, j = place(t, tiles_h, tiles_w)
        top, left = i * OUT_TILE - pad_top, j * OUT_TILE - pad_left
        offset, target = image * h_in * w_in * c_in + channel, at + (t - first) * row
        inside = min(top, left) >= 0 and top + IN_TILE <= h_in and left + IN_TILE <= w_in
        if inside and padded == count:
            source = offset + (top * w_in + left) * c_in
            transform_input(x, source, w_in * c_in, c_in, count, planes, target, plane, scratch)
        else:
            copy_tile(x, offset, h_in, w_in, w_in * c_in, c_in, count, top, left, IN_TILE, tile, padded)
            transform_input(tile, 0, IN_TILE * padded, padded, padded, planes, target, plane, scratch)

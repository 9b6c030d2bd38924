"""How the kernels that take several steps are started: grids, parts of long sums, the memory in between.

Arrays are flat; `empty(size)` makes one of float32 on their device. A `bias` may be None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kernels.cuda.conv.depthwise import (
    conv2d_forward_depthwise,
    conv2d_grad_input_depthwise,
    conv2d_grad_weight_depthwise,
)
from kernels.cuda.conv.im2col import col2im, im2col
from kernels.cuda.conv.implicit_gemm import (
    conv2d_forward_implicit_gemm,
    conv2d_grad_input_implicit_gemm,
    conv2d_grad_weight_implicit_gemm,
    pack_filters,
)
from kernels.cuda.linear.gemm import gemm
from kernels.cuda.micro.tile import TILE_M, TILE_N
from kernels.cuda.reduce import COLUMNS, column_sums, sum_blocks, sum_parts

Empty = Callable[[int], Any]

THREADS = 256  # of the kernels that have one thread for an element
BLOCKS_WANTED = 256  # enough for two blocks on each multiprocessor of the largest GPUs
SHORTEST_PART = 256  # terms of a part of a sum: a block's beginning and end cost as much as some ten
ROWS_PER_PART = 1024  # of reductions over rows: 128 values for each of a column's threads


class ConvSizes(NamedTuple):
    """The sizes of a convolution of N images, which kernels see as channels-last blocks."""

    n: int
    h_in: int
    w_in: int
    c_in: int
    h_out: int
    w_out: int
    c_out: int
    k_h: int
    k_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    dil_h: int
    dil_w: int
    groups: int

    @property
    def pixels(self) -> int:
        """Of the output, in all images."""
        return self.n * self.h_out * self.w_out

    @property
    def window(self) -> tuple[int, ...]:
        """What kernels take last: the filter's size, stride, padding and dilation."""
        return self[7:15]

    @property
    def images(self) -> tuple[int, ...]:
        """The sizes of input and output, in the order in which kernels take them."""
        return self[1:7]

    @property
    def depthwise(self) -> bool:
        """Whether each filter sees one channel."""
        return self.groups == self.c_in

    @property
    def pointwise(self) -> bool:
        """Whether the pixels of the output are products of the pixels of the input, in the same order."""
        same = (self.h_in, self.w_in) == (self.h_out, self.w_out)
        return same and self.groups == 1 and self.window == (1, 1, 1, 1, 0, 0, self.dil_h, self.dil_w)


class Steps(NamedTuple):
    """A matrix in memory: how many elements lie between its rows, its columns, and the matrices of a batch."""

    row: int
    col: int
    batch: int = 0


def ceil_div(size: int, part: int) -> int:
    """How many parts hold `size` elements."""
    return -(-size // part)


def matmul(
    a: Any, b: Any, out: Any, m: int, n: int, depth: int, a_steps: Steps, b_steps: Steps, empty: Empty,
    bias: Any = None, relu: bool = False, batches: int = 1,
) -> None:  # fmt: skip
    """out (batches, m, n) = a (m, depth) times b (depth, n), plus bias (n). Long sums of few results are in parts."""
    none = empty(0)
    tiles = ceil_div(m, TILE_M) * ceil_div(n, TILE_N)
    parts = 1
    if batches == 1 and bias is None and not relu:
        parts = max(1, min(BLOCKS_WANTED // max(tiles, 1), depth // SHORTEST_PART))
    grid = ceil_div(m, TILE_M), ceil_div(n, TILE_N)
    if parts > 1:
        share = ceil_div(depth, parts)
        parts = ceil_div(depth, share)
        partials = empty(parts * m * n)
        a_part, b_part = (
            (a_steps.row, a_steps.col, share * a_steps.col),
            (b_steps.row, b_steps.col, share * b_steps.row),
        )
        gemm((*grid, parts), a, b, none, partials, m, n, share, depth, *a_part, *b_part, 0)
        add_parts(partials, out, m * n, parts)
    else:
        bias = none if bias is None else bias
        gemm((*grid, batches), a, b, bias, out, m, n, depth, depth * batches, *a_steps, *b_steps, relu)


def add_parts(partials: Any, out: Any, size: int, parts: int) -> None:
    """out[i] = the sum of partials[:, i]."""
    sum_parts(ceil_div(size, THREADS), partials, out, size, parts)


def sum_columns(x: Any, out: Any, rows: int, columns: int, empty: Empty) -> None:
    """out[c] = sum over r of x[r, c]."""
    parts = max(1, ceil_div(rows, ROWS_PER_PART))
    partials = empty(parts * columns)
    column_sums((ceil_div(columns, COLUMNS), parts), x, partials, rows, columns, ROWS_PER_PART)
    add_parts(partials, out, columns, parts)


def sum_all(x: Any, out: Any, size: int, empty: Empty) -> None:
    """out[0] = the sum of x."""
    parts = max(1, min(BLOCKS_WANTED, ceil_div(size, ROWS_PER_PART)))
    share = max(1, ceil_div(size, parts))
    partials = empty(parts)
    sum_blocks(parts, x, partials, size, share)
    sum_blocks(1, partials, out, parts, parts)


def conv2d_forward(
    x: Any, weight: Any, bias: Any, out: Any, sizes: ConvSizes, empty: Empty, relu: bool = False
) -> None:
    """out (N, H', W', K) = the convolution of x (N, H, W, C) with weight (K, C/groups, k_h, k_w)."""
    start = empty(0) if bias is None else bias
    depth = sizes.c_in // sizes.groups
    if sizes.depthwise:
        size = sizes.pixels * sizes.c_out
        conv2d_forward_depthwise(
            ceil_div(size, THREADS), x, weight, start, out, size, *sizes.images, *sizes.window, relu
        )
    elif sizes.pointwise:
        matmul(x, weight, out, sizes.pixels, sizes.c_out, depth, Steps(depth, 1), Steps(1, depth), empty, bias, relu)
    else:
        filters = _packed(weight, sizes, empty, backward=False)
        grid = ceil_div(sizes.pixels, TILE_M), ceil_div(sizes.c_out // sizes.groups, TILE_N), sizes.groups
        conv2d_forward_implicit_gemm(
            grid, x, filters, start, out, sizes.pixels, *sizes.images, *sizes.window, sizes.groups, relu
        )


def conv2d_grad_input(grad_out: Any, weight: Any, grad_x: Any, sizes: ConvSizes, empty: Empty) -> None:
    """grad_x (N, H, W, C) from grad_out (N, H', W', K)."""
    rows, channels = sizes.n * sizes.h_in * sizes.w_in, sizes.c_in // sizes.groups
    h_in, w_in, c_in, h_out, w_out, c_out = sizes.images
    if sizes.depthwise:
        size = rows * c_in
        conv2d_grad_input_depthwise(
            ceil_div(size, THREADS), grad_out, weight, grad_x, size, *sizes.images, *sizes.window
        )
    elif sizes.pointwise:
        matmul(grad_out, weight, grad_x, rows, c_in, c_out, Steps(c_out, 1), Steps(c_in, 1), empty)
    else:
        filters = _packed(weight, sizes, empty, backward=True)
        grid = ceil_div(rows, TILE_M), ceil_div(channels, TILE_N), sizes.groups
        conv2d_grad_input_implicit_gemm(
            grid, grad_out, filters, empty(0), grad_x, rows, h_out, w_out, c_out, h_in, w_in, c_in, *sizes.window,
            sizes.groups, 0,
        )  # fmt: skip


def conv2d_grad_weight(x: Any, grad_out: Any, grad_weight: Any, sizes: ConvSizes, empty: Empty) -> None:
    """grad_weight (K, C/groups, k_h, k_w) from x (N, H, W, C) and grad_out (N, H', W', K)."""
    channels, taps = sizes.c_in // sizes.groups, sizes.k_h * sizes.k_w
    size = sizes.c_out * channels * taps
    if sizes.pointwise:
        k, c = sizes.c_out, sizes.c_in
        matmul(grad_out, x, grad_weight, k, c, sizes.pixels, Steps(1, k), Steps(c, 1), empty)
        return
    if sizes.depthwise:
        tiles = ceil_div(sizes.c_out, COLUMNS) * taps
    else:
        tiles = ceil_div(taps * channels, TILE_M) * ceil_div(sizes.c_out // sizes.groups, TILE_N) * sizes.groups
    parts = max(1, min(ceil_div(BLOCKS_WANTED, tiles), sizes.pixels // SHORTEST_PART))
    share = max(1, ceil_div(sizes.pixels, parts))
    partials = empty(parts * size) if parts > 1 else grad_weight
    if sizes.depthwise:
        grid = ceil_div(sizes.c_out, COLUMNS), parts, taps
        conv2d_grad_weight_depthwise(grid, x, grad_out, partials, sizes.pixels, *sizes.images, *sizes.window, share)
    else:
        grid = ceil_div(taps * channels, TILE_M), ceil_div(sizes.c_out // sizes.groups, TILE_N), sizes.groups * parts
        conv2d_grad_weight_implicit_gemm(
            grid, x, grad_out, partials, sizes.pixels, *sizes.images, *sizes.window, sizes.groups, share
        )
    if parts > 1:
        add_parts(partials, grad_weight, size, parts)


def _packed(weight: Any, sizes: ConvSizes, empty: Empty, backward: bool) -> Any:
    channels, taps = sizes.c_in // sizes.groups, sizes.k_h * sizes.k_w
    size = sizes.c_out * channels * taps
    filters = empty(size)
    pack_filters(ceil_div(size, 256), weight, filters, size, sizes.c_out, channels, taps, sizes.groups, backward)
    return filters


def conv2d_forward_im2col(
    x: Any, weight: Any, bias: Any, out: Any, sizes: ConvSizes, empty: Empty, relu: bool = False
) -> None:
    """`conv2d_forward` through a matrix of patches; for one group."""
    depth, patches = _patches(x, sizes, empty)
    matmul(patches, weight, out, sizes.pixels, sizes.c_out, depth, Steps(depth, 1), Steps(1, depth), empty, bias, relu)


def conv2d_grad_input_im2col(grad_out: Any, weight: Any, grad_x: Any, sizes: ConvSizes, empty: Empty) -> None:
    """`conv2d_grad_input` through a matrix of patches' gradients; for one group."""
    depth = sizes.c_in * sizes.k_h * sizes.k_w
    grad_patches = empty(sizes.pixels * depth)
    matmul(
        grad_out, weight, grad_patches, sizes.pixels, depth, sizes.c_out, Steps(sizes.c_out, 1), Steps(depth, 1), empty
    )
    size = sizes.n * sizes.h_in * sizes.w_in * sizes.c_in
    col2im(ceil_div(size, THREADS), grad_patches, grad_x, size, *sizes.images[:5], *sizes.window)


def conv2d_grad_weight_im2col(x: Any, grad_out: Any, grad_weight: Any, sizes: ConvSizes, empty: Empty) -> None:
    """`conv2d_grad_weight` through a matrix of patches; for one group."""
    depth, patches = _patches(x, sizes, empty)
    matmul(
        grad_out, patches, grad_weight, sizes.c_out, depth, sizes.pixels, Steps(1, sizes.c_out), Steps(depth, 1), empty
    )


def _patches(x: Any, sizes: ConvSizes, empty: Empty) -> tuple[int, Any]:
    depth = sizes.c_in * sizes.k_h * sizes.k_w
    size = sizes.pixels * depth
    patches = empty(size)
    im2col(ceil_div(size, THREADS), x, patches, size, *sizes.images[:5], *sizes.window)
    return depth, patches

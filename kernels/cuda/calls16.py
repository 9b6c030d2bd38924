"""How products of operands of 16 bits are started; the counterpart of `calls.py`, whose sizes and parts of sums it has.

Operands are rounded first, once each, to matrices and images whose last axis is padded to a multiple of eight
(`Rounded`). Sums, intermediate values and results are of float32. `halves(size)` makes an array of uint16 on the
device, `empty(size)` one of float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kernels.cuda.calls import (
    BLOCKS_WANTED,
    SHORTEST_PART,
    ConvSizes,
    Empty,
    add_parts,
    ceil_div,
)  # fmt: skip
from kernels.cuda.conv import half as conv16
from kernels.cuda.jit import Kernel
from kernels.cuda.linear import half as gemm16
from kernels.cuda.micro import half as numbers16
from kernels.cuda.micro import mma
from kernels.cuda.micro.half import CHUNK, THREADS
from kernels.cuda.micro.tile_half import TILE_K, TILE_M, TILE_N


class Products(NamedTuple):
    """The kernels for operands of one type on one kind of GPU."""

    gemm: Kernel
    conv2d_forward: Kernel
    conv2d_grad_input: Kernel
    conv2d_grad_weight: Kernel
    round_rows: Kernel
    pack_filters: Kernel


class Rounded(NamedTuple):
    """A matrix of 16 bits: row r begins at numbers[r * step], and is zero from its last column to the next eight."""

    numbers: Any
    step: int


def _products(kind: str, suffix: str) -> Products:
    products = [getattr(gemm16, f"gemm_{kind}{suffix}")]
    passes = "forward", "grad_input", "grad_weight"
    products += [getattr(conv16, f"conv2d_{name}_{kind}{suffix}") for name in passes]
    return Products(*products, *[getattr(numbers16, f"{name}_{kind}") for name in ("round_rows", "pack_filters")])


TENSOR_CORES = {kind: _products(kind, "") for kind in ("float16", "bfloat16")}
SCALAR = {kind: _products(kind, "_scalar") for kind in ("float16", "bfloat16")}


def why_no_tensor_cores(capability: tuple[int, int]) -> str:
    """Why products on a GPU of this generation do not use tensor cores; empty if they do."""
    if capability >= mma.GENERATION:
        return ""
    return (
        f"GPUs of generation {capability[0]}.{capability[1]} lack the instruction m16n8k16 for float16 and bfloat16, "
        f"which those from {mma.GENERATION[0]}.{mma.GENERATION[1]} on have; so they are multiplied one by one"
    )


def products(kind: str, capability: tuple[int, int]) -> Products:
    """The kernels that multiply operands of a type, "float16" or "bfloat16", on a GPU of this generation."""
    return (SCALAR if why_no_tensor_cores(capability) else TENSOR_CORES)[kind]


def filled_up(size: int) -> int:
    """The next multiple of eight."""
    return ceil_div(size, CHUNK) * CHUNK


def round_rows(kernels: Products, x: Any, rows: int, columns: int, halves: Empty) -> Rounded:
    """A matrix (rows, columns) of float32 in 16 bits."""
    padded = filled_up(columns)
    out = halves(rows * padded)
    kernels.round_rows(ceil_div(rows * padded // CHUNK, THREADS), x, out, rows, columns, padded)
    return Rounded(out, padded)


def round_images(kernels: Products, x: Any, pixels: int, channels: int, groups: int, halves: Empty) -> Rounded:
    """Images (pixels, channels) of float32 as (pixels, groups, channels of a group, filled up), in 16 bits."""
    rounded = round_rows(kernels, x, pixels * groups, channels // groups, halves)
    return Rounded(rounded.numbers, groups * rounded.step)


def multiply(
    kernels: Products, a: Rounded, b: Rounded, out: Any, m: int, n: int, depth: int, empty: Empty,
    a_turned: bool = False, b_turned: bool = False, bias: Any = None,
) -> None:  # fmt: skip
    """out (m, n) = A (m, depth) times B (n, depth)^T, plus bias (n); a transposed A is (depth, m), B (depth, n)."""
    none = empty(0)
    tiles = ceil_div(m, TILE_M) * ceil_div(n, TILE_N)
    parts = 1 if bias is not None else max(1, min(BLOCKS_WANTED // max(tiles, 1), depth // SHORTEST_PART))
    share = ceil_div(ceil_div(depth, parts), TILE_K) * TILE_K
    parts = max(1, ceil_div(depth, share)) if share else 1
    sums = empty(parts * m * n) if parts > 1 else out
    grid = ceil_div(m, TILE_M), ceil_div(n, TILE_N), parts
    steps = a.step, b.step, a_turned, b_turned
    kernels.gemm(grid, a.numbers, b.numbers, none if bias is None else bias, sums, m, n, depth, share, *steps)
    if parts > 1:
        add_parts(sums, out, m * n, parts)


def conv2d_forward(
    kernels: Products, x: Rounded, weight: Any, bias: Any, out: Any, sizes: ConvSizes, halves: Empty, empty: Empty
) -> None:
    """out (N, H', W', K) = the convolution of images x with weight (K, C/groups, k_h, k_w) of float32."""
    start = empty(0) if bias is None else bias
    if sizes.pointwise:
        filters = _matrix(kernels, weight, sizes, halves)
        multiply(kernels, x, filters, out, sizes.pixels, sizes.c_out, sizes.c_in, empty, bias=bias)
        return
    filters = _packed(kernels, weight, sizes, halves, backward=False)
    grid = ceil_div(sizes.pixels, TILE_M), ceil_div(sizes.c_out // sizes.groups, TILE_N), sizes.groups
    kernels.conv2d_forward(
        grid, x.numbers, filters, start, out, sizes.pixels, *sizes.images, *sizes.window, sizes.groups
    )  # fmt: skip


def conv2d_grad_input(
    kernels: Products, grad_out: Rounded, weight: Any, grad_x: Any, sizes: ConvSizes, halves: Empty, empty: Empty
) -> None:
    """grad_x (N, H, W, C) from images grad_out and weight (K, C/groups, k_h, k_w) of float32."""
    rows, channels = sizes.n * sizes.h_in * sizes.w_in, sizes.c_in // sizes.groups
    h_in, w_in, c_in, h_out, w_out, c_out = sizes.images
    if sizes.pointwise:
        filters = _matrix(kernels, weight, sizes, halves)
        multiply(kernels, grad_out, filters, grad_x, rows, c_in, c_out, empty, b_turned=True)
        return
    filters = _packed(kernels, weight, sizes, halves, backward=True)
    grid = ceil_div(rows, TILE_M), ceil_div(channels, TILE_N), sizes.groups
    kernels.conv2d_grad_input(
        grid, grad_out.numbers, filters, empty(0), grad_x, rows, h_out, w_out, c_out, h_in, w_in, c_in, *sizes.window,
        sizes.groups,
    )  # fmt: skip


def conv2d_grad_weight(
    kernels: Products, x: Rounded, grad_out: Rounded, grad_weight: Any, sizes: ConvSizes, empty: Empty
) -> None:
    """grad_weight (K, C/groups, k_h, k_w) from images x and grad_out."""
    c_in, c_out, groups, taps = sizes.c_in, sizes.c_out, sizes.groups, sizes.k_h * sizes.k_w
    if sizes.pointwise:
        multiply(
            kernels, grad_out, x, grad_weight, c_out, c_in, sizes.pixels, empty, a_turned=True, b_turned=True
        )  # fmt: skip
        return
    size = c_out * c_in // groups * taps
    across = ceil_div(taps * filled_up(c_in // groups), TILE_M), ceil_div(c_out // groups, TILE_N)
    tiles = across[0] * across[1] * groups
    parts = max(1, min(ceil_div(BLOCKS_WANTED, max(tiles, 1)), sizes.pixels // SHORTEST_PART))
    share = max(1, ceil_div(sizes.pixels, parts))
    partials = empty(parts * size) if parts > 1 else grad_weight
    kernels.conv2d_grad_weight(
        (*across, groups * parts), x.numbers, grad_out.numbers, partials, sizes.pixels, *sizes.images, *sizes.window,
        groups, share,
    )  # fmt: skip
    if parts > 1:
        add_parts(partials, grad_weight, size, parts)


def _matrix(kernels: Products, weight: Any, sizes: ConvSizes, halves: Empty) -> Rounded:
    """The weight of a 1x1 convolution, (K, C)."""
    return round_rows(kernels, weight, sizes.c_out, sizes.c_in, halves)


def _packed(kernels: Products, weight: Any, sizes: ConvSizes, halves: Empty, backward: bool) -> Any:
    channels, filters = sizes.c_in // sizes.groups, sizes.c_out // sizes.groups
    taps, groups = sizes.k_h * sizes.k_w, sizes.groups
    outer, inner = (channels, filters) if backward else (filters, channels)
    padded = filled_up(inner)
    size = groups * outer * taps * padded
    packed = halves(size)
    kernels.pack_filters(
        ceil_div(size, THREADS), weight, packed, size, sizes.c_out, channels, taps, groups, padded, backward
    )  # fmt: skip
    return packed

"""The algorithms "winograd" and "winograd2x2": F(m x m, 3x3) for m = 4 and 2.

See kernels/cpu/conv/winograd.py and winograd_grad_weight.py for the algorithm. Error on normally distributed data,
as a part of the result's maximum (tested, as are those of the direct algorithm):

    m = 4   at most 5e-5, typically 1e-5
    m = 2   at most 5e-6, as the direct algorithm

The transforms multiply, so values overflow earlier than in the direct algorithm. With C channels that are summed over,
forward pass and gradient of the input are finite wherever (float32, from the sums of the matrices' rows; tested)

    m = 4   100 |x| and 36100 C |x| |w| stay below 3.4e38: |x| up to 3e36, C |x| |w| up to 9e33
    m = 2     4 |x| and    81 C |x| |w| stay below 3.4e38: |x| up to 8e37, C |x| |w| up to 4e36

Beyond that NaN or infinity may come where the direct algorithm still has a number. A NaN or an infinity in the input
spreads over the m x m tiles of output whose (m+2) x (m+2) tiles of input hold it, also to pixels whose filter does not
reach it, and over all nine taps of a filter's gradient.

So the kernels note whether a result is not finite (0 times it is added to a vector that each chunk checks once), and
where "auto" has chosen, the direct algorithm then computes the pass again (`OrDirect`). Finite results are right: what
overflows on the way to one never becomes finite again. Winograd by name stays Winograd.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convcore import memory
from convcore.engine import capture
from convcore.ops.conv.algorithm import ConvAlgorithm
from convcore.ops.conv.direct import DIRECT
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.conv.work import sum_of_nothing
from convcore.ops.core.budget import MIN_CHUNKS, ceil_div
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters
from convcore.ops.core.layout import contiguous, nhwc, nothing
from kernels.cpu.conv.winograd import (
    DEPTH,
    conv2d_forward_winograd,
    conv2d_forward_winograd_many_filters,
    transform_filters_winograd,
    transform_tiles_winograd,
)
from kernels.cpu.conv.winograd_grad_weight import conv2d_grad_weight_winograd, sum_winograd_parts
from kernels.cpu.vector.target import lanes, tile_columns

_IGNORED = np.zeros(1, np.int64)  # where kernels note an overflow that nobody reads


class Channels(NamedTuple):
    """The fewest channels for which a pass is faster than by any other algorithm; `larger` is for the larger number."""

    c_in: int
    c_out: int
    larger: int


# Thresholds, from `python -m benchmarks algorithms` on one core of an AMD EPYC: benchmarks/results/zen3-avx2/.
# The channels that are summed over must pay for the input's transform; a gradient of the input with up to three
# channels is better computed as that of a first layer.
MIN_CHANNELS = {
    "forward": Channels(c_in=8, c_out=1, larger=16),
    "grad_input": Channels(c_in=4, c_out=8, larger=16),
    "grad_weight": Channels(c_in=4, c_out=1, larger=8),
}
# m = 2 is for few tiles; there 16 channels took the direct algorithm 0.7 to 0.8 of its time, in these two passes.
LARGER_OF_SMALL_TILES = {"forward": 32, "grad_input": 32, "grad_weight": 8}
# The direct algorithm must need this many times as many multiplications, else the transforms cost more than they save:
# thin images and those of one pixel. (2x2 images of 64 channels: F(2x2) 1.3 to 1.5 times as fast as direct.)
MIN_SAVING = 1.25
# Transforming the filters costs as much as this many tiles, which decides between m = 2 and m = 4 where tiles are few.
# 256 channels: m = 2 was faster up to one image of 8x8 (16 tiles against 4), m = 4 from 12x12 (36 against 9) on, which
# bounds the number to 6 and 12; 8 images of 3x3 (32 against 8) to less than 11.
FILTERS_AS_TILES = 8
PANELS_AT_ONCE = 2
# Numbers of tiles below are for m = 4, which has 36 points; m = 2 has 16, so more tiles fit into the same memory.
POINTS_OF_LARGE_TILES = 36
# Filters are transformed first if there are more tiles than this, and the transformed filters take at most this memory.
FEW_TILES = 128
FILTERS_BYTES = 4 * 1024**2
# Kept filters are transformed only once, so fewer tiles pay for it, and more memory may be read.
FEW_TILES_IF_KEPT, FILTERS_BYTES_IF_KEPT = 32, 16 * 1024**2
TILES_PER_CHUNK = 32
# Otherwise tiles are transformed first, a slab at a time that takes at most this memory.
SLAB_BYTES = 8 * 1024**2
SLAB_TILES_PER_CHUNK = 200
MIN_SLAB_TILES_PER_CHUNK = 32
TILES_PER_TRANSFORM = 16
# The gradient of the filters: the tiles that a chunk transforms at once and multiplies should stay in L2.
TILES_PER_BLOCK = 48
CHANNELS_PER_CHUNK = 64
FILTERS_PER_CHUNK = 128
CHANNELS_PER_SUM = 16


class Winograd(ConvAlgorithm):
    """F(m x m, 3x3)."""

    fuses = True

    def __init__(self, m: int, name: str, summary: str):
        self.m, self.name, self.summary = m, name, summary

    @property
    def points(self) -> int:
        """The values of a transformed tile."""
        return (self.m + 2) ** 2

    def tiles(self, n: int, height: int, width: int) -> int:
        """The m x m tiles of n output images."""
        return n * ceil_div(height, self.m) * ceil_div(width, self.m)

    def as_many(self, tiles: int) -> int:
        """How many tiles take the memory of `tiles` tiles with 36 points."""
        return tiles * POINTS_OF_LARGE_TILES // self.points

    def cost(self, geometry: ConvGeometry) -> int:
        """The multiplications for each pair of channels, those of the filters' transform counted as tiles."""
        return self.points * (self.tiles(geometry.n, geometry.h_out, geometry.w_out) + FILTERS_AS_TILES)

    def refuses(self, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        height, width = geometry.height, geometry.width
        if (height.kernel, width.kernel) != (3, 3):
            return f"it is for 3x3 filters, not {height.kernel}x{width.kernel}"
        if (height.stride, width.stride, height.dilation, width.dilation) != (1, 1, 1, 1):
            return "it needs stride 1 and dilation 1"
        if geometry.groups != 1:
            return f"it does not do groups, here {geometry.groups}"
        return None

    def advises_against(self, pass_name: str, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        if dtype != np.float32:
            return "less accurate: Winograd rounds more often than the direct algorithm, and float64 asks for accuracy"
        least = MIN_CHANNELS[pass_name]
        if self.m == 2:
            least = least._replace(larger=LARGER_OF_SMALL_TILES[pass_name])
        channels = geometry.c_in, geometry.c_out
        if min(channels[0] - least.c_in, channels[1] - least.c_out, max(channels) - least.larger) < 0:
            return (
                f"slower: it pays from {least.c_in} to {least.c_out} channels on, the larger number at least "
                f"{least.larger}; here {channels[0]} to {channels[1]}"
            )
        tiles = self.tiles(geometry.n, geometry.h_out, geometry.w_out)
        outputs = geometry.n * geometry.h_out * geometry.w_out
        if MIN_SAVING * self.points * tiles > 9 * outputs:
            return (
                f"slower: {tiles} tiles of {self.points} points for {outputs} outputs save less than "
                f"{1 - 1 / MIN_SAVING:.0%} of the multiplications"
            )
        other = F4 if self.m == 2 else F2
        if self.cost(geometry) > other.cost(geometry):
            size, better = f"{self.m}x{self.m}", f"{other.m}x{other.m}"
            return f"slower: with {tiles} tiles of {size} outputs, {better} needs fewer multiplications"
        return None

    def _run(
        self, src, filters: Filters, dst, pads: tuple[int, int], transposed: bool, epilogue: Epilogue, overflowed
    ) -> None:  # fmt: skip
        """dst = src * weight, and the epilogue, with zeros above and left; for grad_input `transposed`."""
        c_src, c_dst = src.shape[1], dst.shape[1]
        strides = (9, c_dst * 9) if transposed else (c_src * 9, 9)
        panel_columns = tile_columns(src.itemsize)
        n_panels = ceil_div(c_dst, panel_columns)

        def as_they_are(weight, bias) -> tuple[np.ndarray, np.ndarray]:
            start = np.zeros((n_panels + 1) * panel_columns, weight.dtype)
            if bias is not None:
                start[:c_dst] = bias
            return contiguous(weight).reshape(-1), start

        def transformed(weight, bias) -> tuple[np.ndarray, np.ndarray]:
            flat, start = as_they_are(weight, bias)
            panels = memory.empty((n_panels, self.points, c_src + 1, panel_columns), weight.dtype)
            transform_filters_winograd(flat, *strides, transposed, c_dst, panels, self.m)
            return panels, start

        source, destination = nhwc(src), nhwc(dst)
        residual = nothing(4, dst.dtype) if epilogue.residual is None else nhwc(epilogue.residual)
        tiles_h, tiles_w = self.tiles(1, dst.shape[2], 1), self.tiles(1, 1, dst.shape[3])
        tiles = dst.shape[0] * tiles_h * tiles_w
        few, most = (FEW_TILES_IF_KEPT, FILTERS_BYTES_IF_KEPT) if filters.are_kept else (FEW_TILES, FILTERS_BYTES)
        if tiles > self.as_many(few) and self.points * c_src * c_dst * src.itemsize <= most:
            panels, start = filters.prepared(("transformed", self.m), transformed)
            conv2d_forward_winograd(
                source, panels, start, residual, epilogue.relu, destination, overflowed, self.m, *pads,
                self._tiles_per_chunk(tiles), PANELS_AT_ONCE,
            )  # fmt: skip
            return
        flat, start = filters.prepared("as they are", as_they_are)
        depths = ceil_div(c_src, DEPTH)
        slabs = ceil_div(tiles * depths * self.points * DEPTH * src.itemsize, SLAB_BYTES)
        for slab in range(slabs):
            first, end = slab * tiles // slabs, (slab + 1) * tiles // slabs
            planes = memory.empty((depths, self.points, end - first + 1, DEPTH), src.dtype)
            transform_tiles_winograd(
                source, planes, self.m, *pads, tiles_h, tiles_w, first, self.as_many(TILES_PER_TRANSFORM)
            )
            conv2d_forward_winograd_many_filters(
                planes, flat, *strides, transposed, start, residual, epilogue.relu, destination, overflowed, self.m,
                c_src, first, *self._split_of_slab(end - first, n_panels),
            )  # fmt: skip

    def _tiles_per_chunk(self, tiles: int) -> int:
        """How many tiles a chunk takes of all, where filters are transformed first."""
        chunks = max(1, ceil_div(tiles, self.as_many(TILES_PER_CHUNK)))
        if chunks < MIN_CHUNKS:  # as many for each of two or four threads
            chunks = ceil_div(chunks, 4) * 4
        return max(1, ceil_div(tiles, chunks))

    def _split_of_slab(self, tiles: int, n_panels: int) -> tuple[int, int]:
        """How many panels and how many tiles of a slab a chunk takes."""
        wanted = min(ceil_div(MIN_CHUNKS, n_panels), tiles // self.as_many(MIN_SLAB_TILES_PER_CHUNK))
        blocks = max(ceil_div(tiles, self.as_many(SLAB_TILES_PER_CHUNK)), wanted)
        panels_per_chunk = PANELS_AT_ONCE if n_panels * blocks >= PANELS_AT_ONCE * MIN_CHUNKS else 1
        return panels_per_chunk, ceil_div(tiles, blocks)

    @property
    def checked(self) -> ConvAlgorithm:
        return OrDirect(self)

    def forward(
        self, x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE,
        overflowed: np.ndarray = _IGNORED,
    ):  # fmt: skip
        """out = x * weight + bias, and the epilogue; 1 in overflowed (1,) where that is not finite."""
        out = memory.empty_channels_last(geometry.out_shape, x.dtype)
        pads = geometry.height.pad_before, geometry.width.pad_before
        self._run(x, filters, out, pads, False, epilogue, overflowed)
        return out

    def grad_input(self, grad_out, weight, geometry: ConvGeometry, overflowed: np.ndarray = _IGNORED):
        """grad_x: a convolution of grad_out, in which a filter that read `pad` zeros before now reads 2 - pad."""
        grad_x = memory.empty_channels_last(geometry.x_shape, grad_out.dtype)
        pads = 2 - geometry.height.pad_before, 2 - geometry.width.pad_before
        self._run(grad_out, Filters(weight), grad_x, pads, True, NO_EPILOGUE, overflowed)
        return grad_x

    def grad_weight(self, x, grad_out, geometry: ConvGeometry, overflowed: np.ndarray = _IGNORED):
        """grad_weight: the products of transformed tiles of x and of grad_out, summed over the tiles."""
        if geometry.n == 0:
            return sum_of_nothing(geometry, x.dtype)
        c_in, c_out = geometry.c_in, geometry.c_out
        panel_columns, vector = tile_columns(x.itemsize), lanes(x.itemsize)
        panels = ceil_div(c_out, panel_columns)
        tiles = self.tiles(geometry.n, geometry.h_out, geometry.w_out)
        blocks = ceil_div(tiles, self.as_many(TILES_PER_BLOCK))
        channels = ceil_div(c_in, ceil_div(c_in, CHANNELS_PER_CHUNK) * vector) * vector
        panels_per_chunk = ceil_div(panels, ceil_div(panels * panel_columns, FILTERS_PER_CHUNK))
        chunks_per_part = ceil_div(c_in, channels) * ceil_div(panels, panels_per_chunk)
        parts = min(ceil_div(MIN_CHUNKS, chunks_per_part), blocks)
        partials = memory.empty((parts, panels, c_in, 9, panel_columns), x.dtype)
        conv2d_grad_weight_winograd(
            nhwc(x), nhwc(grad_out), partials, self.m, geometry.height.pad_before, geometry.width.pad_before,
            ceil_div(tiles, blocks), channels, panels_per_chunk,
        )  # fmt: skip
        result = memory.empty(geometry.weight_shape, x.dtype)
        sum_winograd_parts(partials, result, overflowed, CHANNELS_PER_SUM)
        return result


F2 = Winograd(2, "winograd2x2", "4/9 of the multiplications, between transforms of 4x4 tiles")
F4 = Winograd(4, "winograd", "a quarter of the multiplications, between transforms of 6x6 tiles")


class OrDirect(ConvAlgorithm):
    """Winograd, or the direct algorithm where its result is not finite."""

    fuses = True

    def __init__(self, winograd: Winograd):
        self.winograd, self.name, self.summary = winograd, winograd.name, winograd.summary

    def forward(self, x, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE):
        overflowed = capture.flag()
        out = self.winograd.forward(x, filters, geometry, epilogue, overflowed)
        return DIRECT.forward(x, filters, geometry, epilogue) if capture.is_set(overflowed) else out

    def grad_input(self, grad_out, weight, geometry: ConvGeometry):
        overflowed = capture.flag()
        grad_x = self.winograd.grad_input(grad_out, weight, geometry, overflowed)
        return DIRECT.grad_input(grad_out, weight, geometry) if capture.is_set(overflowed) else grad_x

    def grad_weight(self, x, grad_out, geometry: ConvGeometry):
        overflowed = capture.flag()
        grad_weight = self.winograd.grad_weight(x, grad_out, geometry, overflowed)
        return DIRECT.grad_weight(x, grad_out, geometry) if capture.is_set(overflowed) else grad_weight

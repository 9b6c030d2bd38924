"""How the loops of the blocked matrix product (`kernels/cpu/linear/gemm.py`) are split into chunks and blocks.

A chunk computes a block of rows of a times a block of panels of b; a long sum may be split into parts as well.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from convcore.ops.core.budget import MIN_CHUNKS, ceil_div
from convcore.ops.linear.geometry import MatmulGeometry
from kernels.cpu.vector.target import L1_WAYS, REGISTER_BYTES, TILE_ROWS, tile_columns

MANY_CHUNKS = 64  # of so many, one more for a thread costs little
MIN_PANELS_PER_CHUNK = 4
# Where a chunk copies its rows of a, it must use the copy for more panels to be worth it.
MIN_PANELS_PER_COPY = 16
# The most rows of a chunk and the fewest, the rows of b in a block and, at least, in a part. A block of a (96 x 256)
# stays in L2, one of a panel of b in L1; CPUs with vectors of 64 bytes have caches for twice the depth. Rows of a
# transposed a are columns in memory: what is adjacent there is fetched together. Short rows: more of them make a chunk,
# for a chunk of few is not worth its start.
ROWS_PER_CHUNK, MIN_ROWS_PER_CHUNK, TRANSPOSED_ROWS_PER_CHUNK = 96, 24, 128
VALUES_PER_CHUNK, MOST_ROWS_PER_CHUNK = 96 * 256, 768
BLOCK_DEPTH, MIN_PART_DEPTH = 512 if REGISTER_BYTES == 64 else 256, 512
# Parts of a sum are written and read again: the operands must be so many times as large as all of them.
OPERANDS_PER_PARTS = 4
# Fewer rows of a are one chunk's: it copies the blocks of b that it needs itself, and no other chunk needs them.
MIN_ROWS_TO_PACK = 97
# Rows of a that are a multiple of this many bytes apart share one set of the L1 cache. Where a tile has more rows than
# the set has ways, the rows are copied, unless too few panels of b use the copy. Other rows are not copied: that took
# products of 13 shapes 1.00 to 1.25 times as long ("Matrix products in inference" in benchmarks/NOTES.md), and where 12
# rows fit 12 ways, products of 6 shapes 1.02 to 1.06 times ("Zen 5").
L1_PERIOD_BYTES = 4096
MIN_PANELS_TO_COPY = 8
# b is read where it is if at most this many row tiles or panels use it and its rows are short; otherwise each chunk
# copies its panels once. Long rows are in pages of their own (48 x 512 by 512 x 2048: 1006 us read, 679 copied).
MAX_TILES_IN_PLACE, MAX_PANELS_IN_PLACE, MAX_COLUMNS_IN_PLACE = 4, 2, 512


class Blocking(NamedTuple):
    """How a product is split.

    Attributes:
        row_blocks, panel_blocks, parts: into how many blocks of rows, blocks of panels and parts of the sum.
        copies_a: whether chunks copy their rows of a.
        reads_b: whether chunks read a b that is not packed where it is; if not, they copy their panels of it.
    """

    row_blocks: int
    panel_blocks: int
    parts: int
    copies_a: bool
    reads_b: bool


@functools.lru_cache(maxsize=4096)
def blocking(geometry: MatmulGeometry) -> Blocking:
    """How the product of this geometry is split."""
    m, n, transposed = geometry.m, geometry.n, geometry.a_is_transposed
    panels = ceil_div(n, tile_columns(geometry.itemsize))
    rows_collide = TILE_ROWS > L1_WAYS and geometry.a_row * geometry.itemsize % L1_PERIOD_BYTES == 0
    copies_a = transposed or (
        rows_collide and panels >= MIN_PANELS_TO_COPY and not (m < MIN_ROWS_TO_PACK and geometry.b_by_rows)
    )
    row_blocks, panel_blocks, parts = split(geometry.count, m, geometry.k, n, panels, copies_a, transposed)
    few_tiles = ceil_div(m, row_blocks) <= MAX_TILES_IN_PLACE * TILE_ROWS
    reads_b = transposed and n <= MAX_COLUMNS_IN_PLACE and (few_tiles or panels <= MAX_PANELS_IN_PLACE)
    return Blocking(row_blocks, panel_blocks, parts, copies_a, reads_b)


def split(count: int, m: int, k: int, n: int, panels: int, copied: bool, transposed: bool) -> tuple[int, int, int]:
    """Into how many blocks of rows, blocks of panels and parts of the sum `count` products are split.

    Too few chunks are made more by taking fewer panels each, then half the rows, then by splitting the sum, then by
    taking still fewer rows. Each block of panels copies the rows of a again, so of a transposed a, which is copied, the
    sum is split first if it is long, then the rows.
    """
    wanted = ceil_div(MIN_CHUNKS, count)
    short_rows = min(VALUES_PER_CHUNK // k, MOST_ROWS_PER_CHUNK)
    most = TRANSPOSED_ROWS_PER_CHUNK if transposed else max(ROWS_PER_CHUNK, short_rows)
    row_blocks, half_rows = ceil_div(m, most), ceil_div(m, most // 2)
    if transposed:
        worth = k * (m + n) // (2 * m * n * OPERANDS_PER_PARTS)
        parts = max(1, min(ceil_div(wanted, row_blocks), k // MIN_PART_DEPTH, worth))
        if row_blocks * parts > wanted // 2:  # enough: fewer rows would have b copied more often
            return _even_row_blocks(row_blocks, count * parts, m), 1, parts
        row_blocks = max(row_blocks, min(ceil_div(wanted, parts), half_rows))
        panel_blocks = min(ceil_div(wanted, row_blocks * parts), ceil_div(panels, MIN_PANELS_PER_COPY))
    else:
        fewest = MIN_PANELS_PER_COPY if copied else MIN_PANELS_PER_CHUNK
        panel_blocks = min(ceil_div(wanted, row_blocks), ceil_div(panels, fewest))
        row_blocks = max(row_blocks, min(ceil_div(wanted, panel_blocks), half_rows))
        parts = max(1, min(wanted // (row_blocks * panel_blocks), k // MIN_PART_DEPTH))
    row_blocks = max(row_blocks, min(ceil_div(wanted, panel_blocks * parts), ceil_div(m, MIN_ROWS_PER_CHUNK)))
    return _even_row_blocks(row_blocks, count * panel_blocks * parts, m), panel_blocks, parts


def _even_row_blocks(row_blocks: int, chunks_per_block: int, m: int) -> int:
    """A few blocks of rows more, so that two or four threads get equally many of few chunks: of 17 one had 9."""
    if row_blocks * chunks_per_block >= MANY_CHUNKS:
        return row_blocks
    step = 4 // math.gcd(4, chunks_per_block)
    return min(ceil_div(row_blocks, step) * step, m)

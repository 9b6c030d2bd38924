"""The two algorithms of the blocked matrix product (Goto and van de Geijn 2008): b packed into panels, and b in place.

The micro-kernel reads its left operand where it is, and panels of its right one: tile_columns columns side by side.
Panels are packed once for all chunks where several chunks use them. Where they would be used once, each chunk copies
the blocks of b that it multiplies with, or reads b itself.
"""

from __future__ import annotations

import numpy as np

from convcore import memory
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.layout import nothing, zeros
from convcore.ops.linear.algorithm import MatmulAlgorithm
from convcore.ops.linear.blocking import BLOCK_DEPTH, MIN_ROWS_TO_PACK, blocking
from convcore.ops.linear.geometry import MatmulGeometry, matrix_offsets, operand
from kernels.cpu.linear.gemm import gemm, sum_parts
from kernels.cpu.micro.pack import pack_matrices
from kernels.cpu.vector.target import tile_columns

ELEMENTS_PER_CHUNK = 4096


def bias_rows(bias: np.ndarray | None, n: int, dtype: np.dtype) -> np.ndarray:
    """Two rows, as long as n columns in whole panels: 0, where later parts of a sum start, and the bias."""
    columns = tile_columns(dtype.itemsize)
    shape = (2, ceil_div(n, columns) * columns)
    if bias is None:
        return zeros(shape, dtype)
    rows = np.zeros(shape, dtype)
    rows[1, :n] = bias
    return rows


class BlockedMatmul(MatmulAlgorithm):
    """A blocked product, whose b is packed into panels or not."""

    packed: bool

    def multiply(
        self,
        a: np.ndarray,
        prepared: tuple[np.ndarray, np.ndarray],
        geometry: MatmulGeometry,
        epilogue: Epilogue = NO_EPILOGUE,
    ) -> np.ndarray:
        """a b + bias, then the epilogue, for what `prepare` made of b (..., K, N) and the bias (N,)."""
        b, start = prepared
        residual, relu = epilogue.residual, epilogue.relu
        batch, m, k, n = geometry[:4]
        columns, blocks = tile_columns(a.itemsize), blocking(geometry)
        if self.packed:
            stack, b_panel, b_row, b_size = b.shape[:-3], k * columns, columns, ceil_div(n, columns) * columns * k
        else:
            stack, b_panel, b_row, b_size = b.shape[:-2], columns, n, k * n
        out, count = memory.empty((*batch, m, n), a.dtype), geometry.count
        sums = out.reshape(1, count, m, n) if blocks.parts == 1 else memory.empty((blocks.parts, count, m, n), a.dtype)
        gemm(
            *operand(a, batch), blocks.copies_a, b.reshape(-1), matrix_offsets(stack, None, b_size, batch), b_panel,
            b_row, self.packed, blocks.reads_b and not self.packed, start,
            nothing(1, a.dtype) if residual is None else residual.reshape(-1), relu and blocks.parts == 1, sums, k,
            blocks.row_blocks, blocks.panel_blocks, BLOCK_DEPTH,
        )  # fmt: skip
        if blocks.parts > 1:
            sum_parts(sums.reshape(blocks.parts, -1), relu, out.reshape(-1), ELEMENTS_PER_CHUNK)
        return out


class Packed(BlockedMatmul):
    """b is packed into panels first, which all chunks read."""

    name, summary, packed = "packed", "the micro-kernel, the second operand packed into panels before", True

    def advises_against(self, geometry: MatmulGeometry) -> str | None:
        """Panels that one chunk alone would read are not worth packing."""
        if not geometry.b_by_rows:
            return None
        if geometry.m < MIN_ROWS_TO_PACK and not geometry.a_is_transposed:
            return f"slower: it pays from {MIN_ROWS_TO_PACK} rows on, here are {geometry.m}"
        if blocking(geometry).row_blocks == 1:
            return "slower: the rows are one block, so that each panel would be read by one chunk only"
        return None

    def prepare(self, b: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The panels (..., panels, K, PC) of b (..., K, N), and the rows that sums start with."""
        (*stack, k, n), right, columns = b.shape, operand(b, b.shape[:-2]), tile_columns(b.itemsize)
        panels = memory.empty((len(right.offsets), ceil_div(n, columns), k, columns), b.dtype)
        pack_matrices(right.flat, right.offsets, right.row, right.column, n, panels)
        return panels.reshape(*stack, *panels.shape[1:]), bias_rows(bias, n, b.dtype)


class InPlace(BlockedMatmul):
    """b is not packed as a whole."""

    name, summary, packed = "in place", "the micro-kernel, each chunk copies or reads the blocks that it needs", False

    def refuses(self, geometry: MatmulGeometry) -> str | None:
        """The columns of b must be contiguous."""
        return None if geometry.b_by_rows else "the second operand must be C-contiguous"

    def prepare(self, b: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """b itself, and the rows that sums start with."""
        return b, bias_rows(bias, b.shape[-1], b.dtype)


PACKED, IN_PLACE = Packed(), InPlace()

"""How the direct algorithm's work is split into chunks."""

import numpy as np
import pytest

from convcore.ops.conv.direct import settings
from convcore.ops.conv.geometry import conv_geometry
from convcore.ops.conv.work import even_rows_per_chunk
from convcore.ops.core.budget import MIN_CHUNKS
from kernels.cpu.vector.target import tile_columns


@pytest.mark.parametrize("rows", [1, 7, 14, 56, 57, 223])
@pytest.mark.parametrize("budget", [1, 9, 1000])
@pytest.mark.parametrize("others", [1, 3, 16, 100])
def test_blocks_of_rows_are_even(rows, budget, others):
    """No block could be smaller with as many of them, and rounding does not cost half of the chunks that are wanted."""
    size = even_rows_per_chunk(1, budget, rows, others)
    blocks = -(-rows // size)
    assert 1 <= size <= max(budget, 1)
    assert size == -(-rows // blocks)
    assert 2 * blocks * others > min(MIN_CHUNKS, rows * others)


@pytest.mark.parametrize(("images", "panels_of_a_chunk"), [(8, 8), (16, 16), (1, 1)])
def test_a_chunk_takes_more_panels_where_images_make_enough_chunks(images, panels_of_a_chunk):
    """512 filters of 512 channels: a panel of them alone fills L2, and each chunk copies its window."""
    x, weight = np.empty((images, 512, 7, 7), np.float32), np.empty((512, 512, 3, 3), np.float32)
    _, (rows, panels) = settings(conv_geometry("conv2d", x, weight, 1, 1, 1, 1), False, 4)
    all_panels = -(-512 // tile_columns(4))
    assert panels == max(1, panels_of_a_chunk * all_panels // 16)
    assert images * -(-7 // rows) * -(-all_panels // panels) >= MIN_CHUNKS

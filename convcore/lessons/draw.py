"""Pictures of arrays for the lessons: `draw("edges.png", image, response)`.

Values are grey from 0 (black) to the largest value; arrays with negative values are blue - white - red around 0; NaN is
orange. The colours are those of `convcore explore`.
"""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from convcore.data.pictures import picture

BLUE, WHITE, RED = np.array([[33, 102, 172], [247, 247, 247], [178, 24, 43]], np.float64)
ORANGE = (245, 163, 0)
GAP = 8


def grey(name: str, side: int = 96) -> np.ndarray:
    """One of `convcore.data.PICTURES`, (side, side), float32 from 0 (black) to 1 (white)."""
    return np.asarray(picture(name).convert("L").resize((side, side)), np.float32) / np.float32(255)


def colours(values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """Values (H, W) as colours (H, W, 3), bytes.

    Args:
        limit: the value of the strongest colour, by default the largest absolute value. With a limit, the colours are
            always those around 0.
    """
    values = np.asarray(values, np.float64)
    known = np.nan_to_num(values)
    top = np.abs(known).max() if limit is None else limit
    share = np.clip(np.abs(known) / top if top > 0 else np.zeros_like(known), 0, 1)[..., None]
    if known.min() < 0 or limit is not None:
        painted = WHITE + (np.where(known[..., None] < 0, BLUE, RED) - WHITE) * share
    else:
        painted = np.repeat(255 * share, 3, axis=-1)
    painted[np.isnan(values)] = ORANGE
    return painted.round().astype(np.uint8)


def draw(
    path: str | os.PathLike[str], *maps: np.ndarray, side: int = 160, columns: int = 6, limit: float | None = None
):
    """Draw arrays side by side into a picture file; the space between them is transparent.

    Args:
        path: the suffix determines the format.
        maps: (H, W) each.
        side: the most pixels on the longer side of a map; each value is a square of pixels, as large as fits.
        columns: the number of maps in a row.
        limit: the value of the strongest colour, to compare maps; by default the largest value of each map.
    """
    tiles = []
    for values in maps:
        tile = Image.fromarray(colours(values, limit)).convert("RGBA")
        zoom = max(1, side // max(tile.size))
        tiles.append(tile.resize((zoom * tile.width, zoom * tile.height), Image.Resampling.NEAREST))
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    widths = [sum(tile.width for tile in row) + GAP * (len(row) - 1) for row in rows]
    heights = [max(tile.height for tile in row) for row in rows]
    sheet = Image.new("RGBA", (max(widths), sum(heights) + GAP * (len(rows) - 1)))
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for tile in row:
            sheet.paste(tile, (left, top))
            left += tile.width + GAP
        top += height + GAP
    sheet.save(path, optimize=True)

"""The algorithms of each pass, in the order in which "auto" tries them.

A new algorithm is a file with its class, and one word in `ALGORITHMS`.
"""

from __future__ import annotations

import numpy as np

from convcore.ops.conv.algorithm import ConvAlgorithm, Request, select
from convcore.ops.conv.depthwise import DEPTHWISE
from convcore.ops.conv.direct import DIRECT
from convcore.ops.conv.first_layer import FIRST_LAYER
from convcore.ops.conv.geometry import ConvGeometry, once_per_geometry
from convcore.ops.conv.grouped import GROUPED
from convcore.ops.conv.im2col import IM2COL
from convcore.ops.conv.pointwise import POINTWISE
from convcore.ops.conv.reference import REFERENCE
from convcore.ops.conv.winograd import F2, F4

ALGORITHMS = (POINTWISE, DEPTHWISE, GROUPED, F2, F4, FIRST_LAYER, DIRECT, IM2COL, REFERENCE)

PASSES: dict[str, tuple[ConvAlgorithm, ...]] = {
    name: tuple(algorithm for algorithm in ALGORITHMS if name in algorithm.passes) for name in ConvAlgorithm.passes
}
"""The algorithms for images; a series is an image of height 1."""

VOLUME_PASSES = {
    name: tuple(algorithm for algorithm in algorithms if algorithm.volumes) for name, algorithms in PASSES.items()
}
"""The algorithms for volumes (N, C, D, H, W)."""


@once_per_geometry
def choose(geometry: ConvGeometry, pass_name: str, request: Request, dtype: np.dtype) -> ConvAlgorithm:
    """The algorithm that computes a pass."""
    op, passes = ("conv2d", PASSES) if geometry.depth is None else ("conv3d", VOLUME_PASSES)
    return select(op, pass_name, passes[pass_name], request, geometry, dtype)

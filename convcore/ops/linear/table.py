"""The algorithms of matrix products in the order in which they are considered, and the choice."""

from __future__ import annotations

import functools

from convcore.ops.linear.algorithm import MatmulAlgorithm
from convcore.ops.linear.gemm import IN_PLACE, PACKED
from convcore.ops.linear.geometry import MatmulGeometry
from convcore.ops.linear.skinny_gemm import SKINNY
from convcore.ops.linear.transposed import TRANSPOSED

ALGORITHMS: tuple[MatmulAlgorithm, ...] = (SKINNY, TRANSPOSED, PACKED, IN_PLACE)


@functools.lru_cache(maxsize=4096)
def choose(geometry: MatmulGeometry) -> MatmulAlgorithm:
    """The first algorithm without an objection: the last one objects only where the one before it does not."""
    return next(a for a in ALGORITHMS if (a.refuses(geometry) or a.advises_against(geometry)) is None)

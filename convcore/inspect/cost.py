"""The cost of a convolution by each algorithm: counted multiplications and measured time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convcore.autograd import no_grad
from convcore.errors import UnsupportedError
from convcore.nn import functional as F
from convcore.ops.conv.geometry import ConvGeometry, Padding, conv_geometry
from convcore.ops.core.budget import ceil_div
from convcore.tensor import Tensor

WINOGRAD_TILES = {"winograd2x2": 2, "winograd": 4}
ALGORITHMS = ("im2col", "direct", *WINOGRAD_TILES)


@dataclass(frozen=True)
class Cost:
    """The cost of one algorithm for one convolution.

    Attributes:
        algorithm: the name, as for `conv2d(algorithm=)`.
        multiplications: the number in the sums over channels; see `multiplications`.
        seconds: the median over the rounds.
    """

    algorithm: str
    multiplications: int
    seconds: float


def multiplications(geometry: ConvGeometry, algorithm: str) -> int:
    """The number of multiplications of an algorithm in `ALGORITHMS`.

    im2col and direct multiply the window of every output with its filter. Winograd's F(m x m, 3 x 3) needs (m + 2)^2
    multiplications for m^2 outputs and one channel, and rounds up to whole tiles. Multiplications by small constants in
    the transforms are not counted, as in A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks"
    (2016).

    Raises:
        UnsupportedError: the algorithm is unknown, or Winograd's algorithm cannot compute the convolution.
    """
    if algorithm in ("im2col", "direct"):
        return geometry.multiply_adds
    if algorithm not in WINOGRAD_TILES:
        raise UnsupportedError(f"multiplications: algorithm must be one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    axes = (geometry.height, geometry.width)
    if any((axis.kernel, axis.stride, axis.dilation) != (3, 1, 1) for axis in axes):
        raise UnsupportedError(f"multiplications: {algorithm} needs 3x3 filters, stride 1 and dilation 1")
    m = WINOGRAD_TILES[algorithm]
    tiles = geometry.out_shape[0] * ceil_div(geometry.h_out, m) * ceil_div(geometry.w_out, m)
    c_out, c_in, *_ = geometry.weight_shape
    return tiles * (m + 2) ** 2 * c_in * c_out


def measure(
    x: Tensor, weight: Tensor, padding: Padding = 0, algorithms: Sequence[str] = ALGORITHMS, rounds: int = 7
) -> list[Cost]:
    """Measure the forward pass of a convolution of stride 1 by several algorithms, interleaved.

    Args:
        x: (N, C_in, H, W).
        weight: (C_out, C_in, K_h, K_w).
        padding: as for `conv2d`.
        algorithms: some of `ALGORITHMS`.
        rounds: the runs of each algorithm, after one more run that compiles and packs the filters.
    """
    geometry = conv_geometry("conv2d", x, weight, 1, padding, 1, 1)
    counts = {algorithm: multiplications(geometry, algorithm) for algorithm in algorithms}
    times: dict[str, list[float]] = {algorithm: [] for algorithm in algorithms}
    with no_grad():
        for round_ in range(rounds + 1):
            for algorithm in algorithms:
                start = time.perf_counter()
                F.conv2d(x, weight, padding=padding, algorithm=algorithm).numpy()
                if round_ > 0:
                    times[algorithm].append(time.perf_counter() - start)
    return [Cost(name, counts[name], float(np.median(times[name]))) for name in algorithms]

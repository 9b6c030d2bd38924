"""A small convolution step by step by each algorithm: the cells that each step reads and writes, and the
multiplications so far.

All three compute out[i, j] = sum over r, s of x[i + r, j + s] * w[r, s], without padding:

- "direct" reads the window of each output in place, with 9 multiplications for a 3x3 filter;
- "im2col" first copies the windows side by side, so that the sums become one matrix product;
- "winograd" computes 2x2 outputs from 4x4 inputs d and the filter g by Y = A^T [(G g G^T) * (B^T d B)] A with 16
  multiplications instead of 36; the transforms only add and halve (S. Winograd, 1980; A. Lavin and S. Gray, 2016).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from convcore.errors import ShapeError, UnsupportedError
from kernels.cpu.conv.winograd_matrices import winograd_matrices

Cell = tuple[str, int, int]  # grid, row, column


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        text: what happens.
        reads: the cells whose values are used.
        writes: the cells that are written, and their values.
        multiplications: the number in this step.
    """

    text: str
    reads: list[Cell]
    writes: list[tuple[Cell, float]]
    multiplications: int


@dataclass
class Trace:
    """The steps of an algorithm, and the grids on which they work.

    Attributes:
        grids: the size (rows, columns) of each, by name.
        given: the values of the grids that are filled from the beginning: "x" and "w".
        steps: in order; after the last one, "out" is full.
    """

    grids: dict[str, tuple[int, int]]
    given: dict[str, np.ndarray]
    steps: list[Step] = field(default_factory=list)

    @property
    def multiplications(self) -> int:
        """The multiplications of all steps."""
        return sum(step.multiplications for step in self.steps)

    def add(self, text: str, reads: list[Cell], places: list[Cell], values: np.ndarray, count: int) -> None:
        """Append a step that writes `values` to the cells `places`."""
        writes = list(zip(places, values.ravel().tolist(), strict=True))
        self.steps.append(Step(text, reads, writes, count))


def trace(x: np.ndarray, w: np.ndarray, algorithm: str) -> Trace:
    """Trace an algorithm.

    Args:
        x: (H, W), the image.
        w: (K_h, K_w), the filter; for "winograd" 3x3.
        algorithm: "direct", "im2col" or "winograd"; for "winograd", H and W must be even.

    Raises:
        UnsupportedError: the algorithm is unknown, or cannot compute this convolution.
        ShapeError: the filter does not fit into the image.
    """
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    if w.shape[0] > x.shape[0] or w.shape[1] > x.shape[1]:
        raise ShapeError(f"trace: the filter {w.shape} must fit into the image {x.shape}")
    if algorithm not in TRACES:
        raise UnsupportedError(f"trace: algorithm must be one of {', '.join(TRACES)}, got {algorithm!r}")
    out = (x.shape[0] - w.shape[0] + 1, x.shape[1] - w.shape[1] + 1)
    return TRACES[algorithm](x, w, out)


def _cells(grid: str, top: int, left: int, height: int, width: int) -> list[Cell]:
    return [(grid, top + r, left + s) for r in range(height) for s in range(width)]


def _direct(x: np.ndarray, w: np.ndarray, out: tuple[int, int]) -> Trace:
    result = Trace({"x": x.shape, "w": w.shape, "out": out}, {"x": x, "w": w})
    k_h, k_w = w.shape
    for i, j in np.ndindex(out):
        window = x[i : i + k_h, j : j + k_w]
        reads = _cells("x", i, j, k_h, k_w) + _cells("w", 0, 0, k_h, k_w)
        text = f"Multiply the window at row {i}, column {j} with the filter where it lies, and sum."
        result.add(text, reads, [("out", i, j)], np.sum(window * w), w.size)
    return result


def _im2col(x: np.ndarray, w: np.ndarray, out: tuple[int, int]) -> Trace:
    places = list(np.ndindex(out))
    k_h, k_w = w.shape
    grids = {"x": x.shape, "w": w.shape, "columns": (w.size, len(places)), "out": out}
    result = Trace(grids, {"x": x, "w": w})
    columns = np.stack([x[i : i + k_h, j : j + k_w].ravel() for i, j in places], axis=1)
    for n, (i, j) in enumerate(places):
        text = f"Copy the window at row {i}, column {j} into column {n} of a matrix. Nothing is multiplied."
        result.add(text, _cells("x", i, j, k_h, k_w), _cells("columns", 0, n, w.size, 1), columns[:, n], 0)
    for n, (i, j) in enumerate(places):
        reads = _cells("columns", 0, n, w.size, 1) + _cells("w", 0, 0, k_h, k_w)
        text = f"The filter as a row, times column {n}: one element of a product of matrices."
        result.add(text, reads, [("out", i, j)], w.ravel() @ columns[:, n], w.size)
    return result


def _winograd(x: np.ndarray, w: np.ndarray, out: tuple[int, int]) -> Trace:
    if w.shape != (3, 3) or out[0] % 2 or out[1] % 2:
        raise UnsupportedError(f"trace: winograd needs a 3x3 filter and an even image, got {w.shape} and {x.shape}")
    matrices = winograd_matrices(2)
    b_t, g, a_t = (np.array(m, np.float64) for m in (matrices.input, matrices.filter, matrices.output))
    grids = {"x": x.shape, "w": w.shape, "u": (4, 4), "v": (4, 4), "m": (4, 4), "out": out}
    result = Trace(grids, {"x": x, "w": w})
    u = g @ w @ g.T
    square = {name: _cells(name, 0, 0, 4, 4) for name in "uvm"}
    text = "Transform the filter, once for the whole image: U = G g Gᵀ, by adding and halving."
    result.add(text, _cells("w", 0, 0, 3, 3), square["u"], u, 0)
    for i in range(0, out[0], 2):
        for j in range(0, out[1], 2):
            v = b_t @ x[i : i + 4, j : j + 4] @ b_t.T
            m = u * v
            text = f"Transform the 4x4 inputs at row {i}, column {j}: V = Bᵀ d B, by adding and subtracting."
            result.add(text, _cells("x", i, j, 4, 4), square["v"], v, 0)
            text = "Multiply element by element: M = U * V. These are the only multiplications: 16 for 4 outputs."
            result.add(text, square["u"] + square["v"], square["m"], m, 16)
            text = "Transform back: Aᵀ M A, by adding and subtracting, gives 2x2 outputs."
            result.add(text, square["m"], _cells("out", i, j, 2, 2), a_t @ m @ a_t.T, 0)
    return result


TRACES = {"direct": _direct, "im2col": _im2col, "winograd": _winograd}
"""What follows each algorithm."""

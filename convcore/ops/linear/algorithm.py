"""What every algorithm of a matrix product answers and does.

An algorithm has two kinds of objection to a geometry, each with the reason:

    refuses           it cannot compute this product
    advises against   it can, but another algorithm was measured to be faster here

The table (`convcore.ops.linear.table`) lists the algorithms; the first one without an objection computes the product,
and `explain_matmul` shows what each of them answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.linear.geometry import MatmulGeometry


class MatmulAlgorithm:
    """One way to compute a matrix product.

    Attributes:
        name: what `explain_matmul` calls it.
        summary: half a line on how it works.
    """

    name: str
    summary: str

    def refuses(self, geometry: MatmulGeometry) -> str | None:
        """None, or why this algorithm cannot compute the product."""
        return None

    def advises_against(self, geometry: MatmulGeometry) -> str | None:
        """None, or what is lost and why: "slower: ..". Called only where the algorithm does not refuse."""
        return None

    def prepare(self, b: np.ndarray, bias: np.ndarray | None) -> Any:
        """b (..., K, N) and the bias (N,) in the form that `multiply` reads; weights that stay are prepared once."""
        return b, bias

    def multiply(
        self, a: np.ndarray, prepared: Any, geometry: MatmulGeometry, epilogue: Epilogue = NO_EPILOGUE
    ) -> np.ndarray:
        """a b + bias, then the epilogue: (..., M, N), of which no size is 0."""
        raise NotImplementedError

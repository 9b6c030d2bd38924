"""Which algorithm computes a matrix product and its gradients, and why not the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcore.errors import ShapeError, UnsupportedError, array_table
from convcore.ops.core.arguments import check_float_tensors
from convcore.ops.core.explanation import Explanation, verdicts
from convcore.ops.linear.geometry import geometry_of
from convcore.ops.linear.matmul import as_matrices
from convcore.ops.linear.table import ALGORITHMS

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def explain_matmul(input: Tensor, other: Tensor) -> Explanation:
    """For each pass of `matmul`, every algorithm with "chosen" or the reason why it is not.

    "refused: .." means that the algorithm cannot compute this product, "slower: .." that it can, but takes longer. The
    choice depends on the sizes and on the memory order of both operands; the gradient of the result is taken to be
    contiguous. `F.linear(x, weight)` computes the product of x and `weight.T`; in evaluation the weight stays packed.

    Args:
        input, other: as for `matmul`: 1-D operands are a row or a column, leading axes broadcast; float32 or float64.

    Returns:
        {"forward": .., "grad_input": .., "grad_other": ..}, each a list of (algorithm, verdict); prints as a table.

    Raises:
        ShapeError: the shapes do not fit, or a size is 0, so that there is nothing to multiply.
        DTypeError: the operands are not tensors, not both float32 or both float64.
        UnsupportedError: the operands are on a GPU, which has one algorithm.
    """
    op = "explain_matmul"
    check_float_tensors(op, input=input, other=other)
    a, b = as_matrices(op, input, other)
    left, right = a.array, b.array
    if not isinstance(left, np.ndarray) or not isinstance(right, np.ndarray):
        raise UnsupportedError(f"{op}: on {input.device} there is one algorithm; .cpu() explains those of the CPU")
    forward = geometry_of(left, right)
    if forward.multiply_adds == 0:
        table = array_table([("input", left, "..., M, K"), ("other", right, "..., K, N")])
        raise ShapeError(f"{op}: there is nothing to multiply where a size is 0\n{table}")
    grad_out = np.empty((*forward.batch, forward.m, forward.n), left.dtype)  # never written: it takes no memory
    passes = {
        "forward": forward,
        "grad_input": geometry_of(grad_out, right.swapaxes(-1, -2)),
        "grad_other": geometry_of(left.swapaxes(-1, -2), grad_out),
    }
    return Explanation(
        f"matmul {left.shape} @ {right.shape} -> {grad_out.shape}, {forward.multiply_adds:,} multiply-adds",
        forward,
        {
            name: verdicts((a, a.refuses(g), None if a.refuses(g) else a.advises_against(g)) for a in ALGORITHMS)
            for name, g in passes.items()
        },
    )

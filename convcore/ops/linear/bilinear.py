"""The bilinear layer: products of each feature of one input with each of another.

    out[..., o] = bias[o] + sum over i, j of input1[..., i] * weight[o, i, j] * input2[..., j]

in two matrix products: first over i, for all o and j at once, then over j. Their gradients are theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcore.errors import ShapeError, array_table
from convcore.ops.core.arguments import check_float_tensors
from convcore.ops.linear.matmul import matmul

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Combine two inputs, feature by feature.

    Args:
        input1: (..., C_1), float32 or float64.
        input2: (..., C_2), with the same leading axes.
        weight: (C_out, C_1, C_2).
        bias: (C_out,), or None for none.

    Returns:
        (..., C_out).

    Raises:
        ShapeError: the sizes do not fit.
        DTypeError: the tensors are not all float32 or all float64.
    """
    check_float_tensors("bilinear", input1=input1, input2=input2, weight=weight, bias=bias)
    first, second, sizes = input1.array.shape, input2.array.shape, weight.array.shape
    fits = len(sizes) == 3 and first and second and first[:-1] == second[:-1] and sizes[1:] == (first[-1], second[-1])
    if not fits or (bias is not None and bias.array.shape != sizes[:1]):
        rows = [("input1", input1, "..., C_1"), ("input2", input2, "..., C_2"), ("weight", weight, "C_out, C_1, C_2")]
        table = array_table([*rows, ("bias", bias, "C_out")])
        raise ShapeError(f"bilinear: the sizes of the features or the leading axes do not fit\n{table}")
    outputs, features_1, features_2 = sizes
    by_first = weight.permute(1, 0, 2).reshape(features_1, outputs * features_2)
    rows_1, rows_2 = input1.reshape(-1, features_1), input2.reshape(-1, features_2, 1)
    out = matmul(matmul(rows_1, by_first).reshape(-1, outputs, features_2), rows_2)
    out = out.reshape(*first[:-1], outputs)
    return out if bias is None else out + bias

"""Which algorithm computes each pass of a convolution, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convcore.ops.conv.algorithm import explain, requested, select
from convcore.ops.conv.far import near
from convcore.ops.conv.geometry import Padding, conv_geometry
from convcore.ops.conv.table import PASSES
from convcore.ops.core.arguments import check_float_tensors
from convcore.ops.core.explanation import Explanation

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def explain_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Explanation:
    """For each pass, every algorithm with "chosen" or the reason why it is not; arguments as for `conv2d`.

    "refused: .." means that the algorithm cannot compute this; "slower: .." and "less accurate: .." that it can, and
    does if it is named, but "auto" passes over it.
    """
    if len(input.shape) == 3:
        input = input.reshape(1, *input.shape)
    check_float_tensors("explain_conv2d", input=input, weight=weight, bias=bias)
    geometry = conv_geometry("conv2d", input, weight, stride, padding, dilation, groups)
    request, dtype, problem = requested(algorithm), input.array.dtype, near(geometry)
    for pass_name, algorithms in PASSES.items():
        select("explain_conv2d", pass_name, algorithms, request, problem, dtype)
    verdicts = {name: explain(name, algorithms, request, problem, dtype) for name, algorithms in PASSES.items()}
    title = (
        f"conv2d {geometry.x_shape} * {geometry.weight_shape} -> {geometry.out_shape}, "
        f"{geometry.multiply_adds:,} multiply-adds"
    )
    return Explanation(title, geometry, verdicts)

"""Which algorithm computes each pass of a convolution, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convcore.ops.conv.algorithm import explain, requested, select
from convcore.ops.conv.far import near
from convcore.ops.conv.geometry import ConvGeometry, Padding, conv_geometry
from convcore.ops.conv.table import PASSES
from convcore.ops.core.arguments import check_float_tensors

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class Explanation(dict):
    """{pass: [(algorithm, verdict), ...]}; prints as a table."""

    def __init__(self, geometry: ConvGeometry, passes: dict[str, list[tuple[str, str]]]):
        super().__init__(passes)
        self.geometry = geometry

    def chosen(self, pass_name: str) -> str:
        """The algorithm that a pass ("forward", "grad_input", "grad_weight") uses."""
        return next(name for name, verdict in self[pass_name] if verdict.startswith("chosen"))

    def __repr__(self) -> str:
        geometry = self.geometry
        lines = [
            f"conv2d {geometry.x_shape} * {geometry.weight_shape} -> {geometry.out_shape}, "
            f"{geometry.multiply_adds:,} multiply-adds"
        ]
        for pass_name, verdicts in self.items():
            lines.append(f"{pass_name}:")
            lines += [f"  {name:<11} {verdict}" for name, verdict in verdicts]
        return "\n".join(lines)


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
    return Explanation(geometry, verdicts)

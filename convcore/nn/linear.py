"""Fully connected layers."""

from __future__ import annotations

import math
from typing import Any

from convcore.nn import init
from convcore.nn.base.module import Module
from convcore.nn.parameter import empty_parameter
from convcore.ops.core.arguments import integer
from convcore.ops.linear.bilinear import bilinear
from convcore.ops.linear.matmul import linear
from convcore.tensor import Tensor


class Linear(Module):
    """x @ weight.T + bias: every output is a weighted sum of all inputs; (..., C_in) becomes (..., C_out).

    Args:
        in_features, out_features: C_in and C_out.
        bias: whether to add a learned bias to each output.
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.

    Attributes:
        weight: (C_out, C_in), initially uniform in +-1 / sqrt(C_in).
        bias: (C_out,), with the same distribution, or None.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        self.in_features = integer("Linear", "in_features", in_features, 1)
        self.out_features = integer("Linear", "out_features", out_features, 1)
        self.weight = empty_parameter("Linear", (self.out_features, self.in_features), dtype, device)
        self.register_parameter(
            "bias", empty_parameter("Linear", (self.out_features,), dtype, device) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial weights."""
        init.layer_default_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """sum over i, j of input1[i] * weight[:, i, j] * input2[j], plus a bias.

    Args:
        in1_features, in2_features, out_features: C_1, C_2 and C_out.
        bias: whether to add a learned bias to each output.
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.

    Attributes:
        weight: (C_out, C_1, C_2), initially uniform in +-1 / sqrt(C_1).
        bias: (C_out,), with the same distribution, or None.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.in1_features = integer("Bilinear", "in1_features", in1_features, 1)
        self.in2_features = integer("Bilinear", "in2_features", in2_features, 1)
        self.out_features = integer("Bilinear", "out_features", out_features, 1)
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.weight = empty_parameter("Bilinear", shape, dtype, device)
        self.register_parameter("bias", empty_parameter("Bilinear", shape[:1], dtype, device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial weights."""
        bound = 1 / math.sqrt(self.in1_features)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Identity(Module):
    """Return the input. The constructor takes any arguments, so that Identity can replace another layer."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input

"""Fully connected layers."""

from __future__ import annotations

from typing import Any

from convcore.nn import functional as F
from convcore.nn import init
from convcore.nn.module import Module
from convcore.nn.parameter import empty_parameter
from convcore.ops.arguments import integer
from convcore.tensor import Tensor


class Linear(Module):
    """x @ weight.T + bias: every output is a weighted sum of all inputs; (..., C_in) becomes (..., C_out).

    Args:
        in_features, out_features: C_in and C_out.
        bias: whether each output gets a number added.
        dtype: float32 (the default) or float64.

    Attributes:
        weight: (C_out, C_in), at first uniform in +-1 / sqrt(C_in).
        bias: (C_out,), with the same distribution, or None.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, dtype: Any = None):
        super().__init__()
        self.in_features = integer("Linear", "in_features", in_features, 1)
        self.out_features = integer("Linear", "out_features", out_features, 1)
        self.weight = empty_parameter("Linear", (self.out_features, self.in_features), dtype)
        self.register_parameter("bias", empty_parameter("Linear", (self.out_features,), dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial weights."""
        init.layer_default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Identity(Module):
    """Returns its input; takes any arguments, so that it can stand in for another layer."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, x: Any) -> Any:
        return x

"""Folding a batch norm into the convolution or linear layer before it, for evaluation.

With s = weight_bn / sqrt(variance + eps) for every output channel:

    weight' = weight * s,    bias' = (bias - mean) * s + bias_bn
"""

from __future__ import annotations

import copy
from typing import Any

from convcore.errors import UnsupportedError
from convcore.nn.parameter import Parameter
from convcore.ops.create.creation import ones_like, zeros_like
from convcore.tensor import Tensor


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the fused convolution.

    Args:
        conv_w, conv_b: weight and bias of the convolution; the bias may be None.
        bn_rm, bn_rv: running mean and variance.
        bn_eps, bn_w, bn_b: eps, weight and bias of the batch norm.
        transpose: whether the convolution is transposed: its output channels are then on axis 1.
    """
    bias = zeros_like(bn_rm) if conv_b is None else conv_b.detach()
    scale = (ones_like(bn_rm) if bn_w is None else bn_w.detach()) * (bn_rv + bn_eps).rsqrt()
    shift = zeros_like(bn_rm) if bn_b is None else bn_b.detach()
    outputs = 1 if transpose else 0
    per_output = scale.reshape([-1 if axis == outputs else 1 for axis in range(conv_w.ndim)])
    fused = (conv_w.detach() * per_output).to(conv_w.dtype), ((bias - bn_rm) * scale + shift).to(bias.dtype)
    grads = conv_w.requires_grad, conv_w.requires_grad if conv_b is None else conv_b.requires_grad
    return Parameter(fused[0], grads[0]), Parameter(fused[1], grads[1])


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of a convolution, in evaluation mode, that computes convolution and batch norm.

    Raises:
        UnsupportedError: a layer is in training mode, or the batch norm has no running statistics.
    """
    if conv.training or bn.training or bn.running_mean is None or bn.running_var is None:
        raise UnsupportedError(
            "fuse_conv_bn_eval: both layers must be in evaluation mode, and the batch norm have running statistics; "
            "call eval() first"
        )
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the fused linear layer; the arguments are those of `fuse_conv_bn_weights`."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of a linear layer, in evaluation mode, that computes linear layer and batch norm."""
    return fuse_conv_bn_eval(linear, bn)

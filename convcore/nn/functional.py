"""The operations of a network as functions, with torch's names and arguments: `import convcore.nn.functional as F`.

Each hands over to its op in `convcore.ops`, where the equation, the checks and the gradients stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convcore.ops import conv, elementwise, matmul, norm, pool
from convcore.ops import dropout as dropout_op
from convcore.ops import softmax as softmax_op
from convcore.ops.attention import multi_head_attention_forward, scaled_dot_product_attention
from convcore.ops.bilinear import bilinear
from convcore.ops.conv import explain_conv2d
from convcore.ops.distance import cosine_similarity, normalize, pairwise_distance, pdist
from convcore.ops.embedding import embedding, embedding_bag, one_hot
from convcore.ops.feature_dropout import alpha_dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from convcore.ops.instance_norm import instance_norm, local_response_norm
from convcore.ops.layer_norm import group_norm, layer_norm, rms_norm
from convcore.ops.logistic import logsigmoid
from convcore.ops.loss import cross_entropy, nll_loss
from convcore.ops.loss_elements import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from convcore.ops.loss_margin import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from convcore.tensor import Tensor

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "alpha_dropout",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "embedding",
    "embedding_bag",
    "explain_conv2d",
    "feature_alpha_dropout",
    "gaussian_nll_loss",
    "group_norm",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "linear",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "margin_ranking_loss",
    "max_pool2d",
    "mse_loss",
    "multi_head_attention_forward",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pairwise_distance",
    "pdist",
    "poisson_nll_loss",
    "relu",
    "rms_norm",
    "scaled_dot_product_attention",
    "sigmoid",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "tanh",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

IntPair = int | Sequence[int]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Tensor:
    """Convolve images (N, C_in, H, W) with filters (C_out, C_in / groups, K_h, K_w); see `ops.conv.conv2d`."""
    return conv.conv2d(input, weight, bias, stride, padding, dilation, groups, algorithm)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias: (..., C_in) with weight (C_out, C_in) gives (..., C_out)."""
    return matmul.linear(input, weight, bias)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, input) of every element; `inplace` writes it into `input`."""
    return input.relu_() if inplace else elementwise.relu(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input)) of every element."""
    return elementwise.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent of every element."""
    return elementwise.tanh(input)


def max_pool2d(
    input: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window; the stride is the window's size where it is None; see `ops.pool.max_pool2d`."""
    return pool.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool2d(
    input: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window; see `ops.pool.avg_pool2d`."""
    return pool.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool2d(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """The means of windows chosen so that the output has the size `output_size`."""
    return pool.adaptive_avg_pool2d(input, output_size)


def adaptive_max_pool2d(input: Tensor, output_size: int | Sequence[int | None], return_indices: bool = False) -> Any:
    """The maxima of windows chosen so that the output has the size `output_size`."""
    return pool.adaptive_max_pool2d(input, output_size, return_indices)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every channel of (N, C, ...); training updates the running statistics; see `ops.norm.batch_norm`."""
    return norm.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zero elements with probability p and scale the others by 1 / (1 - p)."""
    return dropout_op.dropout(input, p, training, inplace)


def softmax(input: Tensor, dim: int) -> Tensor:
    """exp(input) divided by its sum along `dim`."""
    return softmax_op.softmax(input, dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """The logarithm of `softmax`, without overflow."""
    return softmax_op.log_softmax(input, dim)

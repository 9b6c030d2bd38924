"""The operations of a network as functions with torch's names and arguments: `import convcore.nn.functional as F`.

Each function calls its op in `convcore.ops`, which holds the equation, the checks and the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from convcore.ops.activation import dropout as dropout_op
from convcore.ops.activation.channel_dropout import (
    alpha_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from convcore.ops.activation.composed import (
    glu,
    gumbel_softmax,
    hardshrink,
    prelu,
    rrelu,
    softmin,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from convcore.ops.activation.functions import (
    celu,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    relu6,
    selu,
    silu,
    softplus,
)
from convcore.ops.activation.softmax import log_softmax, softmax
from convcore.ops.conv.explain import explain_conv2d
from convcore.ops.conv.functions import conv1d, conv2d, conv3d
from convcore.ops.conv.transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from convcore.ops.core.public_api import guard_functions
from convcore.ops.elementwise import functions as elementwise
from convcore.ops.image.grid_sample import affine_grid, grid_sample
from convcore.ops.image.interpolate import interpolate, upsample, upsample_bilinear, upsample_nearest
from convcore.ops.image.pad import pad
from convcore.ops.image.pixel_shuffle import channel_shuffle, fold, pixel_shuffle, pixel_unshuffle, unfold
from convcore.ops.linear.attention import multi_head_attention_forward, scaled_dot_product_attention
from convcore.ops.linear.bilinear import bilinear
from convcore.ops.linear.embedding import embedding, embedding_bag, one_hot
from convcore.ops.linear.explain import explain_matmul
from convcore.ops.linear.matmul import linear
from convcore.ops.loss.cross_entropy import cross_entropy, linear_cross_entropy, nll_loss
from convcore.ops.loss.ctc import ctc_loss
from convcore.ops.loss.elementwise import (
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
from convcore.ops.loss.margin import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from convcore.ops.norm import batch_norm as norm
from convcore.ops.norm.instance_norm import instance_norm, local_response_norm
from convcore.ops.norm.layer_norm import group_norm, layer_norm, rms_norm
from convcore.ops.pool.fractional import fractional_max_pool2d, fractional_max_pool3d
from convcore.ops.pool.functions import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from convcore.ops.pool.unpool import lp_pool1d, lp_pool2d, lp_pool3d, max_unpool1d, max_unpool2d, max_unpool3d
from convcore.ops.reduce.distance import cosine_similarity, normalize, pairwise_distance, pdist
from convcore.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "affine_grid",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "celu_",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "elu_",
    "embedding",
    "embedding_bag",
    "explain_conv2d",
    "explain_matmul",
    "feature_alpha_dropout",
    "fold",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "grid_sample",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "leaky_relu_",
    "linear",
    "linear_cross_entropy",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "mish",
    "mse_loss",
    "multi_head_attention_forward",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pdist",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rms_norm",
    "rrelu",
    "rrelu_",
    "scaled_dot_product_attention",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "unfold",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

IntPair = int | Sequence[int]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, input) of every element; `inplace` writes it into `input`."""
    return input.relu_() if inplace else elementwise.relu(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input)) of every element."""
    return elementwise.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent of every element."""
    return elementwise.tanh(input)


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


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place variant of an activation, under torch's name."""
    name = f"{function.__name__}_"

    def in_place(input: Tensor, *args: Any, **settings: Any) -> Tensor:
        return function(input, *args, **settings, inplace=True)

    in_place.__name__ = in_place.__qualname__ = name
    in_place.__doc__ = f"`{function.__name__}` in place"
    return in_place


celu_, elu_, hardtanh_, leaky_relu_, relu_, rrelu_, selu_, threshold_ = map(
    _in_place, (celu, elu, hardtanh, leaky_relu, relu, rrelu, selu, threshold)
)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zero elements with probability p and scale the others by 1 / (1 - p)."""
    return dropout_op.dropout(input, p, training, inplace)


guard_functions(globals())

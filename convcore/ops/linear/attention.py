"""Attention (Vaswani et al. 2017): every query looks at all keys and takes a mean of their values.

    attention(q, k, v) = softmax(q k^T * scale + mask) v,    scale = 1 / sqrt(E), E features

Multi-head attention projects queries, keys and values, splits the features into heads that attend on their own, and
projects what they found. All of it is composed of matrix products and softmax, and differentiable any number of times.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError, array_table
from convcore.ops.activation.dropout import dropout
from convcore.ops.activation.softmax import softmax
from convcore.ops.core.arguments import check_float_tensors, require_tensors
from convcore.ops.core.broadcast import check_broadcast
from convcore.ops.elementwise.functions import where
from convcore.ops.linear.matmul import linear, matmul
from convcore.ops.shape.joining import cat

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query key^T * scale + mask) value.

    Args:
        query: (..., L, E).
        key: (..., S, E).
        value: (..., S, E_v).
        attn_mask: broadcasts to (..., L, S): bools that say who may look at whom, or numbers that are added. A query
            that may look at nothing gets 0.
        dropout_p: probability that a weight is zeroed; also in evaluation, so give 0 there.
        is_causal: query i looks at keys 0 to i; excludes attn_mask.
        scale: 1 / sqrt(E) by default.
        enable_gqa: heads (axis -3) of key and value are each used for several neighbouring heads of query.

    Returns:
        (..., L, E_v).

    Raises:
        ShapeError: the shapes do not fit, or is_causal comes with a mask.
        DTypeError: the tensors are not all float32 or all float64.
    """
    op = "scaled_dot_product_attention"
    check_float_tensors(op, query=query, key=key, value=value)
    rows = [("query", query.array, "..., L, E"), ("key", key.array, "..., S, E"), ("value", value.array, "..., S, E_v")]
    if min(t.array.ndim for t in (query, key, value)) < 2 or query.array.shape[-1] != key.array.shape[-1]:
        raise ShapeError(f"{op}: query and key must have the same features (last axis)\n{array_table(rows)}")
    if key.array.shape[-2] != value.array.shape[-2]:
        raise ShapeError(f"{op}: key and value must have the same length (axis -2)\n{array_table(rows)}")
    if is_causal and attn_mask is not None:
        raise ShapeError(f"{op}: is_causal=True makes its own mask; leave attn_mask out")
    if enable_gqa:
        heads = query.array.shape[-3]
        if heads % key.array.shape[-3] or heads % value.array.shape[-3]:
            raise ShapeError(f"{op}: the heads of key and value (axis -3) must divide query's\n{array_table(rows)}")
        key, value = (_repeat_heads(t, heads // t.array.shape[-3]) for t in (key, value))
    features = query.array.shape[-1]
    factor = (1 / math.sqrt(features) if features else 1.0) if scale is None else scale
    scores = matmul(query * factor, key.transpose(-1, -2))
    if is_causal:
        attn_mask = wrap(np.tri(*scores.array.shape[-2:], dtype=np.bool_))
    weights = _softmax_of_allowed(op, scores, attn_mask)
    return matmul(dropout(weights, dropout_p) if dropout_p else weights, value)


def _repeat_heads(x: Tensor, times: int) -> Tensor:
    """Each head (axis -3) `times` times in a row."""
    *batch, heads, length, features = x.array.shape
    return (
        x.unsqueeze(-3).expand(*batch, heads, times, length, features).reshape(*batch, heads * times, length, features)
    )


def _softmax_of_allowed(op: str, scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax of the scores under a mask; 0 in the rows that allow nothing, where softmax itself gives NaN."""
    if mask is None:
        return softmax(scores, -1)
    require_tensors(op, attn_mask=mask)
    check_broadcast(op, scores, mask, names=("query times key", "attn_mask"))
    if mask.array.dtype == np.bool_:
        scores = where(mask, scores, -math.inf)
    elif mask.array.dtype == scores.array.dtype:
        scores = scores + mask
    else:
        raise DTypeError(f"{op}: attn_mask must be bool or {scores.array.dtype}, got {mask.array.dtype}")
    nothing = (scores.array == -np.inf).all(-1, keepdims=True)
    if not nothing.any():
        return softmax(scores, -1)
    nothing = wrap(nothing)
    return where(nothing, 0.0, softmax(where(nothing, 0.0, scores), -1))


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What `nn.MultiheadAttention` computes; L queries, S keys, E features, h heads.

    Args:
        query: (L, N, E), or (L, E).
        key, value: (S, N, ...), or (S, ...); with one projection for all three they have E features.
        embed_dim_to_check: E.
        num_heads: h, which divides E.
        in_proj_weight, in_proj_bias: (3 E, E) and (3 E,), the projections of query, key and value one below another.
        bias_k, bias_v: (1, 1, E), one more key and value for all; or None.
        add_zero_attn: whether there is one more key and value of zeros.
        dropout_p: probability that a weight is zeroed in training.
        out_proj_weight, out_proj_bias: (E, E) and (E,).
        training: whether dropout is on.
        key_padding_mask: (N, S) or (S,): True where a key is padding, or numbers that are added.
        need_weights: whether the weights are returned.
        attn_mask: (L, S) or (N * h, L, S): True where a query must not look, or numbers that are added.
        use_separate_proj_weight: project with q_proj_weight, k_proj_weight and v_proj_weight instead.
        static_k, static_v: (N * h, S, E / h), keys and values that are projected and split already.
        average_attn_weights: return the mean of the heads' weights.
        is_causal: says that attn_mask is the causal one; it must be given all the same, unless the weights are not
            needed and no key is padding.

    Returns:
        (output of query's shape, weights): (N, L, S), or (N, h, L, S) if not averaged; None if not needed.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the tensors are not all float32 or all float64.
    """
    op = "multi_head_attention_forward"
    check_float_tensors(op, query=query, key=key, value=value)
    rows = [("query", query.array, "L, N, E"), ("key", key.array, "S, N, E"), ("value", value.array, "S, N, E")]
    batched, is_self_attention = query.array.ndim == 3, query is key is value
    if query.array.ndim not in (2, 3) or {key.array.ndim, value.array.ndim} != {query.array.ndim}:
        raise ShapeError(
            f"{op}: query, key and value must all have 3 axes, or all 2 without a batch\n{array_table(rows)}"
        )
    if query.array.shape[-1] != embed_dim_to_check or embed_dim_to_check % num_heads:
        raise ShapeError(
            f"{op}: query must have embed_dim = {embed_dim_to_check} features, divisible by num_heads = {num_heads}\n"
            f"{array_table(rows)}"
        )
    if key.array.shape[:-1] != value.array.shape[:-1]:
        raise ShapeError(f"{op}: key and value must have the same length and batch\n{array_table(rows)}")
    if is_causal and attn_mask is None:
        raise ShapeError(f"{op}: is_causal=True is a hint about attn_mask, which must be given too")
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    target, batch, embed = query.array.shape
    use_causal = is_causal and key_padding_mask is None and not need_weights
    dtype = query.array.dtype
    padding = _added(op, "key_padding_mask", key_padding_mask, dtype)
    mask = None if use_causal else _added(op, "attn_mask", attn_mask, dtype)
    if mask is not None:
        expected = [(target, key.array.shape[0]), (batch * num_heads, target, key.array.shape[0])]
        if mask.array.shape not in expected:
            raise ShapeError(
                f"{op}: attn_mask must have the shape {expected[0]} or {expected[1]}, got {mask.array.shape}"
            )
        mask = mask.unsqueeze(0) if mask.array.ndim == 2 else mask
    if is_self_attention and in_proj_weight is not None and not use_separate_proj_weight:
        projected = list(linear(query, in_proj_weight, in_proj_bias).chunk(3, -1))  # one product instead of three
    else:
        weights: Any = (
            (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else _thirds(in_proj_weight)
        )
        biases = _thirds(in_proj_bias)
        projected = [linear(t, w, b) for t, w, b in zip((query, key, value), weights, biases, strict=True)]
    if bias_k is not None and bias_v is not None:
        projected[1:] = [
            cat([t, b.expand(1, batch, embed)]) for t, b in zip(projected[1:], (bias_k, bias_v), strict=True)
        ]
        mask, padding = _wider(mask), _wider(padding)
    q, k, v = (t.reshape(t.array.shape[0], batch * num_heads, embed // num_heads).transpose(0, 1) for t in projected)
    k, v = k if static_k is None else static_k, v if static_v is None else static_v
    if add_zero_attn:
        zeros = wrap(np.zeros((batch * num_heads, 1, embed // num_heads), dtype))
        k, v = cat([k, zeros], 1), cat([v, zeros], 1)
        mask, padding = _wider(mask), _wider(padding)
    source = k.array.shape[1]
    if padding is not None:
        if padding.array.shape != (batch, source):
            raise ShapeError(f"{op}: key_padding_mask must have one row of keys per image, got {padding.array.shape}")
        padding = padding.reshape(batch, 1, 1, source).expand(batch, num_heads, 1, source)
        padding = padding.reshape(batch * num_heads, 1, source)
        mask = padding if mask is None else mask + padding
    drop = dropout_p if training else 0.0
    attention = None
    if need_weights:
        scores = matmul(q * (1 / math.sqrt(embed // num_heads)), k.transpose(1, 2))
        attention = softmax(scores if mask is None else scores + mask, -1)
        attention = dropout(attention, drop) if drop else attention
        found = matmul(attention, v)
    else:
        found = scaled_dot_product_attention(q, k, v, mask, drop, use_causal)
    out = linear(found.transpose(0, 1).reshape(target, batch, embed), out_proj_weight, out_proj_bias)
    if attention is not None:
        attention = attention.reshape(batch, num_heads, target, source)
        attention = attention.mean(1) if average_attn_weights else attention
        attention = attention if batched else attention.squeeze(0)
    return (out if batched else out.squeeze(1)), attention


def _thirds(packed: Tensor | None) -> Any:
    return (None, None, None) if packed is None else packed.chunk(3)


def _added(op: str, name: str, mask: Tensor | None, dtype: np.dtype) -> Tensor | None:
    """A mask as numbers to add: -inf where a bool mask forbids."""
    if mask is None:
        return None
    require_tensors(op, **{name: mask})
    if mask.array.dtype == np.bool_:
        return wrap(np.where(mask.array, -np.inf, 0).astype(dtype))
    if mask.array.dtype.kind != "f":
        raise DTypeError(f"{op}: {name} must be bool or float, got {mask.array.dtype}")
    return mask.to(dtype)


def _wider(mask: Tensor | None) -> Tensor | None:
    """A mask with one more key, at which everybody may look."""
    if mask is None:
        return None
    return cat([mask, wrap(np.zeros((*mask.array.shape[:-1], 1), mask.array.dtype))], -1)

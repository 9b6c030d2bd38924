"""ONNX's products, norms, losses, attention and sampling."""

import numpy as np
from values import NoCounterpartError

import convcore as cc
import convcore.nn.functional as F


def gemm(a, b, c=None, alpha=1.0, beta=1.0, **transposed):
    out = alpha * cc.matmul(a.T if transposed.get("transA") else a, b.T if transposed.get("transB") else b)
    return out if c is None else out + beta * c


def einsum(*operands, equation):
    return cc.einsum(equation, *operands)


def batch_normalization(x, scale, bias, mean, var, epsilon=1e-5, momentum=0.9, training_mode=0):
    out = F.batch_norm(x, mean.clone(), var.clone(), scale, bias, bool(training_mode), 1 - momentum, epsilon)
    dims = [axis for axis in range(x.ndim) if axis != 1]
    batch_var = cc.var(x, dims, correction=0)  # torch keeps the unbiased variance, ONNX the other
    return out, mean * momentum + x.mean(dims) * (1 - momentum), var * momentum + batch_var * (1 - momentum)


def layer_normalization(x, scale, bias=None, axis=-1, epsilon=1e-5, stash_type=1):
    shape = x.shape[axis:]
    dims = tuple(range(axis % x.ndim, x.ndim))
    out = F.layer_norm(x, shape, scale.expand(shape), None if bias is None else bias.expand(shape), epsilon)
    return out, x.mean(dims, keepdim=True), cc.rsqrt(cc.var(x, dims, correction=0, keepdim=True) + epsilon)


def rms_normalization(x, scale, axis=-1, epsilon=1e-5, stash_type=1):
    return F.rms_norm(x, x.shape[axis:], scale, epsilon)


def instance_normalization(x, scale, bias, epsilon=1e-5):
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def group_normalization(x, scale, bias, num_groups, epsilon=1e-5, stash_type=1):
    return F.group_norm(x, num_groups, scale, bias, epsilon)


def lrn(x, size, alpha=1e-4, beta=0.75, bias=1.0):
    return F.local_response_norm(x, size, alpha, beta, bias)


def lp_normalization(x, axis=-1, p=2):
    return F.normalize(x, float(p), axis)


def mean_variance_normalization(x, axes=(0, 2, 3)):
    dims = tuple(axes)
    return (x - x.mean(dims, keepdim=True)) / (cc.std(x, dims, correction=0, keepdim=True) + 1e-9)


def hardmax(x, axis=-1):
    return cc.zeros_like(x).scatter(axis, x.argmax(axis, True), 1.0)


def negative_log_likelihood(x, target, weight=None, ignore_index=-100, reduction="mean"):
    return F.nll_loss(x, target.long(), weight, ignore_index=ignore_index, reduction=reduction)


def softmax_cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean"):
    loss = F.cross_entropy(x, target.long(), weight, ignore_index=ignore_index, reduction=reduction)
    return loss, F.log_softmax(x, 1)


def grid_sample(x, grid, mode="linear", padding_mode="zeros", align_corners=0):
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return F.grid_sample(x, grid, name, padding_mode, bool(align_corners))


def affine_grid(theta, size, align_corners=0):
    return F.affine_grid(theta, size.tolist(), bool(align_corners))


def attention(
    q, k, v, mask=None, past_key=None, past_value=None, nonpad=None,
    is_causal=0, q_num_heads=None, kv_num_heads=None, scale=None, softcap=0.0, **others,
):  # fmt: skip
    if softcap or nonpad is not None or past_key is not None or any(others.values()):
        raise NoCounterpartError("scores capped, in windows, of kept keys, or as a result")
    flat = q.ndim == 3
    if flat:
        q, k, v = (
            x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
            for x, heads in ((q, q_num_heads), (k, kv_num_heads), (v, kv_num_heads))
        )
    if is_causal and mask is not None:
        allowed = cc.ones(q.shape[-2], k.shape[-2], dtype=bool).tril()
        mask = mask & allowed if mask.dtype == np.bool_ else mask.masked_fill(~allowed, float("-inf"))
    out = F.scaled_dot_product_attention(
        q, k, v, mask, is_causal=bool(is_causal) and mask is None, scale=scale, enable_gqa=True
    )
    return out.transpose(1, 2).flatten(2) if flat else out

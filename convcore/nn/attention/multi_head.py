"""Multi-head attention as a layer."""

from __future__ import annotations

from typing import Any

from convcore.errors import ShapeError
from convcore.nn import init
from convcore.nn.base.module import Module
from convcore.nn.linear import Linear
from convcore.nn.parameter import empty_parameter
from convcore.ops.linear.attention import multi_head_attention_forward
from convcore.tensor import Tensor


class MultiheadAttention(Module):
    """Each head weighs all keys by their match with each query and returns the weighted mean of their values.

    Args:
        embed_dim: E, the features of queries and of the output.
        num_heads: h, a divisor of E.
        dropout: probability that a weight is zeroed in training.
        bias: whether the projections have biases.
        add_bias_kv: whether to append a learned key and value.
        add_zero_attn: whether to append a key and value of zeros.
        kdim, vdim: the features of keys and values, by default E.
        batch_first: whether the batch is the first axis, not the second.
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.

    Attributes:
        in_proj_weight: (3 E, E), the stacked projections of query, key and value; None if their features differ:
            then q_proj_weight, k_proj_weight and v_proj_weight hold the projections.
        in_proj_bias: (3 E,), or None.
        out_proj: the Linear layer after the heads.
        bias_k, bias_v: (1, 1, E), or None.

    Called with query (L, N, E), key (S, N, kdim) and value (S, N, vdim), or without N; see
    `functional.multi_head_attention_forward` for the masks and the results.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ShapeError(
                f"MultiheadAttention: embed_dim = {embed_dim} must be positive and divisible by num_heads = {num_heads}"
            )
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn
        one_projection = self.kdim == self.vdim == embed_dim

        def parameter(*shape: int) -> Any:
            return empty_parameter("MultiheadAttention", shape, dtype, device)

        sizes = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        for name, features in sizes.items():
            weight = None if one_projection else parameter(embed_dim, features)
            self.register_parameter(f"{name}_proj_weight", weight)
        self.register_parameter("in_proj_weight", parameter(3 * embed_dim, embed_dim) if one_projection else None)
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.register_parameter("bias_k", parameter(1, 1, embed_dim) if add_bias_kv else None)
        self.register_parameter("bias_v", parameter(1, 1, embed_dim) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Initialise weights by xavier_uniform_, biases with 0, the appended key and value by xavier_normal_."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        transposed = self.batch_first and query.ndim == 3
        if transposed:
            is_self_attention = query is key is value
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
            key, value = (query, query) if is_self_attention else (key, value)
        out, weights = multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=self.in_proj_weight is None,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (out.transpose(0, 1) if transposed else out), weights

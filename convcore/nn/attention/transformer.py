"""Transformers: blocks of attention and of two dense layers, each with a residual connection and a norm.

    norm_first=False:  x = norm(x + block(x))        as published
    norm_first=True:   x = x + block(norm(x))        trains without a warm-up of the learning rate

Source: A. Vaswani et al., "Attention Is All You Need" (2017), section 3.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from convcore.autograd import wrap
from convcore.errors import ShapeError, UnsupportedError
from convcore.nn import functional as F
from convcore.nn import init
from convcore.nn.attention.multi_head import MultiheadAttention
from convcore.nn.base.module import Module
from convcore.nn.container import ModuleList
from convcore.nn.dropout import Dropout
from convcore.nn.linear import Linear
from convcore.nn.norm.layer_norm import LayerNorm
from convcore.ops.core.dtypes import element_type
from convcore.ops.core.transfer import to_device
from convcore.tensor import Tensor

Activation = str | Callable[[Tensor], Tensor]


def _activation(layer: str, activation: Activation) -> Callable[[Tensor], Tensor]:
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise UnsupportedError(f'{layer}: activation must be "relu", "gelu" or a function, got {activation!r}')
    return F.relu if activation == "relu" else F.gelu


def causal_mask(size: int, dtype: Any = np.float32) -> Tensor:
    """(size, size): 0 where a position may attend, to itself and earlier positions; -inf elsewhere."""
    kind = element_type("generate_square_subsequent_mask", dtype)
    return wrap(np.triu(np.full((size, size), -np.inf, kind), 1))


def _is_causal(mask: Tensor | None, hint: bool | None, x: Tensor, batch_first: bool) -> bool:
    """Whether a mask is causal: the user's hint, or a comparison of the values."""
    if hint is not None or mask is None:
        return bool(hint)
    size = x.shape[1 if batch_first and x.ndim == 3 else 0]
    return tuple(mask.shape) == (size, size) and mask.is_floating_point() and mask.equal(causal_mask(size, mask.dtype))


class _Layer(Module):
    """The common part of encoder and decoder layers: self-attention and the two dense layers.

    Args:
        d_model: E, the features of each position.
        nhead: the number of heads, a divisor of E.
        dim_feedforward: the features between the two dense layers.
        dropout: probability that an element is zeroed in training.
        activation: "relu", "gelu" or a function.
        layer_norm_eps: the eps of the norms.
        batch_first: whether inputs are (N, L, E), not (L, N, E).
        norm_first: whether the norms come before the blocks.
        bias: whether dense layers and norms have biases.
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.
    """

    attentions: tuple[str, ...]

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        placed = {"device": device, "dtype": dtype}
        for name in self.attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **placed
            )
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **placed)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **placed)
        self.norm_first = norm_first
        blocks = range(1, len(self.attentions) + 2)
        for i in blocks:
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **placed))
        for i in blocks:
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(type(self).__name__, activation)

    def _add(self, x: Tensor, number: int, block: Callable[[Tensor], Tensor]) -> Tensor:
        """One block with a residual connection, and the norm and the dropout of this number."""
        norm, dropout = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        return x + dropout(block(norm(x))) if self.norm_first else norm(x + dropout(block(x)))

    def _dense(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two dense layers; called with src (L, N, E) and the masks of MultiheadAttention."""

    __doc__ = f"{__doc__}\n{_Layer.__doc__}"

    attentions = ("self_attn",)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        masks = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask, "is_causal": is_causal}
        x = self._add(src, 1, lambda x: self.self_attn(x, x, x, need_weights=False, **masks)[0])
        return self._add(x, 2, self._dense)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's output `memory`, then two dense layers."""

    __doc__ = f"{__doc__}\n{_Layer.__doc__}"

    attentions = ("self_attn", "multihead_attn")

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        own = {"attn_mask": tgt_mask, "key_padding_mask": tgt_key_padding_mask, "is_causal": tgt_is_causal}
        other = {"attn_mask": memory_mask, "key_padding_mask": memory_key_padding_mask, "is_causal": memory_is_causal}
        x = self._add(tgt, 1, lambda x: self.self_attn(x, x, x, need_weights=False, **own)[0])
        x = self._add(x, 2, lambda x: self.multihead_attn(x, memory, memory, need_weights=False, **other)[0])
        return self._add(x, 3, self._dense)


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


class TransformerEncoder(Module):
    """Copies of an encoder layer, one after the other.

    Args:
        encoder_layer: a TransformerEncoderLayer; the copies start with the same weights.
        num_layers: the number of copies.
        norm: a module after the last layer, or None.
        enable_nested_tensor, mask_check: accepted for compatibility with torch, without effect.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ):
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Encode; with is_causal None the values of the mask decide whether it is causal."""
        batch_first = self.num_layers > 0 and self.layers[0].self_attn.batch_first
        causal = _is_causal(mask, is_causal, src, batch_first)
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """Copies of a decoder layer, one after the other.

    Args:
        decoder_layer: a TransformerDecoderLayer; the copies start with the same weights.
        num_layers: the number of copies.
        norm: a module after the last layer, or None.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None):
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Decode; with tgt_is_causal None the values of tgt_mask decide whether it is causal."""
        batch_first = self.num_layers > 0 and self.layers[0].self_attn.batch_first
        causal = _is_causal(tgt_mask, tgt_is_causal, tgt, batch_first)
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, causal, memory_is_causal
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder: from src (S, N, E) and tgt (T, N, E) to (T, N, E).

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps: as for TransformerEncoderLayer.
        batch_first, norm_first, bias, device, dtype: as for TransformerEncoderLayer.
        num_encoder_layers, num_decoder_layers: the number of layers of each.
        custom_encoder, custom_decoder: modules that replace the encoder and the decoder.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        settings: Any = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias,
            device, dtype,
        )  # fmt: skip

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*settings), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*settings), num_decoder_layers, norm()
        )
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        batch_axis = 0 if self.batch_first else 1
        if src.ndim != tgt.ndim or (src.ndim == 3 and src.shape[batch_axis] != tgt.shape[batch_axis]):
            raise ShapeError(
                f"Transformer: src and tgt must have the same batch, got shapes {tuple(src.shape)}, {tuple(tgt.shape)}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                f"Transformer: src and tgt must have d_model = {self.d_model} features, got {src.shape[-1]} and "
                f"{tgt.shape[-1]}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal, memory_is_causal
        return self.decoder(tgt, memory, *masks)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask: (sz, sz), 0 on and below the diagonal and -inf above."""
        return to_device(causal_mask(sz, np.float32 if dtype is None else dtype), device)

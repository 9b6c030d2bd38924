"""ViT: a transformer encoder on the patches of an image, like words of a sentence.

A. Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021), section 3.1, figure 1 and equations 1 to 4:

    z_0  = [class token; linear map of every patch] + position embeddings
    z'_l = attention(norm(z_{l-1})) + z_{l-1}
    z_l  = MLP(norm(z'_l)) + z'_l
    y    = norm(class token of z_L), the input of the last linear layer

The linear map of patches is a convolution with stride = kernel size.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial
from typing import Any

from convcore import nn
from convcore.errors import ShapeError
from convcore.models.blocks import MLP, Layer
from convcore.models.registry import model
from convcore.ops.create.creation import zeros
from convcore.ops.shape.joining import cat
from convcore.tensor import Tensor

_LAYER_NORM = partial(nn.LayerNorm, eps=1e-6)


class MLPBlock(MLP):
    """Two linear layers with GELU between them (equation 3)."""

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float):
        super().__init__(in_dim, [mlp_dim, in_dim], nn.GELU, dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=1e-6)


class EncoderBlock(nn.Module):
    """Attention over all tokens, then an MLP on each token; both with shortcuts (figure 1, right)."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer = _LAYER_NORM,
    ):
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(hidden_dim, num_heads, attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Tensor) -> Tensor:
        """(N, tokens, hidden_dim) to the same shape."""
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Position embeddings, the blocks, and a last norm."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer = _LAYER_NORM,
    ):
        super().__init__()
        self.pos_embedding = nn.Parameter(nn.init.normal_(zeros(1, seq_length, hidden_dim), std=0.02))
        self.dropout = nn.Dropout(dropout)
        block = partial(EncoderBlock, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        self.layers = nn.Sequential(OrderedDict((f"encoder_layer_{i}", block()) for i in range(num_layers)))
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Tensor) -> Tensor:
        """(N, tokens, hidden_dim) to the same shape."""
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """The networks of table 1.

    Args:
        image_size: height and width of the images, a multiple of `patch_size`.
        patch_size: height and width of a patch.
        num_layers, num_heads, hidden_dim, mlp_dim: blocks, attention heads, features of a token, features inside MLPs.
        dropout, attention_dropout: dropout probabilities of features and of attention weights.
        num_classes: the size of the output.
        representation_size: features of a hidden layer before the last layer; None omits it.
        norm_layer: called with the number of features.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Layer = _LAYER_NORM,
    ):
        super().__init__()
        if image_size % patch_size:
            raise ShapeError(
                f"VisionTransformer: image_size must be a multiple of patch_size, got {image_size} and {patch_size}"
            )
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.conv_proj = nn.Conv2d(3, hidden_dim, patch_size, stride=patch_size)
        self.class_token = nn.Parameter(zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        settings = num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer
        self.encoder = Encoder(self.seq_length, *settings)
        heads: OrderedDict[str, nn.Module] = OrderedDict()
        if representation_size is not None:
            heads["pre_logits"] = nn.Linear(hidden_dim, representation_size)
            heads["act"] = nn.Tanh()
        heads["head"] = nn.Linear(hidden_dim if representation_size is None else representation_size, num_classes)
        self.heads = nn.Sequential(heads)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise the patch map and any hidden layer to keep the variance, and the last layer with 0."""
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / (3 * self.patch_size**2)))
        nn.init.zeros_(self.conv_proj.bias)
        if hasattr(self.heads, "pre_logits"):
            nn.init.trunc_normal_(self.heads.pre_logits.weight, std=math.sqrt(1 / self.hidden_dim))
            nn.init.zeros_(self.heads.pre_logits.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, image_size, image_size) to (N, num_classes)."""
        size = self.image_size
        if tuple(x.shape[2:]) != (size, size):
            raise ShapeError(
                f"VisionTransformer: images must be image_size = {size} pixels high and wide, got {tuple(x.shape)}; "
                "resize them, or build the model with their size as image_size"
            )
        patches = self.conv_proj(x).flatten(2).permute(0, 2, 1)  # N, patches, hidden_dim
        tokens = cat([self.class_token.expand(x.shape[0], -1, -1), patches], 1)
        return self.heads(self.encoder(tokens)[:, 0])


def _base(patch_size: int, **kwargs: Any) -> VisionTransformer:
    """ViT-Base of table 1."""
    settings = {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}
    return VisionTransformer(kwargs.pop("image_size", 224), patch_size, **{**settings, **kwargs})


@model
def vit_b_16(**kwargs: Any) -> VisionTransformer:
    """ViT-Base with patches of 16x16 pixels; 86,567,656 parameters."""
    return _base(16, **kwargs)


@model
def vit_b_32(**kwargs: Any) -> VisionTransformer:
    """ViT-Base with patches of 32x32 pixels; 88,224,232 parameters."""
    return _base(32, **kwargs)

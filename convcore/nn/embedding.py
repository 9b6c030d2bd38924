"""Layers that look up rows in a table of learned vectors."""

from __future__ import annotations

from typing import Any

from convcore.autograd import no_grad
from convcore.errors import ShapeError
from convcore.nn import init
from convcore.nn.base.module import Module
from convcore.nn.parameter import Parameter, empty_parameter
from convcore.ops.core.arguments import integer
from convcore.ops.linear.embedding import embedding, embedding_bag
from convcore.tensor import Tensor


class _Table(Module):
    """The weight of an embedding and the settings of the look-up."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        weight: Tensor | None,
        device: Any,
        dtype: Any,
    ):
        super().__init__()
        name = type(self).__name__
        self.num_embeddings = integer(name, "num_embeddings", num_embeddings, 0)
        self.embedding_dim = integer(name, "embedding_dim", embedding_dim, 0)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ShapeError(f"{name}: padding_idx must be one of the {num_embeddings} rows, got {padding_idx}")
        self.padding_idx = padding_idx if padding_idx is None or padding_idx >= 0 else num_embeddings + padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        shape = (self.num_embeddings, self.embedding_dim)
        if weight is not None and tuple(weight.shape) != shape:
            raise ShapeError(f"{name}: the weight must have the shape {shape}, got {tuple(weight.shape)}")
        self.weight = empty_parameter(name, shape, dtype, device) if weight is None else Parameter(weight)
        if weight is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new rows from the normal distribution; the row of padding_idx is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, **settings: Any) -> Any:
        """A layer with the given table (V, D). The table is trained only with freeze=False."""
        if embeddings.ndim != 2:
            raise ShapeError(f"{cls.__name__}: embeddings must have 2 axes (V, D), got shape {tuple(embeddings.shape)}")
        make: Any = cls
        layer = make(*embeddings.shape, _weight=embeddings, **settings)
        layer.weight.requires_grad_(not freeze)
        return layer


class Embedding(_Table):
    """Look up rows of a table of learned vectors; (...) becomes (..., D).

    Args:
        num_embeddings, embedding_dim: V and D, the table's rows and columns.
        padding_idx: a row that is initially 0 and gets no gradient.
        max_norm: rows longer than this are scaled to this length when they are looked up.
        norm_type: the p of the norm that max_norm limits.
        scale_grad_by_freq: divide the gradient of each row by the number of its look-ups.
        sparse: True is refused when the layer is called: gradients are dense.
        _weight: the initial table.
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.

    Attributes:
        weight: (V, D), initially of the standard normal distribution.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            device, dtype,
        )  # fmt: skip
        self.weight.requires_grad_(not _freeze)

    def forward(self, input: Tensor) -> Tensor:
        return embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        if self.max_norm is not None:
            parts.append(f"max_norm={self.max_norm}")
        if self.norm_type != 2:
            parts.append(f"norm_type={self.norm_type}")
        if self.scale_grad_by_freq is not False:
            parts.append(f"scale_grad_by_freq={self.scale_grad_by_freq}")
        return ", ".join([*parts, *(["sparse=True"] if self.sparse else [])])


class EmbeddingBag(_Table):
    """Sums, means or maxima of bags of rows of a table; see `functional.embedding_bag` for the bags.

    The arguments are those of Embedding and of `functional.embedding_bag`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            device, dtype,
        )  # fmt: skip
        self.mode = mode
        self.include_last_offset = include_last_offset

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        if self.max_norm is not None:
            parts.append(f"max_norm={self.max_norm}")
        if self.norm_type != 2:
            parts.append(f"norm_type={self.norm_type}")
        if self.scale_grad_by_freq is not False:
            parts.append(f"scale_grad_by_freq={self.scale_grad_by_freq}")
        parts.append(f"mode={self.mode!r}")
        return ", ".join([*parts, *([] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"])])

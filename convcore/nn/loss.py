"""Losses as layers. `reduction` is "mean", "sum", or "none" for one loss per element."""

from __future__ import annotations

from convcore.errors import ShapeError
from convcore.nn import functional as F
from convcore.nn.module import Module
from convcore.tensor import Tensor


class _Loss(Module):
    def __init__(self, reduction: str):
        super().__init__()
        if reduction not in ("none", "mean", "sum"):
            raise ShapeError(f"{type(self).__name__}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
        self.reduction = reduction


class CrossEntropyLoss(_Loss):
    """The loss of a classifier: minus the log of the probability that softmax of the logits gives to the label.

    Args:
        weight: (K,) how much each class counts.
        ignore_index: labels of this value count nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: how much of the target's probability is spread evenly over all classes.

    Called with logits (N, K, ...) and labels (N, ...), or probabilities of the logits' shape.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """Minus the log-probability of the label, for outputs of LogSoftmax; the arguments are CrossEntropyLoss's."""

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """(input - target)^2."""

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)

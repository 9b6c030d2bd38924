"""The last step of a loss: every element or row, the sum, or the mean."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from convcore.errors import ShapeError

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def read_reduction(op: str, reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """`reduction`, checked; or the equivalent of torch's two deprecated arguments."""
    if size_average is not None or reduce is not None:
        average, any_at_all = size_average is None or size_average, reduce is None or reduce
        reduction = ("mean" if average else "sum") if any_at_all else "none"
        warnings.warn(
            f"{op}: size_average and reduce are deprecated; write reduction={reduction!r} instead", stacklevel=3
        )
    if reduction not in ("none", "mean", "sum"):
        raise ShapeError(f"{op}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
    return reduction


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The losses, their sum, or their mean, which is NaN if there are none."""
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()

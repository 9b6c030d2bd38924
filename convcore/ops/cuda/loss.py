"""Cross-entropy on a GPU. The loss and everything saved for backward stay on the GPU until they are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd import once_differentiable, wrap
from convcore.engine.cuda.array import DeviceArray, broadcast_to, empty, full
from convcore.engine.dispatch import twin_of
from convcore.ops.core.dtypes import compute
from convcore.ops.cuda.arrays import floats, values_or
from convcore.ops.loss import cross_entropy as on_cpu
from convcore.ops.loss.cross_entropy import CrossEntropy
from kernels.cuda import calls, loss


@twin_of(on_cpu.check_range)
def check_range(op: str, labels: Any, classes: int, ignore_index: int) -> None:
    """Labels on the device are not checked: a label out of range gives the loss NaN."""


@twin_of(CrossEntropy)
class CrossEntropyOnGPU(CrossEntropy):
    """Saves the logits and, per row, the maximum and the sum of exponentials."""

    @staticmethod
    def forward(
        ctx: Any, x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float
    ):  # fmt: skip
        axis = 0 if x.array.ndim == 1 else 1
        classes, rows = x.array.shape[axis], target.array.size
        ctx.order = [*[a for a in range(x.array.ndim) if a != axis], axis]
        ctx.rows = x.array.flat(ctx.order), target.array.flat()
        ctx.weights = values_or(1, None if weight is None else weight.array, classes)
        ctx.settings = classes, label_smoothing, ignore_index
        losses, counted, ctx.maxima, ctx.sums = (floats(rows) for _ in range(4))
        loss.cross_entropy_forward(
            rows, *ctx.rows, ctx.weights, losses, counted, ctx.maxima, ctx.sums, *ctx.settings
        )  # fmt: skip
        ctx.save_for_backward(x, target, weight)
        ctx.reduction = reduction
        if reduction == "none":
            return wrap(losses.reshape(target.array.shape))
        total = _total(losses)
        ctx.total_weight = _total(counted) if reduction == "mean" else full((), 1)
        return wrap(compute(np.true_divide, total, ctx.total_weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Any):
        x, target, _ = ctx.saved_tensors
        rows = target.array.size
        grad_loss = grad_out.array
        if ctx.reduction != "none":
            share: Any = compute(np.true_divide, grad_loss, ctx.total_weight)
            grad_loss = broadcast_to(share, (rows,))
        grad_x = floats(x.array.size)
        loss.cross_entropy_grad_input(
            rows, *ctx.rows, ctx.weights, ctx.maxima, ctx.sums, grad_loss.flat(), grad_x, *ctx.settings
        )  # fmt: skip
        block = grad_x.reshape([x.array.shape[axis] for axis in ctx.order])
        return wrap(block.transpose(np.argsort(ctx.order))), None, None, None, None, None


def _total(losses: DeviceArray) -> Any:
    out = empty(())
    calls.sum_all(losses, out.reshape(1), losses.size, floats)
    return out

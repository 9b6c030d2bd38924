"""Elementwise losses: regression losses and negative log-likelihoods.

For an element x with the target t:

    mse          (x - t)^2                                           a normal distribution of fixed variance
    l1           |x - t|
    huber        d * (a - d/2), d = min(a, delta), a = |x - t|       a^2/2 up to delta, linear beyond
    smooth_l1    huber with delta = beta, divided by beta
    bce          -t log x - (1 - t) log(1 - x)                       x a probability
    with_logits  bce of sigmoid(x): (1 - t) x - log sigmoid(x)
    kl_div       t (log t - x)                                       x a log probability
    poisson_nll  exp(x) - t x                                        x the logarithm of the expected count
    gaussian_nll (log v + (x - t)^2 / v) / 2                         v the variance
    soft_margin  log(1 + exp(-t x))                                  t = 1 or -1

All but `bce`, which clamps the logarithms, are composed of differentiable operations.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import Function, Variable, no_grad, wrap
from convcore.errors import ShapeError, array_table
from convcore.ops.activation.functions import logsigmoid
from convcore.ops.core.arguments import check_float_tensors, require_tensors
from convcore.ops.core.broadcast import check_broadcast
from convcore.ops.elementwise.functions import where
from convcore.ops.loss.reduction import read_reduction, reduced

if TYPE_CHECKING:
    from convcore.tensor import Tensor

LEAST_LOG = -100.0  # torch's lower limit of the logarithms in binary_cross_entropy


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2: the mean, the sum, or with 'none' every element.

    Different shapes broadcast with a warning: a column against a row is nearly always a mistake.

    Args:
        input, target: tensors of one shape.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.
        weight: a factor for each element, of input's shape; the mean is then divided by the sum of the weights.
    """
    reduction = read_reduction("mse_loss", reduction, size_average, reduce)
    difference = _difference("mse_loss", input, target)
    return _weighted("mse_loss", difference * difference, input, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|; the arguments are those of `mse_loss`."""
    reduction = read_reduction("l1_loss", reduction, size_average, reduce)
    return _weighted("l1_loss", _difference("l1_loss", input, target).abs(), input, weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """A parabola for differences up to `beta`, |input - target| - beta / 2 beyond (Girshick 2015, equation 3).

    Args:
        input, target, size_average, reduce, reduction: as in `mse_loss`.
        beta: where the parabola ends; 0 is `l1_loss`.

    Raises:
        ShapeError: beta is negative.
    """
    reduction = read_reduction("smooth_l1_loss", reduction, size_average, reduce)
    if beta < 0:
        raise ShapeError(f"smooth_l1_loss: beta must be at least 0, got {beta}")
    difference = _difference("smooth_l1_loss", input, target)
    return reduced(_huber(difference, beta) / beta if beta else difference.abs(), reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Half the squared difference up to `delta`, and the tangent beyond (Huber 1964).

    Args:
        input, target, reduction: as in `mse_loss`.
        delta: where the parabola ends.
        weight: a factor for each element, of input's shape; the mean is still divided by the number of elements.

    Raises:
        ShapeError: delta is not positive, or weight has another shape than input.
    """
    reduction = read_reduction("huber_loss", reduction)
    if delta <= 0:
        raise ShapeError(f"huber_loss: delta must be greater than 0, got {delta}")
    losses = _huber(_difference("huber_loss", input, target), delta)
    if weight is not None:
        _check_weight("huber_loss", input, weight)
        losses = losses * weight
    return reduced(losses, reduction)


def _huber(difference: Tensor, delta: float) -> Tensor:
    inside = difference.clamp(-delta, delta)
    return inside * (difference - inside * 0.5)


class BinaryCrossEntropy(Function):
    """-t max(log x, -100) - (1 - t) max(log(1 - x), -100), element by element.

    grad_x = (x - t) / (x (1 - x)), with a divisor of at least 1e-12, as in torch: the limits keep the loss of a
    prediction with x = 0 or 1 finite, but do not cut off the gradient.
    """

    @staticmethod
    def forward(ctx, x, target):
        ctx.save_for_backward(x, target)
        with np.errstate(all="ignore"):
            log, log_rest = (np.maximum(value, LEAST_LOG) for value in (np.log(x.array), np.log1p(-x.array)))
            return wrap(np.asarray((target.array - 1) * log_rest - target.array * log))

    @staticmethod
    def backward(ctx, grad_out):
        x, target = ctx.saved_tensors
        grad_x = grad_target = None
        if ctx.needs_input_grad[0]:
            grad_x = grad_out * (x - target) / (x * (1 - x)).clamp(min=1e-12)
        if ctx.needs_input_grad[1]:
            grad_target = grad_out * ((1 - x).log().clamp(min=LEAST_LOG) - x.log().clamp(min=LEAST_LOG))
        return grad_x, grad_target


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of binary labels. For logits use `binary_cross_entropy_with_logits`.

    Args:
        input: probabilities of the label 1, of any shape.
        target: labels 0 and 1, or probabilities, of input's shape and dtype.
        weight: a factor for each element; broadcasts to input's shape.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ShapeError: the shapes differ, or an input is outside [0, 1].
    """
    reduction = read_reduction("binary_cross_entropy", reduction, size_average, reduce)
    check_float_tensors("binary_cross_entropy", input=input, target=target, weight=weight)
    _check_same_shape("binary_cross_entropy", input, target)
    outside = (input.array < 0) | (input.array > 1)
    if outside.any():
        raise ShapeError(
            f"binary_cross_entropy: input must hold probabilities from 0 to 1, but {int(outside.sum())} of "
            f"{outside.size} elements are outside; for logits use binary_cross_entropy_with_logits"
        )
    losses = BinaryCrossEntropy.apply(input, target)
    if weight is not None:
        losses = losses * weight.expand(target.array.shape)
    return reduced(losses, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without overflow.

    Args:
        input: logits, of any shape.
        target: labels 0 and 1, or probabilities, of input's shape.
        weight: a factor for each element; broadcasts to input's shape.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.
        pos_weight: the weight of label 1 relative to label 0, often one per class; broadcasts.

    Raises:
        ShapeError: the shapes of input and target differ.
    """
    op = "binary_cross_entropy_with_logits"
    reduction = read_reduction(op, reduction, size_average, reduce)
    require_tensors(op, input=input, target=target, weight=weight, pos_weight=pos_weight)
    _check_same_shape(op, input, target)
    log_likelihood = logsigmoid(input)
    if pos_weight is not None:
        log_likelihood = log_likelihood * ((pos_weight.expand(target.array.shape) - 1) * target + 1)
    losses = (1 - target) * input - log_likelihood
    return reduced(losses if weight is None else losses * weight.expand(target.array.shape), reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target * (log target - input); the sum is the Kullback-Leibler divergence from `input` to `target`.

    Args:
        input: logarithms of probabilities.
        target: probabilities, or their logarithms with `log_target`; broadcasts against input.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'batchmean' for the sum divided by the length of the first axis, as in the definition; 'mean' over
            all elements, 'sum' or 'none'.
        log_target: whether target holds logarithms.
    """
    per_row = size_average is None and reduce is None and reduction == "batchmean"
    reduction = "sum" if per_row else read_reduction("kl_div", reduction, size_average, reduce)
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction='mean' divides by the number of elements; 'batchmean' divides by that of rows, as the "
            "definition of the Kullback-Leibler divergence does",
            stacklevel=2,
        )
    require_tensors("kl_div", input=input, target=target)
    check_broadcast("kl_div", input, target, names=("input", "target"))
    if log_target:
        losses = target.exp() * (target - input)
    else:
        zero = target == 0  # 0 * log 0 is 0
        losses = target * where(zero, 1.0, target).log() - target * input
    total = reduced(losses, reduction)
    return total / input.array.shape[0] if per_row and input.array.ndim else total


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of counts `target` under Poisson distributions with the means exp(input).

    Args:
        input: logarithms of the means, or with log_input=False the means themselves.
        target: the counts.
        log_input: see input.
        full: add Stirling's approximation of log(target!), t log t - t + log(2 pi t) / 2, for targets above 1.
        size_average, reduce: torch's older form of `reduction`.
        eps: added to the means before the logarithm, with log_input=False.
        reduction: 'mean', 'sum' or 'none'.
    """
    reduction = read_reduction("poisson_nll_loss", reduction, size_average, reduce)
    require_tensors("poisson_nll_loss", input=input, target=target)
    check_broadcast("poisson_nll_loss", input, target, names=("input", "target"))
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        many = target > 1
        count = where(many, target, 1.0)
        stirling = count * count.log() - count + (count * (2 * math.pi)).log() * 0.5
        losses = losses + where(many, stirling, 0.0)
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of values `target` under normal distributions.

    Args:
        input: the means.
        target: the values.
        var: the variances: of input's shape, with a last axis of length 1 or without it, or one number.
        full: add the constant log(2 pi) / 2.
        eps: the smallest variance; smaller ones are raised to it, without effect on their gradient.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ShapeError: a variance is negative, or var has another shape.
    """
    reduction = read_reduction("gaussian_nll_loss", reduction)
    require_tensors("gaussian_nll_loss", input=input, target=target)
    check_broadcast("gaussian_nll_loss", input, target, names=("input", "target"))
    variance: Tensor = var if isinstance(var, Variable) else wrap(np.full(input.array.shape, var, input.array.dtype))
    if (variance.array < 0).any():
        raise ShapeError(f"gaussian_nll_loss: var must not be negative, its smallest element is {variance.array.min()}")
    shape, own = input.array.shape, variance.array.shape
    if own != shape and own == shape[:-1]:
        variance = variance.unsqueeze(-1)
    elif own != shape and (len(own) != len(shape) or sum([b for a, b in zip(shape, own, strict=True) if a != b]) != 1):
        table = array_table([("input", input.array, ""), ("var", variance.array, "")])
        raise ShapeError(f"gaussian_nll_loss: var must have input's shape, or one axis of length 1 or less\n{table}")
    variance = variance.clone()
    with no_grad():
        variance.clamp_(min=eps)
    difference = input - target
    losses = (variance.log() + difference * difference / variance) * 0.5
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target * input)) for targets 1 and -1.

    Args:
        input, target: tensors that broadcast.
        size_average, reduce: torch's older form of `reduction`.
        reduction: 'mean', 'sum' or 'none'.
    """
    reduction = read_reduction("soft_margin_loss", reduction, size_average, reduce)
    require_tensors("soft_margin_loss", input=input, target=target)
    check_broadcast("soft_margin_loss", input, target, names=("input", "target"))
    return reduced(-logsigmoid(target * input), reduction)


def _difference(op: str, input: Tensor, target: Tensor) -> Tensor:
    """input - target; different shapes broadcast with a warning."""
    require_tensors(op, input=input, target=target)
    if input.array.shape != target.array.shape:
        table = array_table([("input", input.array, ""), ("target", target.array, "")])
        check_broadcast(op, input, target, names=("input", "target"))
        warnings.warn(f"{op}: target's shape differs from input's and is broadcast\n{table}", stacklevel=3)
    return input - target


def _weighted(op: str, losses: Tensor, input: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(losses, reduction)
    _check_weight(op, input, weight)
    losses = losses * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduced(losses, reduction)


def _check_weight(op: str, input: Tensor, weight: Tensor) -> None:
    require_tensors(op, weight=weight)
    if weight.array.shape != input.array.shape:
        table = array_table([("input", input.array, ""), ("weight", weight.array, "")])
        raise ShapeError(f"{op}: weight must have input's shape\n{table}")


def _check_same_shape(op: str, input: Tensor, target: Tensor) -> None:
    if target.array.shape != input.array.shape:
        table = array_table([("input", input.array, ""), ("target", target.array, "")])
        raise ShapeError(f"{op}: target must have input's shape\n{table}")

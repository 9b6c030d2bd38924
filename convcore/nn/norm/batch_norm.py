"""Batch and instance norm as layers. They may keep running statistics for evaluation."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np

from convcore.autograd import wrap
from convcore.errors import ShapeError, array_table
from convcore.nn import init
from convcore.nn.base.module import Module
from convcore.nn.parameter import empty_parameter
from convcore.ops.core.arguments import integer
from convcore.ops.core.dtypes import element_type, float32, require_tensor
from convcore.ops.core.transfer import to_device
from convcore.ops.norm.batch_norm import batch_norm
from convcore.ops.norm.instance_norm import instance_norm
from convcore.tensor import Tensor


class _Norm(Module):
    """What batch and instance norm have in common: weight, bias and running statistics of every channel."""

    axes: ClassVar[dict[int, str]]  # allowed numbers of input axes -> names of the axes

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ):
        super().__init__()
        name = type(self).__name__
        self.num_features = integer(name, "num_features", num_features, 1)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        size = (self.num_features,)
        self.register_parameter("weight", empty_parameter(name, size, dtype, device) if affine else None)
        self.register_parameter("bias", empty_parameter(name, size, dtype, device) if affine and bias else None)
        kind = element_type(name, float32 if dtype is None else dtype)
        tracked = track_running_stats
        self.register_buffer("running_mean", to_device(wrap(np.zeros(size, kind)), device) if tracked else None)
        self.register_buffer("running_var", to_device(wrap(np.ones(size, kind)), device) if tracked else None)
        self.register_buffer(
            "num_batches_tracked", to_device(wrap(np.zeros((), np.int64)), device) if tracked else None
        )
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Reset the running statistics: mean 0, variance 1, no batches seen."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Reset all values: weight 1, bias 0, no batches seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def check_axes(self, input: Tensor) -> None:
        """Refuse an input with a wrong number of axes."""
        require_tensor(type(self).__name__, "input", input)
        if input.ndim not in self.axes:
            letters = " or ".join(f"{ndim} axes ({names})" for ndim, names in self.axes.items())
            table = array_table([("input", input.array, "")])
            raise ShapeError(f"{type(self).__name__}: input must have {letters}\n{table}")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Norm):
    """Normalise every channel to mean 0 and variance 1 over the batch, then apply a learned scale and shift.

    Training uses the statistics of the batch and moves the running statistics towards them. Evaluation uses the running
    statistics, so that the result of an image does not depend on the rest of the batch.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: how far the running statistics move; None makes them the plain mean over all batches so far.
        affine: whether to learn weight and bias.
        track_running_stats: False keeps no running statistics; evaluation then uses those of the batch, too.
        device: "cpu" (the default), "cuda", or "auto" for the GPU where there is one.
        dtype: float32 (the default) or float64.
        bias: with `affine`, whether there is a bias.

    Attributes:
        weight, bias: (C,), initially 1 and 0; None without `affine`.
        running_mean, running_var: (C,) buffers, initially 0 and 1.
        num_batches_tracked: how many batches the running statistics have seen, an int64 buffer.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        self.check_axes(input)
        update = self.training and self.track_running_stats
        batches = self.num_batches_tracked
        if update and self.momentum is None and batches is not None:
            momentum = 1 / (float(batches.array) + 1)
        else:
            momentum = self.momentum or 0.0
        mean, var = self.running_mean, self.running_var
        use_batch = self.training or (mean is None and var is None)
        if self.training and not update:
            mean = var = None
        out = batch_norm(input, mean, var, self.weight, self.bias, use_batch, momentum, self.eps)
        if update and batches is not None:
            batches.before_write()[...] += 1
            batches.mark_changed()
        return out


class BatchNorm1d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__

    axes: ClassVar = {2: "N, C", 3: "N, C, L"}


class BatchNorm2d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__

    axes: ClassVar = {4: "N, C, H, W"}


class BatchNorm3d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__

    axes: ClassVar = {5: "N, C, D, H, W"}


class _InstanceNorm(_Norm):
    """Normalise every channel of every image to mean 0 and variance 1 over its positions.

    The arguments and attributes are those of BatchNorm2d. The defaults differ: no learned parameters and no running
    statistics, so that evaluation does the same as training. The input may lack the batch axis.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        self.check_axes(input)
        single = input.ndim == min(self.axes)
        images = input.unsqueeze(0) if single else input
        if images.shape[1] != self.num_features:
            table = array_table([("input", images.array, "N, C, ...")])
            message = f"{type(self).__name__}: input has not num_features = {self.num_features} channels\n{table}"
            if self.affine:
                raise ShapeError(message)
            warnings.warn(f"{message}\nwhich does not matter without affine", stacklevel=2)
        out = instance_norm(
            images,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )
        return out.squeeze(0) if single else out


class InstanceNorm1d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__

    axes: ClassVar = {2: "C, L", 3: "N, C, L"}


class InstanceNorm2d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__

    axes: ClassVar = {3: "C, H, W", 4: "N, C, H, W"}


class InstanceNorm3d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__

    axes: ClassVar = {4: "C, D, H, W", 5: "N, C, D, H, W"}

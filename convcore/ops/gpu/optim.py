"""Optimizers' steps on a GPU, called as those of `kernels.cpu.optim`: with flat arrays, which they change in place."""

from __future__ import annotations

from typing import Any

from convcore.autograd.twins import twin_of
from kernels.cpu import optim as on_cpu
from kernels.cuda import optim
from kernels.cuda.calls import ceil_div


def _blocks(param: Any) -> int:
    return ceil_div(param.size, optim.THREADS)


@twin_of(on_cpu.sgd_step)
def sgd_step(param: Any, grad: Any, lr: float, weight_decay: float, sign: float) -> None:
    """Plain gradient descent."""
    optim.sgd_step(_blocks(param), param, grad, param.size, lr, weight_decay, sign)


@twin_of(on_cpu.sgd_momentum_step)
def sgd_momentum_step(param: Any, grad: Any, momentum_buffer: Any, *settings: Any) -> None:
    """Gradient descent with momentum."""
    optim.sgd_momentum_step(_blocks(param), param, grad, momentum_buffer, param.size, *settings)


@twin_of(on_cpu.adam_step)
def adam_step(param: Any, grad: Any, exp_avg: Any, exp_avg_sq: Any, *settings: Any) -> None:
    """Adam and AdamW."""
    optim.adam_step(_blocks(param), param, grad, exp_avg, exp_avg_sq, param.size, *settings)

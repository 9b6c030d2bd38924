"""Optimizer steps on a GPU, with the signatures of `kernels.cpu.optim`: they change flat arrays in place."""

from __future__ import annotations

from typing import Any

from convcore.engine.dispatch import twin_of
from convcore.ops.cuda.arrays import floats
from convcore.ops.elementwise import unscale as on_cpu_unscale
from kernels.cpu.optim import sgd_adam as on_cpu
from kernels.cuda import calls, optim
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


@twin_of(on_cpu_unscale.unscale)
def unscale(gradients: list[Any], inverse: float) -> bool:
    """Gradients times `inverse`; returns whether any is not finite, with a single transfer to the host."""
    blocks = [ceil_div(gradient.size, optim.PER_BLOCK) for gradient in gradients]
    counts, offset = floats(sum(blocks)), 0
    for gradient, count in zip(gradients, blocks, strict=True):
        optim.unscale(count, gradient, counts, offset, gradient.size, inverse)
        offset += count
    total = floats(1)
    calls.sum_all(counts, total, offset, floats)
    return bool(total.item())

"""Automatic differentiation: the graph, Functions that know their gradient, and the sweep that applies them."""

from convcore.autograd.function import Function, Node, once_differentiable
from convcore.autograd.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from convcore.autograd.sweep import backward, grad
from convcore.autograd.variable import Variable, wrap

__all__ = [
    "Function",
    "Node",
    "Variable",
    "backward",
    "enable_grad",
    "grad",
    "is_grad_enabled",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
    "wrap",
]

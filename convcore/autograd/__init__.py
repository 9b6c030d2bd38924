"""Automatic differentiation: the graph, Functions that know their gradient, and the sweep that applies them."""

from convcore.autograd.function import Function, Node, next_number, once_differentiable
from convcore.autograd.grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from convcore.autograd.lazy import Deferred, Inputs, may_defer, no_fusion
from convcore.autograd.sweep import backward, grad
from convcore.autograd.variable import Variable, is_recorded, wrap, wrap_deferred

__all__ = [
    "Deferred",
    "Function",
    "Inputs",
    "Node",
    "Variable",
    "backward",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "is_recorded",
    "may_defer",
    "next_number",
    "no_fusion",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
    "wrap",
    "wrap_deferred",
]

"""Automatic differentiation: the graph, Functions that know their gradient, and the sweep that applies them.

variable     a tensor's place in the graph: its array, its node, the counter of its changes
function     Function, and the nodes that its calls leave in the graph
sweep        backward: every node once, after everything that depends on it
accumulate   how a gradient is kept in `.grad`; clear   how it is removed
grad_mode    no_grad, enable_grad, inference_mode
handles      hooks, and the handles that remove them
lazy         results that are computed when they are read, so that operations can be fused
"""

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

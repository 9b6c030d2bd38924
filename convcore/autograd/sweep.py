"""The backward sweep: from the outputs to the leaves, every node once, after everything that depends on it.

Why an order is needed at all: a tensor used twice receives two gradients, and its own node may only run when both
have been added up. Running a node as soon as its first gradient arrives would walk the paths of the graph one by one,
and a graph of n nodes can have 2**n paths. So nodes run in decreasing order of their number, which is a topological
order: a node is always made after the nodes of its inputs.
"""

from __future__ import annotations

import heapq
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd.deferred import Exposure
from convcore.autograd.function import Node
from convcore.autograd.grad_mode import state
from convcore.autograd.handles import HookTable
from convcore.autograd.variable import Variable, wrap
from convcore.errors import DTypeError, GraphError, ShapeError
from convcore.gpu.array import DeviceArray

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def backward(
    tensors: Sequence[Variable],
    gradients: Sequence[Any],
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Add the gradients of `tensors`, weighted by `gradients`, to the `.grad` of every leaf that requires one."""
    _sweep(tensors, gradients, retain_graph or create_graph, create_graph, wanted=None)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`, returned and not stored in `.grad`.

    Args:
        grad_outputs: a gradient for each output; None stands for 1 and needs an output of a single element.
        retain_graph: keep the graph for another sweep; by default only if `create_graph`.
        create_graph: record this sweep, so that its results can be differentiated again.
        allow_unused: return None for inputs that the outputs do not depend on, instead of raising GraphError.
    """
    outputs = [outputs] if isinstance(outputs, Variable) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Variable) else list(inputs)
    if grad_outputs is None:
        grad_outputs = [None] * len(outputs)
    elif isinstance(grad_outputs, Variable):
        grad_outputs = [grad_outputs]
    for position, tensor in enumerate(inputs):
        if not tensor.requires_grad:
            raise GraphError(f"grad: inputs[{position}] does not require a gradient")
    wanted: dict[Any, Any] = {_key(tensor): None for tensor in inputs}
    retain_graph = create_graph if retain_graph is None else retain_graph
    _sweep(outputs, list(grad_outputs), retain_graph, create_graph, wanted)
    results = tuple(wanted[_key(tensor)] for tensor in inputs)
    if not allow_unused:
        for position, result in enumerate(results):
            if result is None:
                raise GraphError(
                    f"grad: the outputs do not depend on inputs[{position}]; allow_unused=True returns None for it"
                )
    return results


def _key(tensor: Variable) -> Any:
    """What a gradient belongs to: one output of a node, or a leaf."""
    return tensor if tensor.node is None else (tensor.node, tensor.output_index)


def _sweep(tensors, gradients, retain_graph: bool, create_graph: bool, wanted: dict | None) -> None:
    """Send gradients down the graph: into the leaves' `.grad`, or into `wanted` by key where that is given."""
    needed = None if wanted is None else _leading(tensors, wanted)
    pending: dict[Node, list[Any]] = {}
    heap: list[tuple[int, Node]] = []
    met: dict[Variable, Any] = {}  # gradients of leaves that are shown to hooks when all of them have come together
    owners = _Owners()  # memory that something else holds: no `.grad` may share it

    def send(key: Any, gradient: Any) -> None:
        if wanted is not None and key in wanted:
            wanted[key] = gradient if wanted[key] is None else wanted[key] + gradient
        if isinstance(key, Variable):
            if wanted is None and key._leaf_hooks:
                met[key] = gradient if key not in met else met[key] + gradient
            elif wanted is None:
                _accumulate(key, gradient, owners, create_graph)
            return
        node, index = key
        if needed is not None and node not in needed:
            return
        if node not in pending:
            pending[node] = [None] * len(node.outputs)
            heapq.heappush(heap, (-node.number, node))
        previous = pending[node][index]
        pending[node][index] = gradient if previous is None else previous + gradient

    previous_mode, state.enabled = state.enabled, create_graph
    try:
        for tensor, gradient in zip(tensors, gradients, strict=True):
            if not tensor.requires_grad:
                raise GraphError("backward: this tensor does not require a gradient and has no graph behind it")
            seed = _seed(tensor, gradient)
            owners.add(seed.array)
            send(_key(tensor), seed)
        while heap:
            node = heapq.heappop(heap)[1]
            grad_outs = pending.pop(node)
            for index, hooks in (node.hooks or {}).items():
                grad_outs[index] = _shown_to(hooks, grad_outs[index])
            if wanted is None:
                for index, reference in node.retained.items():
                    tensor = reference()
                    if tensor is not None and grad_outs[index] is not None:
                        _accumulate(tensor, grad_outs[index], owners, create_graph)
            for array in node.saved_arrays:
                owners.add(array)
            for key, gradient in _run(node, grad_outs):
                send(key, gradient)
            if not retain_graph:
                node.release()
        for leaf, gradient in met.items():
            owners.add(gradient.array)  # a hook may have kept it
            _accumulate(leaf, _shown_to(leaf._leaf_hooks, gradient), owners, create_graph)
    finally:
        state.enabled = previous_mode


def _shown_to(hooks: HookTable | None, gradient: Any) -> Any:
    """The gradient after the hooks of its tensor, which may replace it."""
    if gradient is None or hooks is None:
        return gradient
    shape, dtype = gradient.array.shape, gradient.array.dtype
    for hook in list(hooks.values()):
        changed: Any = hook(gradient)
        if changed is None:
            continue
        if not isinstance(changed, Variable):
            raise DTypeError(f"register_hook: a hook must return a tensor or None, returned {type(changed).__name__}")
        if changed.array.shape != shape or changed.array.dtype != dtype:
            raise ShapeError(
                f"register_hook: a hook must return a gradient of shape {shape} and dtype {dtype}, returned "
                f"{changed.array.shape} {changed.array.dtype}"
            )
        gradient = changed
    return gradient


def _leading(tensors: Sequence[Variable], wanted: dict[Any, Any]) -> set[Node]:
    """The nodes on a way from `tensors` to something wanted: only they have to run, and only they are freed."""
    found = {tensor.node for tensor in tensors if tensor.node is not None}
    waiting = list(found)
    while waiting:
        inputs = {edge[0] for edge in waiting.pop().edges if isinstance(edge, tuple)} - found
        found |= inputs
        waiting.extend(inputs)
    leading: set[Node] = set()
    for node in sorted(found, key=lambda node: node.number):
        # Where a freed node led to is not known any more: let it run, and say so.
        if node.freed or any(e in wanted or (isinstance(e, tuple) and e[0] in leading) for e in node.edges):
            leading.add(node)
    return leading


def _run(node: Node, grad_outs: list[Any]) -> list[tuple[Any, Any]]:
    """Run one node's backward; returns (where it goes, gradient) for every input that wants one."""
    node.check_not_freed()
    if node.materialize_grads:
        for index, (shape, dtype) in enumerate(node.outputs):
            if grad_outs[index] is None:
                grad_outs[index] = wrap(np.zeros(shape, dtype))
    results = node.function.backward(node, *grad_outs)
    results = results if isinstance(results, tuple) else (results,)
    if len(results) != len(node.edges):
        raise GraphError(
            f"{node.name}.backward: must return one gradient (or None) for each of forward's {len(node.edges)} "
            f"arguments, returned {len(results)}"
        )
    sent = []
    for position, (edge, gradient) in enumerate(zip(node.edges, results, strict=True)):
        if edge is None or gradient is None:
            continue
        if not isinstance(gradient, Variable):
            raise DTypeError(f"{node.name}.backward: gradients must be tensors, got {type(gradient).__name__}")
        shape, dtype = (edge.array.shape, edge.array.dtype) if isinstance(edge, Variable) else edge[0].outputs[edge[1]]
        if gradient.array.shape != shape or gradient.array.dtype != dtype:
            raise ShapeError(
                f"{node.name}.backward: the gradient of argument {position} must have its shape and dtype, "
                f"{shape} {dtype}, got {gradient.array.shape} {gradient.array.dtype}"
            )
        sent.append((edge, gradient))
    return sent


def _seed(tensor: Variable, gradient: Any) -> Any:
    """The gradient that the sweep starts with, checked."""
    if gradient is None:
        if tensor.array.size != 1:
            raise GraphError(
                f"backward: a tensor of shape {tensor.array.shape} needs the argument `gradient`, of the same "
                "shape; only for a single element it may be left out. Did you mean loss.mean().backward()?"
            )
        return wrap(np.ones_like(tensor.array))
    if not isinstance(gradient, Variable):
        raise DTypeError(f"backward: gradient must be a tensor, got {type(gradient).__name__}")
    if gradient.array.shape != tensor.array.shape:
        raise ShapeError(
            f"backward: gradient must have the tensor's shape {tensor.array.shape}, got {gradient.array.shape}"
        )
    if gradient.array.dtype != tensor.array.dtype:
        raise DTypeError(
            f"backward: gradient must have the tensor's dtype {tensor.array.dtype}, got {gradient.array.dtype}"
        )
    return gradient


class _Owners:
    """The arrays that own some memory, of those still alive: an id alone may come again in another array."""

    def __init__(self) -> None:
        self._by_id: dict[int, weakref.ref[np.ndarray]] = {}

    def add(self, array: np.ndarray) -> None:
        owner = _owner(array)
        self._by_id[id(owner)] = weakref.ref(owner)

    def __contains__(self, array: np.ndarray) -> bool:
        owner = _owner(array)
        reference = self._by_id.get(id(owner))
        return reference is not None and reference() is owner


def _owner(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory behind an array, the same one for all of its views."""
    while isinstance(array.base, (np.ndarray, Exposure, DeviceArray)):
        array = array.base.array if isinstance(array.base, Exposure) else array.base
    return array


def _accumulate(tensor: Variable, gradient: Any, owners: _Owners, create_graph: bool) -> None:
    """Add to `.grad`, where possible in place; a first gradient is kept without a copy.

    Not so where something else holds the memory: a seed, a saved tensor, or a gradient that this sweep still needs.
    """
    if create_graph:
        tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
    elif tensor.grad is None:
        shared = gradient.array in owners or not gradient.array.flags.writeable
        tensor.grad = wrap(gradient.array.copy(order="K") if shared else gradient.array)
        owners.add(gradient.array)
    elif tensor.grad.requires_grad or not tensor.grad.array.flags.writeable or tensor.grad.array in owners:
        tensor.grad = tensor.grad + gradient
    else:
        tensor.grad.add_(gradient)

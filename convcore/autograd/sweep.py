"""The backward sweep: from the outputs to the leaves, every node once, after everything that depends on it.

Why an order is needed at all: a tensor used twice receives two gradients, and its own node may only run when both
have been added up. Running a node as soon as its first gradient arrives would walk the paths of the graph one by one,
and a graph of n nodes can have 2**n paths. So nodes run in decreasing order of their number, which is a topological
order: a node is always made after the nodes of its inputs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd.accumulate import accumulate, retain
from convcore.autograd.function import Node
from convcore.autograd.grad_mode import state
from convcore.autograd.handles import HookTable
from convcore.autograd.variable import Variable, wrap
from convcore.errors import DTypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def backward(
    tensors: Sequence[Variable],
    gradients: Sequence[Any],
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the gradients of `tensors`, weighted by `gradients`, to the `.grad` of every leaf that requires one."""
    _Sweep(tensors, retain_graph, create_graph, wanted=None).run(tensors, gradients)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`, returned and not stored in `.grad`.

    Hooks of the inputs, and of all tensors on the way to them, are called as in `backward`, and what `retain_grad`
    asked for on the way is kept. As in torch, the gradient returned for a tensor is the one that its own hooks
    returned, unless another input lies behind that tensor: then hooks change only what goes on to that input.

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
    if not inputs:
        raise GraphError("grad: inputs must name at least one tensor, got none")
    if len(grad_outputs) != len(outputs):
        raise GraphError(
            f"grad: needs one gradient (or None) for each of the {len(outputs)} outputs, got {len(grad_outputs)} "
            "grad_outputs"
        )
    for position, tensor in enumerate(inputs):
        if not tensor.requires_grad:
            raise GraphError(f"grad: inputs[{position}] does not require a gradient")
    wanted: dict[Any, Any] = {_key(tensor): None for tensor in inputs}
    _Sweep(outputs, retain_graph, create_graph, wanted).run(outputs, list(grad_outputs))
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


class _Sweep:
    """One pass down the graph, into the leaves' `.grad` or into `wanted`, and the gradients under way.

    Attributes:
        wanted: of `grad`, the results by key; None where gradients go to the leaves' `.grad`.
        runs: nodes whose backward is to run.
        ends: nodes that something wanted came from, and nothing wanted lies behind: they are met, but do not run.
        unused: all other nodes that can be reached.
        expected: for each leaf, how many more gradients may come.
        leaves: for each leaf that waits for more, the sum of its gradients.
        pending: for each node that waits, the sums of the gradients of its outputs.
        heap: the nodes that wait, the one with the largest number first.
    """

    def __init__(
        self, tensors: Sequence[Variable], retain_graph: bool | None, create_graph: bool, wanted: dict[Any, Any] | None
    ):
        self.retain_graph = create_graph if retain_graph is None else retain_graph
        self.create_graph, self.wanted = create_graph, wanted
        self.runs, self.ends, self.unused = _reachable(tensors), set(), set()
        if wanted is not None:
            found, self.runs = self.runs, _leading(self.runs, wanted)
            self.ends = {key[0] for key in wanted if isinstance(key, tuple)} - self.runs
            self.unused = found - self.runs - self.ends
        self.expected = _uses(tensors, self.runs)
        self.leaves: dict[Variable, Any] = {}
        self.pending: dict[Node, list[Any]] = {}
        self.heap: list[tuple[int, Node]] = []

    def run(self, tensors: Sequence[Variable], gradients: Sequence[Any]) -> None:
        """Send gradients from the tensors down to everything that they were computed from."""
        previous, state.enabled = state.enabled, self.create_graph
        try:
            for tensor, gradient in zip(tensors, gradients, strict=True):
                if not tensor.requires_grad:
                    raise GraphError("backward: this tensor does not require a gradient and has no graph behind it")
                self.send(_key(tensor), _seed(tensor, gradient))
            self.count([_key(tensor) for tensor in tensors])
            while self.heap:
                self.count(self.visit(heapq.heappop(self.heap)[1]))
            for leaf in list(self.leaves):  # what they still expected turned out to be None
                self.finish(leaf)
        finally:
            state.enabled = previous

    def send(self, key: Any, gradient: Any) -> None:
        """Add a gradient to those that have come to the same leaf, or the same output of a node."""
        if isinstance(key, Variable):
            if self.wanted is None or key in self.wanted:
                self.leaves[key] = self.leaves[key] + gradient if key in self.leaves else gradient
            return
        node, index = key
        if node in self.unused:
            return
        if node not in self.pending:
            self.pending[node] = [None] * len(node.outputs)
            heapq.heappush(self.heap, (-node.number, node))
        previous = self.pending[node][index]
        self.pending[node][index] = gradient if previous is None else previous + gradient

    def visit(self, node: Node) -> Sequence[Any]:
        """Show a node's gradients to whoever asked for them, run its backward, and send on what that returns.

        Returns:
            The edges along which nothing more will come.
        """
        gradients = self.pending.pop(node)
        if node not in self.ends:  # as in torch: where more lies behind, hooks change what goes there, not the result
            self.collect(node, gradients)
        if node.hooks is not None:
            for index, hooks in list(node.hooks.items()):
                _show(hooks, gradients, index)
        for index, reference in node.retained.items():
            tensor = reference()
            if tensor is not None and gradients[index] is not None:
                retain(tensor, gradients[index])
        if node in self.ends:
            self.collect(node, gradients)
            return ()
        _make_ready(node, gradients)
        edges = node.edges
        results = node.function.backward(node, *gradients)
        for edge, gradient in zip(edges, _fitting(node, results), strict=True):
            if gradient is not None:
                self.send(edge, gradient)
        if not self.retain_graph:
            node.release()
        return edges

    def collect(self, node: Node, gradients: list[Any]) -> None:
        """Note the gradients that are wanted of a node's outputs."""
        if self.wanted is not None:
            for index, gradient in enumerate(gradients):
                if (node, index) in self.wanted:
                    self.wanted[node, index] = gradient

    def count(self, edges: Sequence[Any]) -> None:
        """Note that nothing more comes along these edges, and finish the leaves that waited for this only."""
        for edge in edges:
            if isinstance(edge, Variable):
                left = self.expected[edge] = self.expected.get(edge, 1) - 1
                if left <= 0 and edge in self.leaves:
                    self.finish(edge)

    def finish(self, leaf: Variable) -> None:
        """Show a leaf's gradient to the leaf's hooks, and keep it."""
        gradient = [self.leaves.pop(leaf)]
        _show(leaf._leaf_hooks, gradient, 0)
        if self.wanted is None:
            accumulate(leaf, gradient, self.under_way(), self.create_graph)
        else:
            self.wanted[leaf] = gradient[0]

    def under_way(self) -> Iterator[Any]:
        """All gradients that have not arrived yet."""
        yield from self.leaves.values()
        for gradients in self.pending.values():
            yield from [gradient for gradient in gradients if gradient is not None]


def _show(hooks: HookTable | None, gradients: list[Any], index: int) -> None:
    """Call the hooks of a tensor with its gradient, one of a list; what they return takes its place there."""
    if gradients[index] is None or not hooks:
        return
    shape, dtype = gradients[index].array.shape, gradients[index].array.dtype
    for hook in list(hooks.values()):
        changed: Any = hook(gradients[index])
        if changed is None:
            continue
        if not isinstance(changed, Variable):
            raise DTypeError(f"register_hook: a hook must return a tensor or None, returned {type(changed).__name__}")
        if changed.array.shape != shape or changed.array.dtype != dtype:
            raise ShapeError(
                f"register_hook: a hook must return a gradient of shape {shape} and dtype {dtype}, returned "
                f"{changed.array.shape} {changed.array.dtype}"
            )
        gradients[index] = changed


def _reachable(tensors: Sequence[Variable]) -> set[Node]:
    """The nodes that the tensors were computed by, and those behind them."""
    found = {tensor.node for tensor in tensors if tensor.node is not None}
    waiting = list(found)
    while waiting:
        for edge in waiting.pop().edges:
            if isinstance(edge, tuple) and edge[0] not in found:
                found.add(edge[0])
                waiting.append(edge[0])
    return found


def _uses(tensors: Sequence[Variable], nodes: set[Node]) -> dict[Variable, int]:
    """For each leaf how many gradients may come to it from the nodes, and for the tensors themselves.

    Where a freed node led to is not known. To run it is an error; until then no leaf is to look complete.
    """
    uses: dict[Variable, int] = {}
    unknown = 0
    for tensor in tensors:
        if tensor.node is None:
            uses[tensor] = uses.get(tensor, 0) + 1
    for node in nodes:
        unknown += node.freed
        for edge in node.edges:
            if isinstance(edge, Variable):
                uses[edge] = uses.get(edge, 0) + 1
    return {leaf: count + unknown for leaf, count in uses.items()} if unknown else uses


def _leading(found: set[Node], wanted: dict[Any, Any]) -> set[Node]:
    """The nodes that something wanted lies behind: only they have to run, and only they are freed."""
    leading: set[Node] = set()
    for node in sorted(found, key=lambda node: node.number):
        if node.freed:
            # Where it led to is not known any more. If there is anything to be looked for, let it run, and say so.
            leads = any(isinstance(key, Variable) or key[0].number < node.number for key in wanted)
        else:
            leads = any(edge in wanted or (isinstance(edge, tuple) and edge[0] in leading) for edge in node.edges)
        if leads:
            leading.add(node)
    return leading


def _make_ready(node: Node, grad_outs: list[Any]) -> None:
    """Refuse a node that was freed, and fill in gradients that its backward expects."""
    node.check_not_freed()
    if node.materialize_grads:
        for index, (shape, dtype) in enumerate(node.outputs):
            if grad_outs[index] is None:
                grad_outs[index] = wrap(np.zeros(shape, dtype))


def _fitting(node: Node, results: Any) -> list[Any]:
    """For each edge of a node the gradient that its backward returned, checked to fit, or None."""
    results = results if isinstance(results, tuple) else (results,)
    if len(results) != len(node.edges):
        raise GraphError(
            f"{node.name}.backward: must return one gradient (or None) for each of forward's {len(node.edges)} "
            f"arguments, returned {len(results)}"
        )
    sent: list[Any] = [None] * len(results)
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
        sent[position] = gradient
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

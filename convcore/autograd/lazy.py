"""Deferred tensors: results that are not computed before somebody looks at them.

Why. Batch norm, ReLU and max pooling stand one after the other in most networks, and each moves a whole image through
memory to do next to nothing with it. A kernel that does all three moves it once. But the user calls three functions,
and may look at what stands between them. So batch norm returns a tensor that knows its shape, its dtype and how to
compute itself, but has no numbers yet. A ReLU of it is another such tensor; a pooling runs the one kernel for all
three. Whoever asks a deferred tensor for its numbers or its place in the graph makes it compute them ("settle"), and it
is an ordinary tensor from then on. Of an ordinary tensor nothing of this costs time: `Variable.__getattr__`, which
Python calls for attributes that are not set, is what settles.

What a deferral may not change:
- Values and gradients. They depend on the call alone: recording or not, statistics, coefficients are those of the call.
- Time. Memory that a deferred tensor is to be computed from must not change before. Its inputs keep weak references to
  it in their `Memory` (`convcore.engine.memory_watch`), and everything that writes through tensors settles these first
  (`Variable.before_write`). Memory that NumPy code may write to is *exposed*: nothing is deferred that depends on it.
- The graph. A fused node leads past the deferred tensors on its way. If one of these settles after all, as when
  somebody wants its gradient, the node is led through it ("rejoin"): it then ends there, and goes on from there by that
  tensor's own node. Numbers of nodes are drawn at the call, so they still are a topological order.

A deferred tensor is dropped unseen if nobody asks; nothing that the user notices may depend on its being computed. So
checks, errors and the update of running statistics happen in the call.

This module names no operation. `convcore.ops.core.fusion` says which operations can be fused. Each kind of lazy tensor
is a subclass of `Deferred` beside its operation, which knows what it is computed from.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd.grad_mode import set_grad_enabled
from convcore.engine import dispatch

if TYPE_CHECKING:
    from convcore.autograd.function import Node
    from convcore.autograd.variable import Variable


class _State(threading.local):
    fusion = True


_state = _State()


@contextlib.contextmanager
def no_fusion() -> Iterator[None]:
    """Compute every operation when it is called, one by one: to see what fusing gains, or each step's own node."""
    previous, _state.fusion = _state.fusion, False
    try:
        yield
    finally:
        _state.fusion = previous


def fuses() -> bool:
    """Whether results may wait to be computed together with others: not within `no_fusion`."""
    return _state.fusion


def may_defer(tensor: Variable) -> bool:
    """Whether a result computed from this tensor may wait."""
    if dispatch.in_use and tensor.deferred is None and not isinstance(tensor.array, np.ndarray):
        return False  # kernels on a GPU are queued anyway, and nobody waits for them
    memory = tensor.version.memory
    return _state.fusion and (memory is None or not memory.exposures)


class Inputs:
    """What a deferred tensor, and all that are fused with it one after the other, are to be computed from.

    They share it, so that the first of them registers with the memory and the others need not.

    Attributes:
        lock: held by who computes one of them.
        dependants: the deferred tensors that are to be computed from it.
    """

    __slots__ = ("__weakref__", "dependants", "lock")

    def __init__(self, *tensors: Variable | None):
        self.lock = threading.RLock()
        self.dependants: set[weakref.ref[Deferred]] = set()
        for tensor in tensors:
            if tensor is not None:
                registered = tensor.version.watched().dependants
                registered.add(weakref.ref(self, registered.discard))

    def settle_dependants(self) -> None:
        """Compute everything that waits to be computed from these inputs."""
        for reference in list(self.dependants):
            deferred = reference()
            if deferred is not None:
                deferred.settle()


def _nobody() -> None:
    """A reference to a tensor that does not exist any more."""


class Deferred:
    """What a deferred tensor knows of itself, until it has settled.

    Attributes:
        inputs: what it is to be computed from; a subclass of `Inputs` says what these are.
        tensor: a reference to it; the other direction is the tensor's `deferred`.
        parent: the deferred tensor that this one continues, if that one can still be seen.
        depth: how many operations lie between the fused node's input and this tensor's value.
        recorded: whether it is to be in the graph.
        number: of its future node.
    """

    __slots__ = (
        "__weakref__", "_bypassers", "_node", "depth", "inputs", "number", "parent", "recorded", "tensor",
    )  # fmt: skip

    def __init__(self, inputs: Any, parent: Deferred | None, depth: int, recorded: bool):
        self.inputs = inputs
        self.tensor: Any = _nobody
        self.parent = parent
        self.depth = depth
        self.recorded = recorded
        self.number = 0
        self._node: Any = _nobody
        self._bypassers: list[weakref.ref[Node]] = []
        inputs.dependants.add(weakref.ref(self, inputs.dependants.discard))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array that is not computed yet."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype:
        """Of the array that is not computed yet."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def compute(self) -> Any:
        """The tensor's value as an ordinary tensor, recorded if the grad mode says so."""
        raise NotImplementedError

    def settle(self) -> None:
        """Compute the tensor, once, whoever asks from however many threads."""
        with self.inputs.lock:
            tensor = self.tensor()
            if tensor is None:
                return
            with set_grad_enabled(self.recorded):
                result = self.compute()
            if result.node is not None:
                result.node.number = self.number
                self._node = weakref.ref(result.node)
                for reference in self._bypassers:
                    self._rejoin(reference())
                self._bypassers.clear()
                if self.parent is not None:
                    self.parent.bypassed_by(result.node)
            tensor.version, tensor.output_index, tensor.node = result.version, result.output_index, result.node
            tensor.array = result.array
            tensor.deferred = None
            self.tensor = _nobody

    def become(self, other: Deferred) -> bool:
        """Let the tensor be what `other` computes from now on, and nobody see this value; False if it has settled."""
        tensor = self.tensor()
        if tensor is None:
            return False
        tensor.deferred, other.tensor = other, self.tensor
        self.tensor = _nobody
        return True

    def bypassed_by(self, node: Node | None) -> None:
        """Note that a recorded node leads past this tensor and its parents; where they have nodes it must not."""
        if node is None:
            return
        deferred: Deferred | None = self
        while deferred is not None:
            deferred._bypassers.append(weakref.ref(node))
            deferred._rejoin(node)
            deferred = deferred.parent

    def _rejoin(self, node: Node | None) -> None:
        """Lead a node that was computed past this tensor through it, if it has one and no later tensor has."""
        own = self._node()
        if node is not None and own is not None and not node.freed and node.enters_at < self.depth:
            node.enters_at = self.depth
            node.edges = ((own, 0), *[None] * (len(node.edges) - 1))
            node.needs_input_grad = (True, *[False] * (len(node.edges) - 1))

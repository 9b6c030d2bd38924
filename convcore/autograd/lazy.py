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
  it in their `Memory`, and everything that writes through tensors settles these first (`Variable.before_write`).
  Memory that NumPy code may write to is *exposed*: it gets no dependants while it is, and settles those that it has
  when it becomes so. It is exposed as long as an array from `numpy()` lives, and for ever after `from_numpy`.
  `tensor.array` is the engine's own and exposes nothing: who writes to it calls `before_write` and `mark_changed`.
- The graph. A fused node leads past the deferred tensors on its way. If one of these settles after all, as when
  somebody wants its gradient, the node is led through it ("rejoin"): it then ends there, and goes on from there by that
  tensor's own node. Numbers of nodes are drawn at the call, so they still are a topological order.

A deferred tensor is dropped unseen if nobody asks; nothing that the user notices may depend on its being computed. So
checks, errors and the update of running statistics belong into the call.

What a kind of deferral is about (its inputs, what it can be fused with) is a subclass of `Deferred`, beside its op.
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


_FOR_EVER = object()


class Memory:
    """Who must hear of changes of one piece of memory. It exists only where somebody must.

    Attributes:
        changes: how often it was changed, or may have been, since this object exists.
        dependants: inputs of deferred tensors, of which it is one.
        exposures: references to what lets NumPy code write to it, or `_FOR_EVER`; empty if nothing does.
        derived: results computed from it and kept until it changes (`convcore.ops.core.weight_cache`).
    """

    __slots__ = ("__weakref__", "changes", "dependants", "derived", "exposures")

    def __init__(self) -> None:
        self.changes = 0
        self.dependants: set[weakref.ref[Inputs]] = set()
        self.exposures: set[Any] = set()
        self.derived: dict[Any, Any] = {}

    def settle_dependants(self) -> None:
        """Compute everything that waits to be computed from this memory."""
        for reference in list(self.dependants):
            inputs = reference()
            if inputs is not None:
                inputs.settle_dependants()

    def expose(self, array: np.ndarray) -> np.ndarray:
        """The same memory as an array for NumPy code; until it and all views of it are gone, the memory is exposed."""
        if _FOR_EVER in self.exposures:
            return array
        result = np.asarray(Exposure(self, array))
        self._begin_exposure()
        return result

    def expose_for_ever(self) -> None:
        """From now on anybody may write to the memory at any time."""
        self.exposures.add(_FOR_EVER)
        self._begin_exposure()

    def _begin_exposure(self) -> None:
        self.settle_dependants()
        self.changes += 1
        self.derived.clear()


class Exposure:
    """The base object of an array that was handed out: NumPy keeps it alive as long as any view of the array."""

    __slots__ = ("__array_interface__", "__weakref__", "array")

    def __init__(self, memory: Memory, array: np.ndarray):
        self.array = array
        self.__array_interface__ = array.__array_interface__
        # A callback of C code: Python code could be stopped by Ctrl-C, which would be lost there.
        memory.exposures.add(weakref.ref(self, memory.exposures.discard))


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

    def batch_norm(self, norm: Any) -> Any:
        """The normalised tensor, fused; None if it cannot be."""
        return None

    def add(self, other: Any) -> Any:
        """The sum with another tensor, fused; None if it cannot be."""
        return None

    def add_in_place(self, other: Any) -> bool:
        """Make the tensor itself that of `add`; False if it cannot be."""
        return False

    def activate(self, kernels: Any, settings: tuple[float, ...]) -> Any:
        """The tensor of a function of each element, given by its kernels, fused; None if it cannot be."""
        return None

    def activate_in_place(self, kernels: Any, settings: tuple[float, ...]) -> bool:
        """Make the tensor itself that of `activate`; False if it cannot be."""
        return False

    def max_pool2d(self, geometry: Any) -> Any:
        """The pooled tensor, fused; None if it cannot be."""
        return None

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

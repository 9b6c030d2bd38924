"""An array with a place in the graph: what autograd needs to know of a tensor.

`convcore.tensor.Tensor` adds the operators and methods. The split lets the operations (`convcore.ops`) stand between
the two: they need the graph, and the tensor's methods need them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.absent import Explanation
from convcore.autograd.grad_mode import state
from convcore.autograd.handles import HookTable, RemovableHandle
from convcore.autograd.lazy import Deferred
from convcore.engine import capture
from convcore.engine.dispatch import ARRAYS
from convcore.engine.memory_watch import Memory
from convcore.errors import AbsentError, DTypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from convcore.autograd.function import Node
    from convcore.tensor import Tensor


class Version:
    """Counts the in-place changes of one piece of memory. A tensor, its views and its detach()ed twins share one.

    Attributes:
        count: in-place changes so far.
        viewers: references to what the tensors alive hold that show the memory through view operations (slice,
            reshape, ..), the first included.
        memory: who must hear of changes, if anybody must.
    """

    __slots__ = ("count", "memory", "viewers")

    def __init__(self) -> None:
        self.count = 0
        self.viewers: set[weakref.ref[_Viewer]] | None = None
        self.memory: Memory | None = None

    def watched(self) -> Memory:
        """The object that somebody who must hear of changes registers with."""
        if self.memory is None:
            self.memory = Memory()
        return self.memory


class _Viewer:
    """Held by one tensor for its lifetime: counts it as a viewer of its memory."""

    __slots__ = ("__weakref__",)

    def __init__(self, version: Version):
        # A callback of C code: Python code could be stopped by Ctrl-C, which would be lost there.
        if version.viewers is None:
            version.viewers = set()
        version.viewers.add(weakref.ref(self, version.viewers.discard))


class Variable:
    """A NumPy array, whether it wants a gradient, and the node of the graph that made it.

    Attributes:
        array: the numbers, a NumPy array of any strides, or an array on a GPU. Who writes to it asks
            `before_write` for it and calls `mark_changed` afterwards; NumPy code of the user gets `numpy()` instead.
        node: the graph node whose output this is; None for a leaf (made by the user).
        version: counts in-place changes of the memory; shared with views of it.
        deferred: how to compute all of these, as long as they are not set; else None.
    """

    __slots__ = (
        "__dict__", "__weakref__", "_grad", "_requires_grad", "_viewer", "array", "deferred", "node", "output_index",
        "version",
    )  # fmt: skip

    _leaf_hooks: HookTable | None = None

    def __init__(self, array: np.ndarray, requires_grad: bool = False):
        if not isinstance(array, ARRAYS):
            raise DTypeError(f"Tensor: needs a NumPy array, got {type(array).__name__}; use convcore.tensor(..)")
        self.array = capture.adopted(self, array) if capture.recordings else array
        self.node: Node | None = None
        self._requires_grad = False
        self.output_index = 0
        self.version = Version()
        self._grad: Any = None
        self._viewer: _Viewer | None = None
        self.deferred: Deferred | None = None
        if requires_grad:
            self.requires_grad_()

    def __getattr__(self, name: str) -> Any:
        # Python asks here only for what is not set: the numbers and the place in the graph of a deferred tensor.
        if name in ("array", "node", "output_index", "version"):
            deferred = self.deferred
            if deferred is not None:
                deferred.settle()
            return object.__getattribute__(self, name)
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AbsentError(Explanation(type(self), name))

    @property
    def requires_grad(self) -> bool:
        """Whether `backward` is to compute a gradient for it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return not self._requires_grad if self.deferred is not None else self.node is None

    @property
    def grad_fn(self) -> Node | None:
        """The graph node that made this tensor; None for a leaf."""
        return self.node

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` has summed up so far, of this tensor's shape and dtype; None before that."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Variable):
                raise DTypeError(f"grad: must be a tensor or None, got {type(value).__name__}")
            if value.array.shape != self.array.shape or value.array.dtype != self.array.dtype:
                raise ShapeError(
                    "grad: must have the shape and dtype of its tensor, "
                    f"{self.array.shape} {self.array.dtype}, got {value.array.shape} {value.array.dtype}"
                )
        self._grad = value

    def requires_grad_(self, requires_grad: bool = True):
        """Set `requires_grad` in place and return the tensor; only leaves can stop requiring gradients."""
        if requires_grad and self.array.dtype.kind != "f":
            raise DTypeError(
                f"requires_grad: only float32 and float64 tensors have gradients, this is {self.array.dtype}"
            )
        if not requires_grad and self.node is not None:
            raise GraphError("requires_grad: cannot be switched off on a computed tensor; use detach() instead")
        self._settle_dependants()
        self._requires_grad = bool(requires_grad)
        return self

    def retain_grad(self) -> None:
        """Keep the gradient of this computed tensor in `.grad` (leaves always keep theirs)."""
        if not self.requires_grad:
            raise GraphError("retain_grad: this tensor does not require a gradient, so backward computes none for it")
        if self.node is not None:
            self.node.retained[self.output_index] = weakref.ref(self)

    def register_hook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Have `hook(gradient)` called when backward has computed this tensor's gradient, of a leaf before it is added
        to `.grad`; if it returns a tensor, that takes the gradient's place.

        Returns:
            A handle; `handle.remove()` takes the hook away again.
        """
        if not self.requires_grad:
            raise GraphError("register_hook: this tensor does not require a gradient, so backward computes none for it")
        if self.node is None:
            if self._leaf_hooks is None:
                self._leaf_hooks = HookTable()
            return self._leaf_hooks.add(hook)
        if self.node.hooks is None:
            self.node.hooks = {}
        return self.node.hooks.setdefault(self.output_index, HookTable()).add(hook)

    def detach(self) -> Tensor:
        """The same memory, outside the graph."""
        return self.detach_as(self.array)

    def detach_(self) -> Tensor:
        """Take this tensor out of the graph: from now on it is a leaf that requires no gradient."""
        self._settle_dependants()
        self.set_origin(None, 0)
        result: Any = self
        return result

    def view_of_memory(self, array: np.ndarray) -> Tensor:
        """A tensor for `array`, which lies in this tensor's memory: the result of a view operation."""
        if self._viewer is None:
            self._viewer = _Viewer(self.version)
        result = self.detach_as(array)
        result._viewer = _Viewer(self.version)
        return result

    def detach_as(self, array: np.ndarray) -> Tensor:
        """A tensor outside the graph for an array in this tensor's memory."""
        result = wrap(array)
        result.version = self.version
        return result

    def has_other_views(self) -> bool:
        """Whether a view operation made another tensor on this memory that is still alive."""
        return self._viewer is not None and len(self.version.viewers or ()) > 1

    def before_change(self) -> Tensor:
        """A stand-in with this tensor's present place in the graph, from which its value after a change is computed."""
        result = self.detach_as(self.array)
        result.set_origin(self.node, self.output_index)
        return result

    def set_origin(self, node: Node | None, output_index: int) -> None:
        """Put this tensor into the graph as an output of `node`."""
        self.node, self.output_index = node, output_index
        self._requires_grad = node is not None

    def take_place_of(self, result: Variable) -> None:
        """After an in-place change: this tensor is from now on what `result` is in the graph."""
        if result.node is not None:
            before = self.node
            retained = before is not None and before.retained.pop(self.output_index, None) is not None
            self.set_origin(result.node, result.output_index)
            if retained:
                self.retain_grad()

    def replace_array(self, value: Variable) -> None:
        """Let this tensor show the memory of another. What was saved of it before counts as changed."""
        if not isinstance(value, Variable):
            raise DTypeError(f"data: must be a tensor, got {type(value).__name__}")
        if self.requires_grad and value.array.dtype.kind != "f":
            raise DTypeError(f"data: a tensor that requires a gradient holds floats, got {value.array.dtype}")
        self._settle_dependants()
        count = self.version.count
        self.array = value.array
        self.version = Version()
        self.version.count = count + 1
        self.version.memory = value.version.watched()
        self.version.memory.changes += 1
        self._viewer = None

    def begin_in_place(self, operation: str) -> None:
        """Refuse an in-place change that would make recorded gradients wrong."""
        if state.enabled and self.requires_grad and self.node is None:
            raise GraphError(
                f"{operation}: a leaf tensor that requires a gradient cannot be changed in place while operations are "
                "recorded; do it inside `with convcore.no_grad():`"
            )
        if not self.array.flags.writeable:
            raise GraphError(
                f"{operation}: this tensor's memory is read-only (an expanded or foreign array); clone() it first"
            )
        self._settle_dependants()

    def _settle_dependants(self) -> None:
        memory = self.version.memory
        if memory is not None:
            memory.settle_dependants()

    def before_write(self) -> np.ndarray:
        """The array, to write to it: deferred tensors that depend on its present numbers are computed first.

        The change counts from now on, whatever may stop it, so that backward refuses to use what it saved before.
        """
        self._settle_dependants()
        self.version.count += 1
        self.mark_changed()
        return self.array

    def mark_changed(self) -> None:
        """Note that what `before_write` began has ended: nothing that was computed meanwhile may be kept."""
        memory = self.version.memory
        if memory is not None:
            memory.changes += 1

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor with respect to every leaf to the leaf's `.grad`.

        Args:
            gradient: the gradient of some scalar with respect to this tensor, of its shape; may be left out when the
                tensor has a single element, and is then 1.
            retain_graph: keep what was saved, so that backward can run through the same graph again; by default only if
                `create_graph`.
            create_graph: record the backward pass itself, for gradients of gradients.
        """
        from convcore.autograd.sweep import backward

        backward([self], [gradient], retain_graph, create_graph)


def is_recorded(*tensors: Variable | None) -> bool:
    """Whether an operation on these tensors, called now, goes into the graph."""
    if state.enabled:
        for tensor in tensors:
            if tensor is not None and tensor.requires_grad:
                return True
    return False


_tensor_class: type = Variable


def set_tensor_class(cls: type) -> None:
    """Called once by `convcore.tensor`: the class of all tensors that operations create."""
    global _tensor_class
    _tensor_class = cls


def wrap(array: np.ndarray) -> Tensor:
    """A tensor around an array that only tensors will hold, outside the graph."""
    result: Any = object.__new__(_tensor_class)
    Variable.__init__(result, array)
    return result


def wrap_deferred(deferred: Deferred) -> Tensor:
    """A tensor that is computed at the first look at it."""
    result: Any = object.__new__(_tensor_class)
    result._requires_grad = deferred.recorded
    result._grad = result._viewer = None
    result.deferred = deferred
    deferred.tensor = weakref.ref(result)
    return result

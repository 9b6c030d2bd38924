"""Function: one differentiable operation, its forward and its backward side by side; and the graph's nodes."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd.grad_mode import no_grad, state
from convcore.autograd.handles import HookTable
from convcore.autograd.variable import Variable, wrap
from convcore.engine import dispatch
from convcore.errors import DTypeError, GraphError, UnsupportedError

if TYPE_CHECKING:
    from convcore.tensor import Tensor

_numbers = itertools.count()


def next_number() -> int:
    """The number of a node that is to be made later, of a call that happens now."""
    return next(_numbers)


class Node:
    """One recorded call of a Function: the `ctx` of its forward and backward, and a vertex of the graph.

    Attributes:
        needs_input_grad: for each argument of `apply`, whether its gradient is wanted.
        number: counts up with every node. A node's inputs exist before it, so their numbers are smaller: sweeping
            nodes from the largest number down is a topological order.
        edges: for each argument where its gradient goes: None, a leaf, or (node, output index). Not the tensors
            themselves: memory that backward does not need is freed as soon as the user lets it go.
    """

    # What most nodes never change stands in the class: setting it in each would be a third of their price.
    enters_at = 0  # past how many deferred tensors backward need not go: see `convcore.autograd.lazy`
    materialize_grads = True
    freed = False
    hooks: dict[int, HookTable] | None = None  # for outputs, what their gradient is shown to: see `register_hook`
    _saved: tuple[Variable | None, ...] = ()
    _versions: Sequence[int] = ()
    _non_differentiable: tuple[Variable, ...] = ()

    def __init__(self, function: type[Function], needs_input_grad: tuple[bool, ...], edges: tuple[Any, ...]):
        self.function = function
        self.needs_input_grad = needs_input_grad
        self.edges = edges
        self.number = next(_numbers)
        self.outputs: list[tuple[tuple[int, ...], Any]] = []  # shape and dtype of each output
        self.retained: dict[int, weakref.ref[Variable]] = {}  # outputs whose gradient retain_grad() asked for

    @property
    def name(self) -> str:
        """The name of the Function, as messages have it."""
        return self.function.__name__

    def __repr__(self) -> str:
        return f"<{self.name}Backward>"

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward. In-place changes of them are noticed there."""
        self._saved = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Declare outputs (indices, for example) that have no gradient."""
        self._non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward receives zeros (the default) or None for outputs that nothing depends on."""
        self.materialize_grads = value

    def attach(self, outputs: tuple[Any, ...]) -> None:
        """Make this node the origin of its outputs, and note how often saved tensors had been changed by now."""
        for index, tensor in enumerate(outputs):
            if not isinstance(tensor, Variable):
                raise DTypeError(f"{self.name}.forward: must return tensors, returned {type(tensor).__name__}")
            self.outputs.append((tensor.array.shape, tensor.array.dtype))
            if tensor.array.dtype.kind == "f" and not any(tensor is t for t in self._non_differentiable):
                tensor.set_origin(self, index)
        # A saved output would hold its node, which holds what it saved: a circle that keeps the memory until Python's
        # collector passes by. So of an output only the array is kept, and `saved_tensors` puts the node back.
        self._saved = tuple(_Output(t) if t is not None and t.node is self else t for t in self._saved)
        self._versions = [0 if t is None else t.version.count for t in self._saved]

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What forward saved, checked to be unchanged."""
        self.check_not_freed()
        for tensor, count in zip(self._saved, self._versions, strict=True):
            if tensor is not None and tensor.version.count != count:
                raise GraphError(
                    f"backward: a tensor that {self.name} saved for its gradient, of shape {tensor.array.shape}, was "
                    f"changed in place afterwards ({tensor.version.count - count} times); change a clone() instead"
                )
        return tuple(t.restore(self) if isinstance(t, _Output) else t for t in self._saved)

    @property
    def saved_arrays(self) -> list[Any]:
        """The memory of what forward saved."""
        return [t.array for t in self._saved if t is not None]

    def check_not_freed(self) -> None:
        """Raises GraphError if what backward needs was given up after an earlier backward."""
        if self.freed:
            raise GraphError(
                f"backward: the graph through {self.name} was used before and freed; a second backward needs "
                "retain_graph=True in the first one, or a new forward"
            )

    def release(self) -> None:
        """Drop what was saved, once backward has used it."""
        self._saved = self._versions = self.edges = ()
        self.freed = True


class _Unrecorded(Node):
    """The ctx of a call that is not recorded: it is no part of a graph and keeps nothing."""

    def __init__(self, arguments: int):
        self.needs_input_grad = (False,) * arguments

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        pass


class _Output(Variable):
    """A saved output of a node without the reference back to the node."""

    def __init__(self, tensor: Variable):
        super().__init__(tensor.array)
        self.version = tensor.version
        self.output_index = tensor.output_index

    def restore(self, node: Node) -> Any:
        tensor = wrap(self.array)
        tensor.version = self.version
        tensor.set_origin(node, self.output_index)
        return tensor


class Function:
    """Base of every differentiable operation; the conventions are torch's.

    A subclass has two static methods: `forward(ctx, *args)`, which gets tensors and other arguments and returns one
    tensor or a tuple, and `backward(ctx, *grad_outs)`, which returns one gradient (or None) for each.
    Call it with `apply`. Nothing is recorded inside forward; inside backward only for `create_graph=True`.
    """

    @staticmethod
    def forward(ctx: Node, *args: Any) -> Any:
        """The result for `apply`'s arguments; keeps in ctx what `backward` needs."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Node, *grad_outs: Any) -> Any:
        """A gradient, or None, for each argument of `forward`, from one gradient for each result."""
        raise NotImplementedError

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward and, where a gradient may be wanted later, put a node into the graph.

        Where arguments lie on a GPU, the function's twin for that device takes its place.
        """
        if dispatch.in_use:
            cls, args = dispatch.chosen(cls, args)
        if not state.enabled:
            return cls.forward(_Unrecorded(len(args)), *args)
        needs = tuple([isinstance(a, Variable) and a.requires_grad for a in args])
        is_recorded = True in needs
        if is_recorded:
            node = Node(cls, needs, tuple([_edge(a) if n else None for a, n in zip(args, needs, strict=True)]))
        else:
            node = _Unrecorded(len(args))
        state.enabled = False
        try:
            results = cls.forward(node, *args)
        finally:
            state.enabled = True
        if not is_recorded:
            return results
        outputs = results if isinstance(results, tuple) else (results,)
        if any(output is a for output in outputs for a in args):
            raise GraphError(
                f"{cls.__name__}.forward: returned one of its arguments; return a copy or a detach()ed view"
            )
        node.attach(outputs)
        return results


def _edge(tensor: Variable) -> Any:
    return tensor if tensor.node is None else (tensor.node, tensor.output_index)


class _NotTwiceDifferentiable(Function):
    """Stands between a gradient that was computed without recording and what it depends on; refuses to go further."""

    @staticmethod
    def forward(ctx, gradient, name, *depends_on):  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.function_name = name
        return wrap(gradient.array)

    @staticmethod
    def backward(ctx, grad_out):  # pyright: ignore[reportIncompatibleMethodOverride]
        raise UnsupportedError(f"backward: {ctx.function_name} has no second derivative here")


dispatch.mixes_devices(_NotTwiceDifferentiable)  # what stands in for others has no numbers, wherever they lie


def _stand_in(edge: Any) -> Variable:
    """A tensor without numbers in the place of the graph that an edge leads to."""
    if isinstance(edge, Variable):
        return edge
    tensor = wrap(np.empty(0))
    tensor.set_origin(*edge)
    return tensor


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a backward that computes on arrays: a gradient of its result is refused, never silently zero."""

    @functools.wraps(backward)
    def wrapped(ctx: Node, *grad_outs: Any) -> Any:
        with no_grad():
            results = backward(ctx, *grad_outs)
        if not state.enabled:
            return results
        depends_on = [*grad_outs, *[_stand_in(edge) for edge in ctx.edges if edge is not None]]

        def guard(result):
            return None if result is None else _NotTwiceDifferentiable.apply(result, ctx.name, *depends_on)

        return tuple(guard(r) for r in results) if isinstance(results, tuple) else guard(results)

    return wrapped

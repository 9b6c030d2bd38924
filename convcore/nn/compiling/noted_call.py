"""One captured call of a model: the list that `convcore.compile` keeps, or why it cannot keep one."""

from __future__ import annotations

import contextlib
import gc
import pickle
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from convcore import memory
from convcore.autograd import Variable, wrap
from convcore.engine import capture
from convcore.engine.capture import Recording
from convcore.engine.traced import Traced, plain
from convcore.nn.base.module import Module
from convcore.nn.compiling.model_state import ModelState
from convcore.ops.core.layout import empty_like
from convcore.random import active
from convcore.tensor import Tensor


class NotedCall:
    """One call of a model and its captured calls.

    Attributes:
        result: what the model returned.
        objection: why replaying the list would be wrong; None if it is right.
        changes_model: whether the call has changed the model's state.
    """

    def __init__(self, model: Module, state: ModelState, args: tuple[Any, ...]):
        given, own = _tensors(args), [tensor for _, tensor in state.tensors]
        counts, draws = [tensor.version.count for tensor in given], _draws()
        self.recording = Recording([tensor.array for tensor in given], [tensor.array for tensor in own])
        with _traced(self.recording, [*given, *own]), self.recording.made():
            self.result = model(*args)
            leaves: dict[int, Any] = {}  # each once
            numbers = _mapped(self.result, lambda leaf: leaves.setdefault(id(leaf), (len(leaves), leaf))[0])
            self._tree, self._leaves = numbers, [leaf for _, leaf in leaves.values()]
            is_of_tensors = all(isinstance(leaf, Tensor) for leaf in self._leaves)
            arrays = [leaf.array for leaf in self._leaves] if is_of_tensors else []
            self._tokens = [self.recording.token(array) for array in arrays]
            self._places = [self.recording.placed(array) for array in arrays]
        self.objection: str | None = None
        change = state.change()
        self.changes_model = change is not None
        if counts != [tensor.version.count for tensor in given]:
            self.objection = "it changes its input"
        elif draws != _draws():
            self.objection = "it draws random numbers"
        elif change is not None:
            self.objection = f"its forward changes {change}, which a list of calls would not do"
        elif self.recording.objections:
            self.objection = self.recording.objections[0]
        elif not is_of_tensors:
            self.objection = "its result is neither a tensor nor a tuple, list or dictionary of tensors"
        elif not all(token[0] in ("arena", "made") for token in self._tokens):
            self.objection = "its result lies in the memory of an input, a parameter or a buffer"
        elif any(np.may_share_memory(a, b) for i, a in enumerate(self._places) for b in self._places[:i]):
            self.objection = "two of its results share memory"
        elif not all(map(_is_ordinary, self._leaves)):
            self.objection = "its result has what no list of calls gives: a class of its own, attributes, requires_grad"
        elif any(isinstance(holder, Variable) for holder in gc.get_referrers(*self.recording.strangers())):
            self.objection = capture.STRANGER
        elif _are_kept(self.recording, self._leaves):
            self.objection = "tensors that its forward makes are kept outside of it, and a list of calls makes none"

    def difference(self, other: NotedCall) -> str | None:
        """The difference to another call with other input values of the same signature; None if there is none."""
        found = capture.difference(self.recording, other.recording)
        if found is None and (self._tree, self._tokens) != (other._tree, other._tokens):
            return "two calls with inputs of one form have different results"
        return found

    def give_away(self) -> Any:
        """A copy of the result for the user; replays reuse the memory of the original."""
        for tensor in self._leaves:
            tensor.array = _copied(tensor.array)
        result, self.result, self._leaves = self.result, None, []
        return result

    def repeated(self, args: tuple[Any, ...]) -> Any:
        """The result for other input values, copied into new memory."""
        for mine, tensor in zip(self.recording.inputs, _tensors(args), strict=True):
            np.copyto(mine, tensor.array)
        self.recording.replay()
        results = [wrap(_copied(place)) for place in self._places]
        return results[0] if self._tree == 0 else _mapped(self._tree, results.__getitem__)


@contextlib.contextmanager
def _traced(noted: Recording, tensors: list[Any]) -> Iterator[None]:
    """Let tensors report their memory to a recording; afterwards these and all new tensors are ordinary again."""
    before = [tensor.array for tensor in tensors]
    shown = [noted.traced(array) for array in before]
    for tensor, array in zip(tensors, shown, strict=True):
        tensor.array = array
    try:
        yield
    finally:
        for tensor, array, own in zip(tensors, shown, before, strict=True):
            if tensor.array is array:
                tensor.array = own
        for reference in noted.tensors:
            tensor = reference()
            # A tensor whose creation Ctrl-C interrupted has no `deferred` yet, and no one holds it.
            if tensor is not None and getattr(tensor, "deferred", tensor) is None and isinstance(tensor.array, Traced):
                tensor.array = plain(tensor.array)


def _tensors(args: tuple[Any, ...]) -> list[Any]:
    return [value for value in args if isinstance(value, Tensor)]


def _draws() -> tuple[Any, ...]:
    """The states of the global random generators of convcore, Python and NumPy."""
    return active().get_state(), random.getstate(), pickle.dumps(np.random.get_state(legacy=False))


def _are_kept(noted: Recording, results: list[Any]) -> bool:
    """Whether tensors created during a recording are still alive, except the results."""

    def are_alive() -> bool:
        alive = [reference() for reference in noted.tensors]
        return any(tensor is not None and all(tensor is not result for result in results) for tensor in alive)

    if are_alive():
        gc.collect()  # reference cycles are held by no one
        return are_alive()
    return False


def _copied(array: np.ndarray) -> np.ndarray:
    """A copy with the same strides."""
    copy = empty_like(array)
    if copy.strides != array.strides:
        copy = memory.laid_out_like(array)
    np.copyto(copy, array)
    return copy


def _is_ordinary(leaf: Any) -> bool:
    """Whether a part of a result is a tensor with only values: no attributes, subclass or gradient."""
    return type(leaf) is Tensor and not leaf.requires_grad and not leaf.__dict__


def _mapped(tree: Any, function: Callable[[Any], Any]) -> Any:
    """Apply `function` to each leaf of nested tuples, lists and dictionaries. Instances of the user's subclasses are
    leaves: they may hold more than their items."""
    if type(tree) in (dict, OrderedDict):
        return type(tree)((key, _mapped(value, function)) for key, value in tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[_mapped(item, function) for item in tree])
    if type(tree) in (tuple, list):
        return type(tree)([_mapped(item, function) for item in tree])
    return None if tree is None else function(tree)

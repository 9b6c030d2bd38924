"""Compiled models: what an evaluation does is noted, as a list of calls, and then made again.

On one small image a network spends most of its time in Python: finding geometries, algorithms, packed filters, memory.
The calls of kernels and of NumPy that come out of it are the same at each call (`convcore.recording`), so a compiled
model keeps them, for each form of its inputs, and makes them with nothing in between. Results are the very same, bit
for bit. (But where an input shares its memory with an array of NumPy, which may change at any time, the model does not
fuse all that is fused here; the difference is one of rounding.)

What a model does may depend on more than the form of its inputs, and then the list would lie. So it is used only where
nothing speaks against it. The first two calls with inputs of one form are calls of the model itself, and each is noted
as it happens. Nobody may look at numbers meanwhile (`if x.max() > 0`), nothing may be computed where it is not seen,
drawn at random, kept outside the model or changed in it, no hook may want to be called; and both calls must have done
the same. From the third call on the list is used, as long as all that the model consists of is what it was
(`convcore.nn.model_state`).
"""

from __future__ import annotations

import contextlib
import gc
import pickle
import random
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from convcore import recording
from convcore.autograd import Variable, is_grad_enabled, no_grad, wrap
from convcore.autograd.deferred import fuses
from convcore.errors import DTypeError
from convcore.nn.model_state import ModelState, frozen
from convcore.nn.module import Module
from convcore.ops import algorithms
from convcore.ops.layout import empty_like
from convcore.random import active
from convcore.recording import Recording, ShapeChangedError
from convcore.tensor import Tensor
from convcore.traced import Traced, plain

MOST_PLANS = 8  # for the forms of inputs that were seen last


class _Plan:
    """What is known of the model's calls with one form of inputs: noted calls, a list to be used, or an objection."""

    def __init__(self, model: Module):
        self.lock = threading.Lock()
        self._model = model
        self._begin()

    def _begin(self) -> None:
        self.state = ModelState(self._model)
        self.objection = self.state.objection()
        self._trains = self.state.in_training()
        self._is_final = False  # whether the objection, or the list, holds as long as the state does
        self._changes_itself = False  # then the objection holds whatever the state is
        self._noted: _NotedCall | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is a list to be used."""
        return self._is_final and self.objection is None

    @property
    def recording(self) -> Recording | None:
        """The list; None if there is none yet, or can be none."""
        return self._noted.recording if self.is_ready and self._noted is not None else None

    def update(self) -> None:
        """Begin anew if the model is not what it was."""
        if self._changes_itself:
            return
        if not self.state.is_as_it_was() or (not self._is_final and self.state.objection() != self.objection):
            self._begin()

    def call(self, args: tuple[Any, ...]) -> Any:
        """The model's result: by the list if there is one, else by a call of the model, noted where that may help."""
        self.update()
        if self.objection is not None or self._trains:
            return self._model(*args)
        return self._repeat(args) if self.is_ready else self.note(args)

    def _object(self, objection: str) -> None:
        self.objection, self._is_final, self._noted = objection, True, None

    def note(self, args: tuple[Any, ...]) -> Any:
        """Call the model and note what it does."""
        noted = _NotedCall(self._model, self.state, args)
        if noted.objection is not None:
            self._object(noted.objection)
            self._changes_itself = noted.changes_model
        elif self._noted is None:
            self._noted = noted
        else:
            difference = self._noted.difference(noted)
            if difference is not None:
                self._object(difference)
            else:
                self._noted, self._is_final = noted, True
                return noted.give_away()
        return noted.result

    def _repeat(self, args: tuple[Any, ...]) -> Any:
        assert self._noted is not None
        try:
            return self._noted.repeated(args)
        except ShapeChangedError as error:
            self._object(str(error))
        except Exception:  # NumbersChangedError, or what is wrong with these numbers the model says in its own words
            pass
        return self._model(*args)


class _NotedCall:
    """One call of a model, and the list of what it did.

    Attributes:
        result: what the model returned.
        objection: why the list does not tell all; None if it does.
        changes_model: whether the call has changed what the model consists of.
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
            self.objection = recording.STRANGER
        elif _are_kept(self.recording, self._leaves):
            self.objection = "tensors that its forward makes are kept outside of it, and a list of calls makes none"

    def difference(self, other: _NotedCall) -> str | None:
        """What another call did differently, though only the numbers of the inputs may differ; None if nothing."""
        found = recording.difference(self.recording, other.recording)
        if found is None and (self._tree, self._tokens) != (other._tree, other._tokens):
            return "two calls with inputs of one form have different results"
        return found

    def give_away(self) -> Any:
        """The result, which is the user's, in memory of its own: what it lay in is used again."""
        for tensor in self._leaves:
            tensor.array = _copied(tensor.array)
        result, self.result, self._leaves = self.result, None, []
        return result

    def repeated(self, args: tuple[Any, ...]) -> Any:
        """The result for other numbers, in memory of its own."""
        for mine, tensor in zip(self.recording.inputs, _tensors(args), strict=True):
            np.copyto(mine, tensor.array)
        self.recording.replay()
        results = [wrap(_copied(place)) for place in self._places]
        return results[0] if self._tree == 0 else _mapped(self._tree, results.__getitem__)


@contextlib.contextmanager
def _traced(noted: Recording, tensors: list[Any]) -> Iterator[None]:
    """Let the tensors show their memory to a recording; afterwards they, and all that were made, are as ever."""
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
            if tensor is not None and tensor.deferred is None and isinstance(tensor.array, Traced):
                tensor.array = plain(tensor.array)


def _tensors(args: tuple[Any, ...]) -> list[Any]:
    return [value for value in args if isinstance(value, Tensor)]


def _draws() -> tuple[Any, ...]:
    """How far the generators are that all may draw from: convcore's, Python's and NumPy's."""
    return active().get_state(), random.getstate(), pickle.dumps(np.random.get_state(legacy=False))


def _are_kept(noted: Recording, results: list[Any]) -> bool:
    """Whether tensors that were made while a recording was are alive, and no results."""

    def are_alive() -> bool:
        alive = [reference() for reference in noted.tensors]
        return any(tensor is not None and all(tensor is not result for result in results) for tensor in alive)

    if are_alive():
        gc.collect()  # circles of references are no one's
        return are_alive()
    return False


def _copied(array: np.ndarray) -> np.ndarray:
    """A copy with the same strides."""
    copy = empty_like(array)
    if copy.strides != array.strides:
        copy = recording.laid_out_like(array)
    np.copyto(copy, array)
    return copy


def _is_ordinary(leaf: Any) -> bool:
    """Whether a part of a result is a tensor that has nothing but numbers."""
    return type(leaf) is Tensor and not leaf.requires_grad and not leaf.__dict__


def _mapped(tree: Any, function: Callable[[Any], Any]) -> Any:
    """Tuples, lists and dictionaries with `function` of each leaf. Classes of the user's are leaves: they may hold more
    than their items."""
    if type(tree) in (dict, OrderedDict):
        return type(tree)((key, _mapped(value, function)) for key, value in tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[_mapped(item, function) for item in tree])
    if type(tree) in (tuple, list):
        return type(tree)([_mapped(item, function) for item in tree])
    return None if tree is None else function(tree)


class CompiledModule(Module):
    """A model whose evaluation is a list of calls; made by `convcore.compile`."""

    _orig_mod: Module

    def __init__(self, model: Module):
        super().__init__()
        self._orig_mod = model
        self.training = model.training
        self._forget_plans()

    def _forget_plans(self) -> None:
        self.__dict__["_plans"] = OrderedDict()
        self.__dict__["_warned"] = set()
        self.__dict__["_lock"] = threading.RLock()
        _compiled.add(self)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's result."""
        if kwargs or is_grad_enabled() or recording.current() is not None or self._orig_mod.training or not fuses():
            return self._orig_mod(*args, **kwargs)
        plan = self._plan(args)
        if plan is None or not plan.lock.acquire(blocking=False):  # else another thread is using its memory
            return self._orig_mod(*args)
        try:
            return plan.call(args)
        finally:
            plan.lock.release()
            if plan.objection is not None:
                self._warn(plan.objection)

    def _plan(self, args: tuple[Any, ...]) -> _Plan | None:
        """The plan for inputs like these; None if there can be none."""
        key = _form(args)
        if key is None:
            return None
        with self._lock:
            plan = self._plans.get(key)
            if plan is None:
                plan = self._plans[key] = _Plan(self._orig_mod)
                if len(self._plans) > MOST_PLANS:
                    self._plans.popitem(last=False)
            self._plans.move_to_end(key)
        return plan

    def _warn(self, objection: str) -> None:
        if objection not in self._warned:
            self._warned.add(objection)
            warnings.warn(
                f"compile: {type(self._orig_mod).__name__} is evaluated as if it were not compiled: {objection}",
                stacklevel=4,  # whoever called the module
            )

    def steps(self, *args: Any) -> list[str]:
        """The calls that an evaluation of inputs like these consists of: each one's name and the shapes that it gets.

        Calls the model, at most twice, if it has not been called with such inputs. An empty list if it cannot be
        compiled for them.
        """
        plan = self._plan(args)
        if plan is None:
            return []
        with no_grad(), plan.lock:
            for _ in range(2):
                plan.update()
                if not plan.is_ready:
                    plan.call(args)
            noted = plan.recording
        described = []
        for function, given, settings in () if noted is None else noted.steps:
            name, arrays = recording.described(function, given, settings)
            described.append(f"{name} {' '.join(str(array.shape) for array in arrays if array.ndim)}")
        return described

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "_modules" not in self.__dict__ or "_orig_mod" not in self.__dict__["_modules"]:
                raise
            return getattr(self.__dict__["_modules"]["_orig_mod"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._has_of_its_own(name):
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        if self._has_of_its_own(name):
            super().__delattr__(name)
        else:
            delattr(self._orig_mod, name)

    def _has_of_its_own(self, name: str) -> bool:
        """Whether an attribute is this module's; all others are the model's, also where they are set."""
        return name in ("_orig_mod", "training") or hasattr(type(self), name)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_plans", "_warned", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_plans()


_compiled: weakref.WeakSet[CompiledModule] = weakref.WeakSet()


def _form(args: tuple[Any, ...]) -> Any:
    """What tells calls apart that need lists of their own; None for one that can have none."""
    form: list[Any] = [algorithms.requested("auto")]
    arrays: list[np.ndarray] = []
    for value in args:
        if type(value) is Tensor:
            array = value.array
            memory = value.version.memory
            if not isinstance(array, np.ndarray) or value.requires_grad or value.__dict__:
                return None
            if any(np.may_share_memory(array, other) for other in arrays):
                return None
            arrays.append(array)
            # What NumPy may write to is not fused with what follows.
            form.append((array.shape, array.dtype, array.strides, memory is not None and bool(memory.exposures)))
        else:
            setting = frozen(value)
            if setting is None:
                return None
            form.append(setting)
    return tuple(form)


def compile(model: Module) -> CompiledModule:
    """Make a model's evaluation faster on small inputs: its kernels are called with no Python in between.

    The first two calls with inputs of a new form (shape, dtype, strides) are calls of the model, of which is noted what
    they do; calls after them repeat that, and give the same results, bit for bit. That saves what a small network
    mostly does on one image: MobileNetV3-small takes a third of the time. It holds in evaluation (`model.eval()`)
    without gradients (`no_grad`, `inference_mode`); elsewhere the model is called as it is. So it is where it cannot be
    compiled, with a warning that says why: where forward looks at numbers, draws some, computes with NumPy what cannot
    be noted, changes its inputs, attributes or buffers, or keeps a tensor.

    What the model consists of may change at any time: parameters, buffers, modules and other attributes, whatever is in
    lists, dictionaries, objects and their classes, and the variables that its own functions name, also those of other
    Python files (`config.scale`). Then it is called and noted again. What is not noticed is other code that changes its
    behaviour from call to call, such as the contents of a file, or an installed package that is patched. Once compiled,
    forward is not called any more, so what it prints or counts elsewhere is missing. Each compiled form of inputs holds
    the memory of its intermediate results and of its filters as the kernels want them; `clear_caches` frees it.

    Args:
        model: any module. Its inputs may be tensors, numbers, texts and tuples of these. With other inputs, keyword
            arguments, or inputs that share memory, it is called as it is.

    Returns:
        A module that takes the model's place. It shares parameters and buffers with the model, which is its only
        submodule, `_orig_mod`, and has the model's attributes.

    Raises:
        DTypeError: `model` is no module; a function goes into the `forward` of one.

    As `torch.compile`, which translates the model's Python; here the kernels are compiled already.
    """
    if not isinstance(model, Module):
        raise DTypeError(
            f"compile: model must be a Module, got {type(model).__name__}; write a Module whose forward calls it"
        )
    return model if isinstance(model, CompiledModule) else CompiledModule(model)


def clear_plans() -> None:
    """Forget every list of every compiled model."""
    for model in list(_compiled):
        model._plans.clear()

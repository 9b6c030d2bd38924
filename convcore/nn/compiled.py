"""Compiled models: what an evaluation does is noted once, as a list of kernels' calls, and then made again.

On one small image a network spends most of its time in Python: finding geometries, algorithms, packed filters, memory.
The kernels' calls that come out of it are the same at each call (`convcore.recording`), so a compiled model keeps them,
for each form of its inputs, and makes them with nothing in between. Results are the very same, bit for bit. (But where
an input shares its memory with an array of NumPy, which may change at any time, the model does not fuse all that is
fused here, for the list's inputs are its own; the difference is one of rounding.)

What a model does may depend on more than the form of its inputs, and then the list would lie. So it is made only where
nothing speaks against it: nobody looks at numbers while it is made (`if x.max() > 0`), nothing is drawn at random, no
input is changed, no hook wants to be called, and the list gives what the model gives for other numbers, too: then
nothing was computed where it is not seen. It is used only as long as parameters, buffers and the tree of modules are
what they were.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from convcore import recording
from convcore.autograd import is_grad_enabled, no_grad, wrap
from convcore.autograd.deferred import fuses
from convcore.errors import ConvcoreError, DTypeError
from convcore.nn.module import Module
from convcore.ops import algorithms
from convcore.ops.layout import empty_like
from convcore.random import default_generator
from convcore.tensor import Tensor

MOST_PLANS = 8  # for the forms of inputs that were seen last


class _State:
    """What a model consists of: its modules, parameters and buffers, and how often these have been changed."""

    def __init__(self, model: Module):
        modules = list(model.modules())
        self._modules = [(m, tuple(m._modules.values())) for m in modules]
        self._tensors = []
        for module in modules:
            for table in (module._parameters, module._buffers):
                for name, tensor in table.items():
                    if tensor is not None:
                        memory = tensor.version.watched()
                        self._tensors.append((table, name, tensor, memory, memory.changes))

    def is_present(self) -> bool:
        """Whether all is as it was, and in evaluation, without hooks."""
        for module, children in self._modules:
            if module.training or module._hooks or tuple(module._modules.values()) != children:
                return False
        for table, name, tensor, memory, changes in self._tensors:
            if table.get(name) is not tensor or tensor.version.memory is not memory or memory.changes != changes:
                return False
        return True

    def objection(self) -> str | None:
        """What forbids to make a list for a model in this state."""
        for module, _ in self._modules:
            if module._hooks:
                return f"a {type(module).__name__} has hooks, which a list of kernels does not call"
        for _, name, tensor, memory, _ in self._tensors:
            if not isinstance(tensor.array, np.ndarray):
                return f"{name} lies on a GPU"
            if memory.exposures:
                return f"an array of NumPy shares the memory of {name} and may change it unseen; let go of the array"
        return None


class _Plan:
    """A list for one form of inputs, or the reason why there is none."""

    def __init__(self, model: Module, args: tuple[Any, ...]):
        self.state = _State(model)
        self.lock = threading.Lock()
        self._recording = recording.Recording()
        self.objection = self.state.objection()
        self._is_tried = self.objection is None
        if self._is_tried:
            self._record(model, args)
        if self.objection is not None:
            self._recording = recording.Recording()

    def holds(self) -> bool:
        """Whether making it again would give the same plan."""
        return self.state.is_present() and (self._is_tried or self.state.objection() == self.objection)

    @property
    def steps(self) -> list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]:
        return self._recording.steps

    def _record(self, model: Module, args: tuple[Any, ...]) -> None:
        given = [_own(a.array) if isinstance(a, Tensor) else a for a in args]
        self._inputs = [a for a in given if isinstance(a, np.ndarray)]
        inputs, generator = [a.copy() for a in self._inputs], default_generator.get_state()

        def result() -> Any:
            return model(*[wrap(a) if isinstance(a, np.ndarray) else a for a in given])

        _arrays(result())  # so that filters are packed before, and not at each call
        with recording.recorded(self._recording):
            self._results = _arrays(result())
        self._results = _mapped(self._results, self._recording.arena.unleased)
        if self._results is None:
            self.objection = "its result is neither a tensor nor a tuple, list or dictionary of tensors"
        elif self._recording.looks:
            self.objection = f"it looks at numbers ({self._recording.looks[0]}), and may decide by them"
        elif not _equal(self._inputs, inputs):
            self.objection = "it changes its input"
        elif default_generator.get_state() != generator:
            self.objection = "it draws random numbers"
        elif not self.state.is_present():
            self.objection = "it changes its own parameters, buffers or modules"
        elif not all(self._holds_for(numbers, result) for numbers in (_other_numbers, _large_numbers, _odd_numbers)):
            self.objection = "something in it computes in NumPy, where it is not noted"

    def _holds_for(self, numbers: Callable[[np.ndarray], Any], result: Callable[[], Any]) -> bool:
        """Whether the list gives what the model gives for inputs with other numbers."""
        for array in self._inputs:
            array[...] = numbers(array) if array.dtype.kind == "f" else array.reshape(-1)[::-1].reshape(array.shape)
        self._recording.replay()
        try:
            with np.errstate(all="ignore"):
                return _equal(self._results, _arrays(result()))
        except (ConvcoreError, ArithmeticError, LookupError, ValueError):  # so it looks at numbers, unseen
            return False

    def run(self, args: tuple[Any, ...]) -> Any:
        """The result for other numbers, in memory of its own."""
        for mine, tensor in zip(self._inputs, [a for a in args if isinstance(a, Tensor)], strict=True):
            np.copyto(mine, tensor.array)
        self._recording.replay()
        return _mapped(self._results, lambda array: wrap(_own(array)))


def _other_numbers(array: np.ndarray) -> Any:
    return np.random.default_rng(0).standard_normal(array.shape) - array


def _large_numbers(array: np.ndarray) -> Any:
    return 1000 * np.random.default_rng(1).standard_normal(array.shape)


def _odd_numbers(array: np.ndarray) -> Any:
    """With zeros, infinities and NaN among them, on which much that looks constant depends."""
    numbers = np.random.default_rng(2).standard_normal(array.size)
    for place, odd in enumerate((0, np.inf, -np.inf, np.nan)):
        numbers[place * 3 :: 101] = odd
    return numbers.reshape(array.shape)


def _own(array: np.ndarray) -> np.ndarray:
    """A copy with the same order of axes in memory."""
    copy = empty_like(array)
    np.copyto(copy, array)
    return copy


def _mapped(tree: Any, function: Callable[[Any], Any]) -> Any:
    """Tuples, lists and dictionaries with `function` of each leaf."""
    if isinstance(tree, dict):
        return type(tree)((key, _mapped(value, function)) for key, value in tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[_mapped(item, function) for item in tree])
    if isinstance(tree, (tuple, list)):
        return type(tree)([_mapped(item, function) for item in tree])
    return None if tree is None else function(tree)


def _arrays(result: Any) -> Any:
    """A model's result as arrays; None if there is anything but tensors in it."""
    foreign = []

    def array(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and isinstance(leaf.array, np.ndarray):
            return leaf.array
        foreign.append(leaf)
        return None

    arrays = _mapped(result, array)
    return None if foreign else arrays


def _equal(one: Any, other: Any) -> bool:
    """Whether two results are the same, bit for bit."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    items = (one.values(), other.values()) if isinstance(one, dict) else (one, other)
    return one is other or all(_equal(a, b) for a, b in zip(*items, strict=True))


class CompiledModule(Module):
    """A model whose evaluation is a list of kernels' calls; made by `convcore.compile`."""

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
        if not (kwargs or is_grad_enabled() or recording.is_made() or self._orig_mod.training or not fuses()):
            plan = self._plan(args)
            if plan is not None and plan.lock.acquire(blocking=False):  # else another thread is using its memory
                try:
                    return plan.run(args)
                finally:
                    plan.lock.release()
        return self._orig_mod(*args, **kwargs)

    def _plan(self, args: tuple[Any, ...]) -> _Plan | None:
        """The list for inputs like these; None if there can be none."""
        with self._lock:
            return self._plan_of(_form(args), args)

    def _plan_of(self, key: Any, args: tuple[Any, ...]) -> _Plan | None:
        plan = self._plans.get(key)
        if plan is None or not plan.holds():
            if key is None or any(module.training for module in self._orig_mod.modules()):
                return None
            plan = self._plans[key] = _Plan(self._orig_mod, args)
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        if plan.objection is None:
            return plan
        if plan.objection not in self._warned:
            self._warned.add(plan.objection)
            warnings.warn(
                f"compile: {type(self._orig_mod).__name__} is evaluated as if it were not compiled: {plan.objection}",
                stacklevel=5,
            )
        return None

    def steps(self, *args: Any) -> list[str]:
        """The calls that an evaluation of inputs like these consists of: each one's name and the shapes that it gets.

        An empty list if the model cannot be compiled for them.
        """
        with no_grad():
            plan = self._plan(args)
        described = []
        for function, given, settings in () if plan is None else plan.steps:
            arrays = [a for a in (*given, *settings.values()) if isinstance(a, np.ndarray) and a.ndim]
            described.append(f"{function.__name__} {' '.join(str(a.shape) for a in arrays)}")
        return described

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "_modules" not in self.__dict__ or "_orig_mod" not in self.__dict__["_modules"]:
                raise
            return getattr(self.__dict__["_modules"]["_orig_mod"], name)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_plans", "_warned", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_plans()


_compiled: weakref.WeakSet[CompiledModule] = weakref.WeakSet()


def _form(args: tuple[Any, ...]) -> Any:
    """What tells calls apart that need lists of their own; None for one that can have none."""
    form: list[Any] = [algorithms.requested("auto")]
    for value in args:
        if isinstance(value, Tensor):
            array = value.array
            if not isinstance(array, np.ndarray):
                return None
            form.append((array.shape, array.dtype, array.strides))
        else:
            form.append((type(value), value))
    try:
        hash(tuple(form))
    except TypeError:
        return None
    return tuple(form)


def compile(model: Module) -> CompiledModule:
    """Make a model's evaluation faster on small inputs: its kernels are called with no Python in between.

    The first call with inputs of a new shape notes what the model does; calls after it repeat that, and give the same
    results, bit for bit (but for the rounding of what is not fused with an input from `from_numpy`). That saves what a
    small network mostly does on one image: MobileNetV3-small takes a third of the time. It holds in evaluation
    (`model.eval()`) without gradients (`no_grad`, `inference_mode`); elsewhere the model is called as it is. So it is
    where it cannot be compiled, with a warning that says why.

    Changed parameters, buffers and modules are noticed. Other attributes that `forward` decides by, and global
    variables, are not: compile the model again after changing one. Each compiled form of inputs holds the memory of its
    intermediate results and of its filters as the kernels want them; `clear_caches` frees it.

    Args:
        model: any module. Its inputs may be tensors and whatever can be hashed; keyword arguments are not compiled.

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

"""Compiled models: what an evaluation does is noted, as a list of calls, and then made again.

On one small image a network spends most of its time in Python: finding geometries, algorithms, packed filters, memory.
The calls of kernels and of NumPy that come out of it are the same at each call (`convcore.engine.capture`), so a
compiled model keeps them, for each form of its inputs, and makes them with nothing in between. Results are the very
same, bit for bit.

What a model does may depend on more than the form of its inputs, and then the list would lie. So it is used only where
nothing speaks against it. The first two calls with inputs of one form are calls of the model itself, and each is noted
as it happens. Nobody may look at numbers meanwhile (`if x.max() > 0`), nothing may be computed where it is not seen,
drawn at random, kept outside the model or changed in it, no hook may want to be called; and both calls must have done
the same. From the third call on the list is used, as long as all that the model consists of is what it was
(`convcore.nn.compiling.model_state`).
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np

from convcore.autograd import is_grad_enabled, no_grad
from convcore.autograd.lazy import fuses
from convcore.engine import capture
from convcore.engine.capture import Recording, ShapeChangedError
from convcore.errors import DTypeError
from convcore.nn.base.module import Module
from convcore.nn.compiling.model_state import ModelState, frozen
from convcore.nn.compiling.noted_call import NotedCall
from convcore.ops.conv import algorithm
from convcore.tensor import Tensor

MOST_PLANS = 8  # for the forms of inputs that were seen last


class _Plan:
    """What is known of the model's calls with one form of inputs: noted calls, a list to be used, or an objection."""

    def __init__(self, model: Module):
        self.lock = threading.Lock()
        self._model = model
        self._begin()

    def _begin(self) -> None:
        # The state comes last: wherever Ctrl-C comes, an old list never stands beside a new state.
        self._is_final = False  # whether the objection, or the list, holds as long as the state does
        self._changes_itself = False  # then the objection holds whatever the state is
        self._noted: NotedCall | None = None
        state = ModelState(self._model)
        self.objection = state.objection()
        self._trains = state.in_training()
        self.state = state

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
        noted = NotedCall(self._model, self.state, args)
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
        if kwargs or is_grad_enabled() or capture.current() is not None or self._orig_mod.training or not fuses():
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
            name, arrays = capture.described(function, given, settings)
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
    form: list[Any] = [algorithm.requested("auto")]
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

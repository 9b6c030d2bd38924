"""Compiled models: the calls of one evaluation are captured as a list and then replayed.

On one small image a network spends most of its time in Python, which selects geometries, algorithms, packed filters and
memory. The resulting calls of kernels and of NumPy are the same each time (`convcore.engine.capture`). So a compiled
model keeps a list of them for each input signature (shapes, dtypes, strides) and replays it with no Python code in
between. Results are the same, bit for bit.

The calls of a model may depend on more than the signature of its inputs. Replaying a list would then be wrong, so a
list is replayed only if nothing speaks against it. The first two calls with one signature run the model itself and are
captured. During these, nothing may read values on the host (`if x.max() > 0`), compute outside of captured calls, draw
random numbers, keep tensors outside the model or change the model; there may be no hooks; and both calls must have done
the same. From the third call on the list is replayed, as long as the model's state is unchanged
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

MOST_PLANS = 8  # for the most recent input signatures


class _Plan:
    """The state of one input signature: captured calls, a list to replay, or an objection."""

    def __init__(self, model: Module):
        self.lock = threading.Lock()
        self._model = model
        self._begin()

    def _begin(self) -> None:
        # The state is set last: wherever Ctrl-C interrupts, an old list is never combined with a new state.
        self._is_final = False  # whether the objection, or the list, is valid as long as the state is unchanged
        self._changes_itself = False  # if so, the objection is valid for every state
        self._noted: NotedCall | None = None
        state = ModelState(self._model)
        self.objection = state.objection()
        self._trains = state.in_training()
        self.state = state

    @property
    def is_ready(self) -> bool:
        """Whether there is a list to replay."""
        return self._is_final and self.objection is None

    @property
    def recording(self) -> Recording | None:
        """The list; None if there is none yet, or cannot be one."""
        return self._noted.recording if self.is_ready and self._noted is not None else None

    def update(self) -> None:
        """Start again if the model has changed."""
        if self._changes_itself:
            return
        if not self.state.is_as_it_was() or (not self._is_final and self.state.objection() != self.objection):
            self._begin()

    def call(self, args: tuple[Any, ...]) -> Any:
        """The model's result: by replay if there is a list, else by a call of the model, captured if that may help."""
        self.update()
        if self.objection is not None or self._trains:
            return self._model(*args)
        return self._repeat(args) if self.is_ready else self.note(args)

    def _object(self, objection: str) -> None:
        self.objection, self._is_final, self._noted = objection, True, None

    def note(self, args: tuple[Any, ...]) -> Any:
        """Call the model and capture its calls."""
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
        except Exception:  # NumbersChangedError, or an error of these inputs: the model itself raises its own
            pass
        return self._model(*args)


class CompiledModule(Module):
    """A model whose evaluation replays captured calls; created by `convcore.compile`."""

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
        if plan is None or not plan.lock.acquire(blocking=False):  # if locked, another thread is using its memory
            return self._orig_mod(*args)
        try:
            return plan.call(args)
        finally:
            plan.lock.release()
            if plan.objection is not None:
                self._warn(plan.objection)

    def _plan(self, args: tuple[Any, ...]) -> _Plan | None:
        """The plan for the signature of these inputs; None if there cannot be one."""
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
                stacklevel=4,  # the caller of the module
            )

    def steps(self, *args: Any) -> list[str]:
        """The calls of an evaluation with inputs of this signature: the name and the argument shapes of each.

        Calls the model at most twice if there is no list for such inputs yet. Returns an empty list if the model cannot
        be compiled for them.
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
        """Whether an attribute belongs to this module; all others are read from and set on the model."""
        return name in ("_orig_mod", "training") or hasattr(type(self), name)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_plans", "_warned", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_plans()


_compiled: weakref.WeakSet[CompiledModule] = weakref.WeakSet()


def _form(args: tuple[Any, ...]) -> Any:
    """The input signature, one list each; None if these inputs cannot be compiled."""
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
            # Memory that NumPy may write to is not fused with the operations that follow.
            form.append((array.shape, array.dtype, array.strides, memory is not None and bool(memory.exposures)))
        else:
            setting = frozen(value)
            if setting is None:
                return None
            form.append(setting)
    return tuple(form)


def compile(model: Module) -> CompiledModule:
    """Make a model's evaluation faster on small inputs: its kernels are called with no Python code in between.

    The first two calls with a new input signature (shapes, dtypes, strides) run the model and capture its calls. Later
    calls replay them and return the same results, bit for bit. This removes the time in Python, which dominates in a
    small network on one image: MobileNetV3-small takes a third of the time. Replay needs evaluation mode
    (`model.eval()`) and no gradients (`no_grad`, `inference_mode`); otherwise the model is called as it is. The same
    happens, with a warning that says why, if the model cannot be compiled: if forward reads values on the host, draws
    random numbers, computes with NumPy in a way that cannot be captured, changes its inputs, attributes or buffers, or
    keeps a tensor.

    The model may change at any time: its parameters, buffers, modules and other attributes, the contents of lists,
    dictionaries, objects and their classes, and the variables that its functions name, also in other Python files
    (`config.scale`). Such a change is noticed, and the model is captured again. Changes elsewhere, such as in the
    contents of a file or in a patched package, are not noticed. Once compiled, forward does not run: it prints and
    counts nothing. Each input signature holds the memory of its intermediate results and packed filters;
    `clear_caches` frees it.

    Args:
        model: any module. Its inputs may be tensors, numbers, strings and tuples of these. With other inputs, keyword
            arguments, or inputs that share memory, the model is called as it is.

    Returns:
        A module that replaces the model. The model is its only submodule, `_orig_mod`; it shares the model's parameters
        and buffers and has the model's attributes.

    Raises:
        DTypeError: `model` is not a module; put a function into the `forward` of one.

    Like `torch.compile`, which translates the model's Python; here the kernels are compiled already.
    """
    if not isinstance(model, Module):
        raise DTypeError(
            f"compile: model must be a Module, got {type(model).__name__}; write a Module whose forward calls it"
        )
    return model if isinstance(model, CompiledModule) else CompiledModule(model)


def clear_plans() -> None:
    """Discard the captured lists of all compiled models."""
    for model in list(_compiled):
        model._plans.clear()

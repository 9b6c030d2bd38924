"""Optimizer: the base class. It holds groups of parameters, their settings, and a state for each parameter."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from convcore.autograd import enable_grad, no_grad
from convcore.autograd.clear import clear_gradients
from convcore.autograd.variable import Variable, wrap
from convcore.errors import CheckpointError
from convcore.ops.core import layout
from convcore.tensor import Tensor


class Optimizer:
    """Base of all optimizers. A subclass lists its settings in `defaults` and defines `update`.

    Args:
        params: parameters, or dicts {"params": parameters, setting: value, ...}, one for each group.
        defaults: the default settings of groups.

    Attributes:
        param_groups: a list of dicts: "params" and the settings.
        state: a dict of tensors for each parameter updated so far.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        name = type(self).__name__
        if isinstance(params, (Variable, Mapping)):
            raise TypeError(f"{name}: params must be an iterable of tensors or of dicts, got a {type(params).__name__}")
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.has_stepped = False  # learning-rate schedules warn if they step before the optimizer
        groups = list(params)
        if not groups:
            raise ValueError(f"{name}: optimizer got an empty parameter list; was a generator used up before?")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, for example layers that are unfrozen later in training."""
        name = type(self).__name__
        if not isinstance(param_group, dict):
            raise TypeError(f"{name}: param_group must be a dict, got {type(param_group).__name__}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(f"{name}: parameters need an order, which a set does not keep; use a list")
        params = [params] if isinstance(params, Variable) else list(params)
        known = {id(param) for group in self.param_groups for param in group["params"]}
        for position, param in enumerate(params):
            if not isinstance(param, Variable):
                raise TypeError(f"{name}: can optimize only tensors, but parameter {position} is {_kind(param)}")
            if not param.is_leaf:
                raise ValueError(
                    f"{name}: can't optimize a non-leaf tensor: parameter {position}, of shape {param.array.shape}, "
                    "was computed; give the tensor that it was computed from"
                )
            if param.array.dtype not in (np.float32, np.float64):
                raise TypeError(f"{name}: parameter {position} must be float32 or float64, got {param.array.dtype}")
            if id(param) in known:
                raise ValueError(
                    f"{name}: parameter {position}, of shape {param.array.shape}, appears twice, in this parameter "
                    "group or in another; each parameter may be updated once per step"
                )
            known.add(id(param))
        self.param_groups.append({"params": params, **self.defaults, **_without_params(param_group)})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to zero in place."""
        clear_gradients((param for group in self.param_groups for param in group["params"]), set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: recomputes the loss and the gradients, for methods that need them more than once. `step` returns
                its result.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self.has_stepped = True
        with no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        self._update_one(param, param.grad.array, group)
        return loss

    def _update_one(self, param: Tensor, grad: np.ndarray, group: dict[str, Any]) -> None:
        array = param.before_write()
        flat = layout.flat(array)
        self.update(param, flat, layout.flat(layout.like(grad, array)), self.state[param], group)
        if not array.flags.c_contiguous and not np.may_share_memory(
            flat, array
        ):  # the parameter is not dense, so `flat` is a copy
            order = layout.memory_order(array)
            array.transpose(order)[...] = flat.reshape([array.shape[axis] for axis in order])
        param.mark_changed()

    def update(
        self, param: Tensor, flat: np.ndarray, grad: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Update one parameter: change `flat`, which has the length and order of `grad`, and `state` in place."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The state and the settings, with the parameters replaced by their positions, as in torch."""
        index = {
            id(param): position
            for position, param in enumerate(param for group in self.param_groups for param in group["params"])
        }
        groups = [
            {**_without_params(group), "params": [index[id(param)] for param in group["params"]]}
            for group in self.param_groups
        ]
        state = {index[id(param)]: state for param, state in self.state.items() if state}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict()`. The parameters must be the same, in the same order and groups.

        Raises:
            CheckpointError: keys are missing, or groups, their lengths or the shape of a state differ; the optimizer is
                unchanged.
        """
        name = type(self).__name__
        if "state" not in state_dict or "param_groups" not in state_dict:
            raise CheckpointError(
                f"{name}.load_state_dict: needs the keys 'state' and 'param_groups', got {sorted(state_dict)}"
            )
        saved = state_dict["param_groups"]
        ours, theirs = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in saved]
        if ours != theirs:
            raise CheckpointError(
                f"{name}.load_state_dict: the saved parameter groups do not fit; this optimizer has groups of "
                f"{ours} parameters, the saved one of {theirs}"
            )
        params = dict(
            zip(
                (position for group in saved for position in group["params"]),
                (param for group in self.param_groups for param in group["params"]),
                strict=True,
            )
        )
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for position, entries in state_dict["state"].items():
            if position not in params:
                raise CheckpointError(
                    f"{name}.load_state_dict: there is a state for a parameter {position}, but no such parameter"
                )
            param = params[position]
            state[param] = {key: _own_copy(name, position, key, value, param) for key, value in entries.items()}
        self.state = state
        self.param_groups = [
            {**copy.deepcopy(_without_params(loaded)), "params": group["params"]}
            for group, loaded in zip(self.param_groups, saved, strict=True)
        ]

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for position, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {position}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def zeros_like(param: Tensor) -> Tensor:
    """Zeros with the parameter's shape, dtype and memory order: a fresh state."""
    return wrap(np.zeros_like(param.array))


def flat_state(tensor: Tensor, param: Tensor) -> np.ndarray:
    """A state in the memory order of its parameter, as a 1-D view; a state in another order is rearranged."""
    array, model = tensor.array, param.array
    if array.strides != model.strides or array.dtype != model.dtype:
        array = tensor.array = layout.like(array.astype(model.dtype, copy=False), model)
    return layout.flat(array)


def fresh_step() -> Tensor:
    """A new step counter, as in torch's states: a float32 scalar, 0."""
    return wrap(np.zeros((), np.float32))


def check_not_negative(optimizer: str, **settings: float) -> None:
    """Refuse negative settings, and NaN."""
    names = {"lr": "learning rate", "eps": "epsilon value"}
    for key, value in settings.items():
        if not value >= 0:
            name = names.get(key, f"{key} value")
            raise ValueError(f"{optimizer}: Invalid {name}: {value}; it must be 0 or more")


def check_betas(optimizer: str, betas: tuple[float, float]) -> None:
    """Refuse decay rates outside [0, 1)."""
    for index, beta in enumerate(betas):
        if not 0 <= beta < 1:
            raise ValueError(f"{optimizer}: Invalid beta parameter at index {index}: {beta}; it must be in [0, 1)")


def _own_copy(name: str, position: int, key: str, value: Any, param: Tensor) -> Any:
    if not isinstance(value, Variable):
        return copy.deepcopy(value)
    if value.array.ndim > 0 and value.array.shape != param.array.shape:
        raise CheckpointError(
            f"{name}.load_state_dict: {key} of parameter {position} has shape {value.array.shape}, the parameter "
            f"{param.array.shape}"
        )
    return wrap(value.array.copy(order="K"))


def _without_params(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def _kind(value: Any) -> str:
    return "a (name, tensor) pair; pass parameters()" if isinstance(value, tuple) else type(value).__name__

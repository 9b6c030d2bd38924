"""Hooks: functions of the user that a module calls before and after forward, and when gradients pass through it.

Backward hooks need the gradients of the module's inputs and outputs. So the tensor arguments and the results pass
through an identity operation (`_Passage`), whose backward hands their gradients to the hooks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from convcore.autograd import Function, Variable
from convcore.autograd.handles import HookTable, RemovableHandle
from convcore.errors import GraphError

if TYPE_CHECKING:
    from convcore.nn.base.module import Module

Hook = Callable[..., Any]


class Registered(NamedTuple):
    """A hook and how to call it."""

    hook: Hook
    with_kwargs: bool = False
    always_call: bool = False


class Hooks:
    """All hooks of one module."""

    def __init__(self) -> None:
        self.forward_pre, self.forward, self.backward_pre, self.backward = (HookTable() for _ in range(4))

    def __bool__(self) -> bool:
        return bool(self.forward_pre or self.forward or self.backward_pre or self.backward)

    def call(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The module's forward, with all hooks around it."""
        args, kwargs = self._before(module, args, kwargs)
        gradients = _Gradients(module, self) if self.backward or self.backward_pre else None
        if gradients is not None:
            args = gradients.enter(args)
        result, called = None, set()
        try:
            result = module.forward(*args, **kwargs)
            for key, registered in list(self.forward.items()):
                called.add(key)
                result = _after(registered, module, args, kwargs, result)
            return result if gradients is None else gradients.leave(result)
        except Exception:
            for key, registered in list(self.forward.items()):
                if registered.always_call and key not in called:
                    try:
                        result = _after(registered, module, args, kwargs, result)
                    except Exception as error:
                        warnings.warn(
                            f"{type(module).__name__}: a forward hook with always_call=True raised {error!r}, which is "
                            "silenced because forward has raised another error",
                            stacklevel=3,
                        )
            raise

    def _before(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for registered in list(self.forward_pre.values()):
            if registered.with_kwargs:
                result = registered.hook(module, args, kwargs)
                if result is not None:
                    if not isinstance(result, tuple) or len(result) != 2:
                        raise RuntimeError(
                            f"{type(module).__name__}: a forward pre-hook with kwargs must return None or a tuple "
                            f"(args, kwargs), got {result!r}"
                        )
                    args, kwargs = result
            else:
                result = registered.hook(module, args)
                if result is not None:
                    args = result if isinstance(result, tuple) else (result,)
        return args, kwargs


def _after(registered: Registered, module: Module, args: Any, kwargs: Any, result: Any) -> Any:
    given = (module, args, kwargs, result) if registered.with_kwargs else (module, args, result)
    changed = registered.hook(*given)
    return result if changed is None else changed


class _Gradients:
    """One call of a module with backward hooks: inserts the identities at its inputs and outputs."""

    def __init__(self, module: Module, hooks: Hooks):
        self.module, self.hooks = module, hooks
        self.grad_output: Any = None
        self.places: list[int] = []  # which arguments are tensors
        self.count = 0
        self.meets_inputs = False

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments; their tensors pass through the identity that receives the gradients of the inputs."""
        self.count = len(args)
        self.places = [i for i, arg in enumerate(args) if isinstance(arg, Variable)]
        tensors = [args[i] for i in self.places]
        self.meets_inputs = any(tensor.requires_grad for tensor in tensors)
        if not self.meets_inputs:
            return args
        led, result = _Passage.apply(self._inputs, True, *tensors), list(args)
        for place, tensor in zip(self.places, led, strict=True):
            result[place] = tensor
        return tuple(result)

    def leave(self, result: Any) -> Any:
        """The results, passed through the identity that receives the gradients of the outputs."""
        results = result if isinstance(result, tuple) else (result,)
        if not all(isinstance(r, Variable) for r in results):
            warnings.warn(
                f"{type(self.module).__name__}: its backward hooks are not called, because its output is neither a "
                "tensor nor a tuple of tensors",
                stacklevel=4,
            )
            return result
        led = _Passage.apply(self._outputs, False, *results)
        return led if isinstance(result, tuple) else led[0]

    def _outputs(self, *gradients: Any) -> tuple[Any, ...]:
        for registered in list(self.hooks.backward_pre.values()):
            changed = registered.hook(self.module, gradients)
            if changed is not None:
                gradients = _checked(self.module, "grad_output", changed, len(gradients))
        self.grad_output = gradients
        if not self.meets_inputs:
            self._call_backward_hooks((None,) * self.count)
        return gradients

    def _inputs(self, *gradients: Any) -> tuple[Any, ...]:
        every: list[Any] = [None] * self.count
        for place, gradient in zip(self.places, gradients, strict=True):
            every[place] = gradient
        every = list(self._call_backward_hooks(tuple(every)))
        return tuple([every[place] for place in self.places])

    def _call_backward_hooks(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for registered in list(self.hooks.backward.values()):
            changed = registered.hook(self.module, grad_input, self.grad_output)
            if changed is None:
                continue
            grad_input = _checked(self.module, "grad_input", changed, len(grad_input))
            if not self.meets_inputs and any(gradient is not None for gradient in grad_input):
                raise GraphError(
                    f"{type(self.module).__name__}: a backward hook cannot replace the gradients of inputs that do not "
                    "require any; return None, or None for each of them"
                )
        return grad_input


def _checked(module: Module, name: str, changed: Any, count: int) -> tuple[Any, ...]:
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != count:
        raise GraphError(
            f"{type(module).__name__}: a backward hook returned {len(changed)} gradients for {name}, which has {count}"
        )
    return changed


class _Passage(Function):
    """The identity of several tensors. Their gradients pass through a function together; a missing gradient is passed
    as zeros if `zeros` is set, else as None."""

    @staticmethod
    def forward(ctx, meet, zeros, *tensors):
        ctx.meet = meet
        ctx.set_materialize_grads(zeros)
        results = tuple([tensor.detach() for tensor in tensors])
        ctx.mark_non_differentiable(*[r for r, t in zip(results, tensors, strict=True) if not t.requires_grad])
        return results

    @staticmethod
    def backward(ctx: Any, *grad_outs: Any):
        return None, None, *ctx.meet(*grad_outs)


class TakesHooks:
    """The part of a module that hooks are registered with."""

    _hooks: Hooks | None = None

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Have `hook(module, args)` called before every forward.

        Args:
            hook: returns None, or new positional arguments: a tuple, or one value.
            prepend: call it before the hooks registered so far.
            with_kwargs: call it as hook(module, args, kwargs); it may then return (args, kwargs).

        Returns:
            A handle; `handle.remove()` takes the hook away again.
        """
        return self._own_hooks().forward_pre.add(Registered(hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Have `hook(module, args, output)` called after every forward. A result other than None replaces the output.

        Args:
            hook, prepend: as for `register_forward_pre_hook`.
            with_kwargs: call it as hook(module, args, kwargs, output).
            always_call: call it even if forward raises an error; the output is then None.
        """
        return self._own_hooks().forward.add(Registered(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Have `hook(module, grad_output)` called before the module's backward.

        `grad_output` is a tuple with the gradient of each output. A result other than None replaces it.
        """
        return self._own_hooks().backward_pre.add(Registered(hook), prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Have `hook(module, grad_input, grad_output)` called after the module's backward.

        `grad_input` is a tuple with the gradient of each positional argument, or None for arguments that are not
        tensors or need no gradient. A result other than None replaces it.
        """
        return self._own_hooks().backward.add(Registered(hook), prepend)

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            self.__dict__["_hooks"] = Hooks()
        return self.__dict__["_hooks"]

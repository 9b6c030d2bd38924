"""What is the same for all public functions: arguments that must be tensors, and NumPy's names for two arguments.

Operations read `x.array` without asking what x is. What has no such attribute raises AttributeError there; the guard
turns that into an error which names the argument. As in torch, `axis` and `keepdims` stand for `dim` and `keepdim`:
Python raises TypeError for a name that a function does not have, before it starts, and the guard calls again with its
own. As long as nothing is wrong all this costs one more call, and the engine's own calls, from operation to operation,
do not pass it. Which arguments must be tensors it reads from the annotations.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from convcore.autograd import Variable
from convcore.errors import DTypeError

C = TypeVar("C")
_KINDS = ("Tensor", "Tensor | None", "Sequence[Tensor]")
_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def tensors_of(function: Callable[..., Any], is_method: bool = False) -> list[str]:
    """The names of the parameters that take tensors only; of a method without the first one."""
    names = [name for name, kind in function.__annotations__.items() if kind in _KINDS and name != "return"]
    return names[1:] if is_method and names and names[0] == function.__code__.co_varnames[0] else names


def guarded(function: Callable[..., Any], module: str, is_method: bool = False) -> Callable[..., Any]:
    """The function, which refuses what is no tensor with DTypeError and takes NumPy's names of arguments.

    It is the function itself where it takes no tensors, and no argument that NumPy calls otherwise.

    Args:
        module: where the result stands, so that it can be pickled.
        is_method: whether the first argument is sure to be a tensor.
    """
    if not inspect.isfunction(function):
        return function
    names = tensors_of(function, is_method)
    renamed = {numpy: name for numpy, name in _NUMPY_NAMES.items() if name in function.__annotations__}
    if not names and not renamed:
        return function

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except AttributeError:
            _refuse(function.__name__, inspect.signature(function).bind(*args, **kwargs).arguments, names)
            raise
        except TypeError:
            if not renamed.keys() & kwargs.keys():
                raise
        return function(*args, **{renamed.get(name, name): value for name, value in kwargs.items()})

    checked.__module__ = module
    return checked


def _refuse(op: str, arguments: dict[str, Any], names: list[str]) -> None:
    """Raise where one of the arguments is no tensor; other AttributeErrors are not the caller's fault."""
    for name in names:
        given = arguments.get(name)
        for value in given if isinstance(given, tuple) else (given,):
            if value is not None and not isinstance(value, Variable):
                raise DTypeError(
                    f"{op}: {name} must be a tensor, got {type(value).__name__}; convcore.tensor(...) makes one"
                ) from None


def guard_functions(namespace: dict[str, Any]) -> None:
    """Put guards around the public functions of a module."""
    for name in namespace["__all__"]:
        if inspect.isfunction(namespace[name]):
            namespace[name] = guarded(namespace[name], namespace["__name__"])


def guard_methods(cls: type[C]) -> type[C]:
    """Put guards around the public methods of a class of tensors."""
    for name, member in list(vars(cls).items()):
        if inspect.isfunction(member) and not name.startswith("_"):
            setattr(cls, name, guarded(member, cls.__module__, is_method=True))
    return cls

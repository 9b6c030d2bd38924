"""The guard around all public functions: it rejects non-tensors, and accepts NumPy's names of two arguments.

Operations read `x.array` without checking the type of x. A non-tensor raises AttributeError there; the guard replaces
it by an error that names the argument. As in torch, `axis` and `keepdims` are accepted for `dim` and `keepdim`: Python
raises TypeError for an unknown argument name before the function starts, and the guard calls again with the name
translated. A valid call costs one more Python frame; calls from operation to operation are not guarded. The annotations
say which arguments must be tensors.
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
    """The names of the parameters that accept only tensors; for a method, without the first parameter."""
    names = [name for name, kind in function.__annotations__.items() if kind in _KINDS and name != "return"]
    return names[1:] if is_method and names and names[0] == function.__code__.co_varnames[0] else names


def guarded(function: Callable[..., Any], module: str, is_method: bool = False) -> Callable[..., Any]:
    """The function with a guard: non-tensors raise DTypeError, and NumPy's argument names are accepted.

    Returns the function itself if it has no tensor parameters and none that NumPy names differently.

    Args:
        module: the module that holds the result, so that it can be pickled.
        is_method: whether the first argument is always a tensor.
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
    """Raise if one of the arguments is not a tensor; any other AttributeError is not the caller's fault."""
    for name in names:
        given = arguments.get(name)
        for value in given if isinstance(given, tuple) else (given,):
            if value is not None and not isinstance(value, Variable):
                raise DTypeError(
                    f"{op}: {name} must be a tensor, got {type(value).__name__}; convcore.tensor(...) makes one"
                ) from None


def refuse_foreign(error: AttributeError) -> None:
    """For layers, which call operations without a guard: raise if an operation stumbled over a non-tensor.

    The traceback of the error has the operation's frame, and the frame the arguments.
    """
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        function = frame.f_globals.get(frame.f_code.co_name)
        if inspect.isfunction(function) and frame.f_globals["__name__"].startswith("convcore.ops."):
            _refuse(function.__name__, frame.f_locals, tensors_of(function))
        trace = trace.tb_next


def guard_functions(namespace: dict[str, Any]) -> None:
    """Guard the public functions of a module."""
    for name in namespace["__all__"]:
        if inspect.isfunction(namespace[name]):
            namespace[name] = guarded(namespace[name], namespace["__name__"])


def guard_methods(cls: type[C]) -> type[C]:
    """Guard the public methods of a tensor class."""
    for name, member in list(vars(cls).items()):
        if inspect.isfunction(member) and not name.startswith("_"):
            setattr(cls, name, guarded(member, cls.__module__, is_method=True))
    return cls

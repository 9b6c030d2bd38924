"""Traced arrays: arrays that tell a recording what NumPy computes from them.

While a recording is made (`convcore.engine.capture`), the arrays of all tensors are of this class. NumPy hands every
function and ufunc that meets one to `__array_function__` and `__array_ufunc__`; methods and indexing are overridden
here. So nothing that NumPy computes from them goes unseen, whoever wrote it: it becomes a step of the recording, or a
reason why there can be none. What NumPy reads below Python (`np.asarray`, a plain array indexed by a traced one) gives
a plain array, which a recording does not take for anything that it knows.

A number taken out of a traced array is a traced array without axes, so that Python cannot decide by it unseen: making a
bool, an int or a float of it is a look.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np


def traced(array: np.ndarray, recording: Any) -> Traced:
    """The same memory as a traced array of this recording."""
    if isinstance(array, Traced) and array.recording is recording:
        return array
    result = array.view(Traced)
    result._reference = weakref.ref(recording)
    return result


def original(array: np.ndarray) -> np.ndarray:
    """The array that a traced one was made of; of a view of a traced array the plain view."""
    if not isinstance(array, Traced):
        return array
    base: Any = array.base
    is_itself = type(base) is not Traced and base.shape == array.shape and base.strides == array.strides
    return base if is_itself else plain(array)


def plain(value: Any) -> Any:
    """`value` with ordinary arrays in the place of traced ones, also within tuples, lists and dictionaries."""
    if isinstance(value, Traced):
        return value.view(np.ndarray)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(plain, value))
    return type(value)(map(plain, value)) if type(value) in (tuple, list) else value


class Traced(np.ndarray):
    """An array whose recording hears of all that is computed from it."""

    _reference: Any = None  # weak, so that a view that lives on does not keep all that was recorded

    def __array_finalize__(self, obj: Any) -> None:
        self._reference = getattr(obj, "_reference", None)

    @property
    def recording(self) -> Any:
        """The `convcore.engine.capture.Recording`, the same for all views; None when that is gone."""
        return None if self._reference is None else self._reference()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return _performed(_recording(inputs, settings), function, inputs, settings)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _performed(_recording(args, kwargs), func, args, kwargs)

    @property
    def flat(self) -> Any:
        """The elements one by one, which is a look at each."""
        self._looked_at("flat")
        return plain(self).flat

    @property
    def data(self) -> Any:
        """The memory as a buffer, which is a look at it."""
        self._looked_at("data")
        return plain(self).data

    def _looked_at(self, how: str) -> None:
        if self.recording is not None:
            self.recording.looked_at(how)


def _recording(args: Any, settings: Any) -> Any:
    """The recording of the first traced array among the arguments of a call."""
    waiting = [args, settings]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Traced):
            return value.recording
        if isinstance(value, (tuple, list)):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
    raise TypeError("traced: a call without a traced array")


def _performed(recording: Any, function: Any, args: Any, settings: Any) -> Any:
    if recording is None:  # an array of this class that somebody made by himself
        return function(*plain(args), **plain(settings))
    return recording.performed(function, args, settings)


def _intercepted(name: str) -> Any:
    function = getattr(np.ndarray, name)

    def method(self: Traced, *args: Any, **settings: Any) -> Any:
        return _performed(self.recording, function, (self, *args), settings)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = function.__doc__
    return method


# Every method of an array, and what Python's own functions and operators call but NumPy hands to nobody. The operators
# of arithmetic are ufuncs.
_SPECIAL = (
    "__getitem__", "__setitem__", "__bool__", "__int__", "__float__", "__complex__", "__index__", "__contains__",
    "__copy__", "__deepcopy__", "__reduce__", "__reduce_ex__", "__repr__", "__str__", "__format__",
)  # fmt: skip
_METHODS = [name for name, value in vars(np.ndarray).items() if not name.startswith("_") and callable(value)]
_UNTOUCHED = ("view",)  # what `plain` and every view are made with; the result has the same memory

for _name in (*_SPECIAL, *_METHODS):
    if _name not in _UNTOUCHED:
        setattr(Traced, _name, _intercepted(_name))

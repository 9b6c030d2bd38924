"""Whether operations are recorded for backward: one flag per Python thread."""

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


class _State(threading.local):
    enabled = True


state = _State()


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require gradients are being recorded."""
    return state.enabled


class set_grad_enabled:
    """Turn recording on or off: at once when called as a function, until the block ends in a `with`."""

    def __init__(self, mode: bool):
        self._previous = state.enabled
        self._mode = bool(mode)
        state.enabled = self._mode

    def __enter__(self) -> None:
        state.enabled = self._mode

    def __exit__(self, *exc_info) -> None:
        state.enabled = self._previous


class _GradMode:
    """A context manager that is also a decorator, and can be entered again inside itself."""

    mode: bool

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)  # @no_grad, without brackets

    def __init__(self, function: None = None) -> None:
        self._previous: list[bool] = []

    def __enter__(self):
        self._previous.append(state.enabled)
        state.enabled = self.mode
        return self

    def __exit__(self, *exc_info) -> None:
        state.enabled = self._previous.pop()

    def __call__(self, function: _F) -> _F:
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with type(self)():
                return function(*args, **kwargs)

        return wrapped  # pyright: ignore[reportReturnType]


class no_grad(_GradMode):
    """Record nothing: the block needs no memory for backward and its results do not require gradients."""

    mode = False


class enable_grad(_GradMode):
    """Record again inside a `no_grad` block."""

    mode = True


def inference_mode(mode: Any = True) -> Any:
    """`no_grad` by another name, and `enable_grad` with mode=False: a context manager and decorator.

    What it computes may be used in recorded operations afterwards, which torch refuses.
    """
    if callable(mode):
        return no_grad(mode)
    return no_grad() if mode else enable_grad()

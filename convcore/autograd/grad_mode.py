"""Whether operations are recorded for backward: one flag per Python thread."""

import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from convcore.errors import DTypeError

_F = TypeVar("_F", bound=Callable[..., Any])


class _State(threading.local):
    enabled = True


state = _State()


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require gradients are being recorded."""
    return state.enabled


class _GradMode:
    """A context manager that can be entered again inside itself, and a decorator.

    As a decorator of a generator function it holds while the generator runs, not while it waits at a `yield`. Of an
    `async` function it covers no more than the call that makes the coroutine, as in torch.
    """

    _enabled: bool

    def __init__(self) -> None:
        self._previous: list[bool] = []

    def __enter__(self) -> Any:
        self._previous.append(state.enabled)
        state.enabled = self._enabled
        return self

    def __exit__(self, *exc_info: object) -> None:
        state.enabled = self._previous.pop()

    def clone(self) -> Any:
        """Another context manager of the same mode: a decorated function enters a new one in every call."""
        return type(self)()

    def __call__(self, function: _F) -> _F:
        name = type(self).__name__
        if not callable(function):
            raise DTypeError(f"{name}: decorates functions, got {type(function).__name__}; a block is `with {name}():`")
        if inspect.isclass(function):
            warnings.warn(
                f"{name}: to decorate a class is deprecated, as in torch: only what its constructor computes is meant, "
                f"and {function.__name__} is no class any more; decorate its __init__, or other methods, instead",
                FutureWarning,
                stacklevel=2,
            )
        if inspect.isgeneratorfunction(function):

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                return (yield from _in_mode(self, function(*args, **kwargs)))
        else:

            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self.clone():
                    return function(*args, **kwargs)

        result: Any = functools.update_wrapper(wrapped, function)
        return result


def _in_mode(mode: _GradMode, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """The generator, in a mode whenever it runs. What its caller sends, throws and closes goes through to it."""
    resume: Callable[[Any], Any] = generator.send
    given: Any = None
    try:
        while True:
            with mode.clone():
                result = resume(given)
            try:
                given = yield result
                resume = generator.send
            except GeneratorExit:
                with mode.clone():
                    generator.close()
                raise
            except BaseException as error:
                given, resume = error, generator.throw
    except StopIteration as stop:
        return stop.value


class _PlainGradMode(_GradMode):
    """A mode without arguments, which decorates with brackets or without."""

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)


class no_grad(_PlainGradMode):
    """Record nothing: the block needs no memory for backward and its results do not require gradients."""

    _enabled = False


class enable_grad(_PlainGradMode):
    """Record again inside a `no_grad` block."""

    _enabled = True


class set_grad_enabled(_GradMode):
    """Turn recording on or off: at once when called as a function, until the block ends in a `with`, and in every call
    of a function that it decorates.

    Args:
        mode: whether to record.

    Raises:
        DTypeError: mode is neither True nor False.
    """

    def __init__(self, mode: bool):
        self.mode = self._enabled = _checked("set_grad_enabled", mode)
        self._before = state.enabled
        state.enabled = mode

    def __enter__(self) -> Any:
        state.enabled = self._enabled
        return self

    def __exit__(self, *exc_info: object) -> None:
        state.enabled = self._before

    def clone(self) -> Any:
        return type(self)(self.mode)

    def __call__(self, function: _F) -> _F:
        state.enabled = self._before  # it was called to decorate, not to switch
        return super().__call__(function)


class inference_mode(_GradMode):
    """`no_grad` by another name, and `enable_grad` with mode=False; a decorator with brackets or without.

    What it computes may be used in recorded operations afterwards, which torch refuses.

    Raises:
        DTypeError: mode is neither True nor False, nor a function to decorate.
    """

    def __new__(cls, mode: Any = True) -> Any:
        return cls()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True):
        super().__init__()
        self.mode = _checked("inference_mode", mode)
        self._enabled = not mode

    def clone(self) -> Any:
        return type(self)(self.mode)


def _checked(name: str, mode: Any) -> bool:
    if not isinstance(mode, bool):
        raise DTypeError(f"{name}: mode must be True or False, got {mode!r}")
    return mode

"""What an error has to say: which argument is wrong, or what was given."""

import inspect
import re
from typing import Any

import convcore
from convcore.errors import ConvcoreError


def judge_error(ours: Exception, theirs: Exception, function: Any, given: Any) -> str:
    """What is wrong with an error: its class, or that it names no argument, shape, dtype or value; else ""."""
    text = str(ours.args[0]) if ours.args else ""  # without the layer that str() puts before it
    if not isinstance(ours, (ConvcoreError, TypeError, IndexError, type(theirs))):
        return f"{type(ours).__name__}: {text}"
    said = text.partition(": ")[2] if isinstance(ours, ConvcoreError) else text  # without the operation's name
    words = [*_parameters(function), *_described(given)]
    if any(re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", said) for word in words):
        return ""
    return f"names none of {words}: {text}"


def _parameters(function: Any) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
    return [name for name in names if name not in ("self", "args", "kwargs")]


def _described(value: Any) -> list[str]:
    """How an error may speak of arguments: keywords, shapes, dtypes, types, numbers and strings."""
    if isinstance(value, dict):
        return [*value, *_described(list(value.values()))]
    if isinstance(value, (list, tuple)):
        return [str(tuple(value)), *[word for v in value for word in _described(v)]]
    if isinstance(value, convcore.Tensor):
        return [str(value.array.shape), str(value.dtype)]
    return [] if value is None or isinstance(value, bool) else [repr(value), type(value).__name__]

"""Models by name, for the command line and for configuration files."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from convcore.errors import UnsupportedError
from convcore.models.cnn import CNN, SimpleCNN
from convcore.nn import Module

_MODELS: dict[str, Callable[..., Module]] = {"cnn": CNN, "simple_cnn": SimpleCNN}


def list_models() -> list[str]:
    """The names that `get_model` knows, in alphabetical order."""
    return sorted(_MODELS)


def get_model(name: str, **kwargs: Any) -> Module:
    """A new model with fresh weights.

    Args:
        name: one of `list_models()`; case, "-" and "_" do not matter.
        kwargs: the model's own arguments, such as `num_classes`.

    Raises:
        UnsupportedError: there is no model of this name; the message names those that are spelled like it.
    """
    spellings = {_plain(known): known for known in _MODELS}
    known = spellings.get(_plain(name))
    if known is None:
        near = [spellings[match] for match in difflib.get_close_matches(_plain(name), spellings, cutoff=0.5)]
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise UnsupportedError(f"get_model: there is no model {name!r}; {hint}There are {', '.join(list_models())}")
    return _MODELS[known](**kwargs)


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")

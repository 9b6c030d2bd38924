"""Models by name, and the weights arguments that all model functions share."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

from convcore.errors import ShapeError, UnsupportedError
from convcore.models.pretrained.weights import WeightsEnum, find_weights, load_weights, read_weights
from convcore.nn import Module
from convcore.nn.init import skipped

M = TypeVar("M", bound=Module)

Shape = tuple[int, int, int]

# Name of a model -> the function that builds it, and the image shape (C, H, W) it is designed for.
_MODELS: dict[str, tuple[Callable[..., Module], Shape]] = {}


def model_for(size: int) -> Callable[[Callable[..., M]], Callable[..., M]]:
    """`model` for a network designed for photographs of another size than 224x224."""
    return functools.partial(model, shape=(3, size, size))


def model(build: Callable[..., M], shape: Shape = (3, 224, 224)) -> Callable[..., M]:
    """Register a function that builds a network under its name for `get_model`, and add these arguments:

    Args:
        weights: None for untrained weights; a path; "IMAGENET1K_V1" or another member of the model's table, as a
            string, as "ResNet50_Weights.IMAGENET1K_V1" or as the object; "imagenet" or "DEFAULT" for the best of them.
            The path of a published file means the same as its name, even if the file was renamed. Any other file must
            fit the model that the remaining arguments describe.
        pretrained: the same as weights="IMAGENET1K_V1".
        progress: accepted as in torchvision, without effect. Only `convcore weights --download` downloads weights.

    Raises:
        CheckpointError: the weights do not fit, or are not on this machine; then the message names file and source.
    """

    @functools.wraps(build)
    def built(
        *,
        weights: WeightsEnum | str | os.PathLike[str] | None = None,
        pretrained: bool = False,
        progress: bool = True,
        **kwargs: Any,
    ) -> M:
        if pretrained and weights is None:
            weights = "IMAGENET1K_V1"
        if weights is None:
            return build(**kwargs)
        found = find_weights(build.__name__, weights)
        if found.known is not None:
            classes = kwargs.setdefault("num_classes", found.known.num_classes)
            if classes != found.known.num_classes:
                raise ShapeError(
                    f"{build.__name__}: num_classes must be {found.known.num_classes} as in the weights, "
                    f"got {classes}; build the model with that number, then replace its last layer"
                )
            kwargs = {**found.known.arguments, **kwargs}
        with skipped():
            network = build(**kwargs)
        name = build.__name__
        load_weights(name, network, found, read_weights(name, network, found))
        return network

    _MODELS[build.__name__] = built, shape
    return built


def list_models() -> list[str]:
    """The names that `get_model` knows, in alphabetical order."""
    return sorted(_MODELS)


def get_model(name: str, **kwargs: Any) -> Module:
    """Build a model.

    Args:
        name: one of `list_models()`; case, "-" and "_" do not matter.
        kwargs: the arguments of the model function, such as `num_classes` and `weights`.

    Raises:
        UnsupportedError: there is no model of this name; the message suggests similar names.
    """
    return _MODELS[known_name(name)][0](**kwargs)


def image_shape(name: str) -> Shape:
    """The image shape (C, H, W) that a model is designed for; raises as `get_model` does."""
    return _MODELS[known_name(name)][1]


def known_name(name: str) -> str:
    """The name as `list_models` spells it; raises as `get_model` does."""
    spellings = {_plain(known): known for known in _MODELS}
    known = spellings.get(_plain(name))
    if known is None:
        near = [spellings[match] for match in difflib.get_close_matches(_plain(name), spellings, cutoff=0.5)]
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise UnsupportedError(f"get_model: there is no model {name!r}; {hint}There are {', '.join(list_models())}")
    return known


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")

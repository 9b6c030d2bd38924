"""Models by name, and what all functions that build one have in common: the arguments about weights."""

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

# By name: what builds the model, and the images (C, H, W) that it is made for.
_MODELS: dict[str, tuple[Callable[..., Module], Shape]] = {}


def model_for(size: int) -> Callable[[Callable[..., M]], Callable[..., M]]:
    """`model` for a network that is made for photographs of another size than 224x224."""
    return functools.partial(model, shape=(3, size, size))


def model(build: Callable[..., M], shape: Shape = (3, 224, 224)) -> Callable[..., M]:
    """Let `get_model` find a function that builds a network under its name, and give it these arguments:

    Args:
        weights: None for fresh weights; a path; "IMAGENET1K_V1" or another member of the model's table, as a string, as
            "ResNet50_Weights.IMAGENET1K_V1" or as the object; "imagenet" or "DEFAULT" for the best of them. The path of
            a published file means the same as its name, also where the file is called otherwise. Any other file must
            fit the model that the remaining arguments describe.
        pretrained: the same as weights="IMAGENET1K_V1".
        progress: as in torchvision, where weights may be downloaded. Here `convcore weights --download` does that.

    Raises:
        CheckpointError: the weights are not on this machine, or do not fit. The former names file and source.
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
                    f"got {classes}; build the model with it, then put a new layer in the place of its last one"
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
    """A new model.

    Args:
        name: one of `list_models()`; case, "-" and "_" do not matter.
        kwargs: the model's own arguments, such as `num_classes`, and `weights` where it is one of torchvision's kind.

    Raises:
        UnsupportedError: there is no model of this name; the message names those that are spelled like it.
    """
    return _MODELS[known_name(name)][0](**kwargs)


def image_shape(name: str) -> Shape:
    """The images (C, H, W) that a model is made for; raises as `get_model` does."""
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

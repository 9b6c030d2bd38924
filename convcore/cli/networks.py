"""Trained networks for commands, by name or from a file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from convcore.errors import UnsupportedError
from convcore.models import list_models
from convcore.models.pretrained.card import ModelCard, load_classifier, read_card
from convcore.models.pretrained.weights import published
from convcore.nn import Module


def is_file(model: str) -> bool:
    """Whether a MODEL is a file, not a name.

    Raises:
        FileNotFoundError: it can only be a file, and there is no such file.
    """
    file = Path(model)
    if model in list_models():
        return False
    if not file.is_file() and (file.suffix.lower() in (".safetensors", ".pth", ".pt") or len(file.parts) > 1):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), model)
    return file.is_file()


def load(op: str, model: str, weights: str = "DEFAULT") -> tuple[Module, ModelCard]:
    """A trained network and its card.

    Args:
        op: the command's name, the first word of error messages.
        model: the network's name, or a weights file: from `convcore train` or `finetune`, or a published one.
        weights: a file, or a name as in `convcore weights`.

    Raises:
        UnsupportedError: the network has no known weights; the file does not name its network; two files are given.
        CheckpointError: the weights are missing or damaged, or do not fit.
    """
    if not is_file(model):
        return load_classifier(op, model, weights)
    if weights != "DEFAULT":
        raise UnsupportedError(f"{op}: {model} is a file of weights already; leave out --weights {weights}")
    card, member = read_card(model), published(Path(model))
    if card is None and member is None:
        instead = f"write `show WHAT MODEL --weights {model}`" if op == "show" else "write the network's name"
        raise UnsupportedError(f"{op}: {model} does not say which network it is of; {instead}")
    return load_classifier(op, card.model if card is not None else None, model)

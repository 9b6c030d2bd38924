"""Checkpoints: everything that the rest of a training run depends on, in one safetensors file.

Tensors (weights, running statistics, Adam's moments) are stored as tensors. Numbers (learning rates, the epoch, the
states of random generators, the history) are JSON in the metadata: Python writes floats so that they read back exactly.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from convcore import random
from convcore.autograd import Variable
from convcore.errors import CheckpointError
from convcore.io import load_file, read_metadata, save_file

FORMAT = "convcore-training-1"


def save_checkpoint(path: Path, parts: dict[str, Any], progress: dict[str, Any]) -> None:
    """Store the `state_dict()` of every part, the default random generator, and `progress`, which must fit JSON."""
    tensors: dict[str, Any] = {}
    states = {name: _encode(part.state_dict(), name, tensors) for name, part in parts.items()}
    content = {"format": FORMAT, "parts": states, "random": random.get_rng_state(), "progress": progress}
    # One entry only: safetensors writes several in an order that changes, and equal runs must give equal files.
    save_file(tensors, path, metadata={"training": json.dumps(content)})


def load_progress(path: Path) -> dict[str, Any]:
    """The `progress` given to `save_checkpoint`; changes nothing."""
    return _read(path)["progress"]


def load_checkpoint(path: Path, parts: dict[str, Any]) -> dict[str, Any]:
    """Restore the state of every part and of the default random generator; return `progress`."""
    content = _read(path)
    missing, unexpected = parts.keys() - content["parts"].keys(), content["parts"].keys() - parts.keys()
    if missing or unexpected:
        raise CheckpointError(
            f"{path}: this run has the parts {sorted(parts)}, the checkpoint {sorted(content['parts'])}; it was "
            "written by another kind of run"
        )
    tensors = load_file(path)
    for name, part in parts.items():
        part.load_state_dict(_decode(content["parts"][name], tensors))
    random.set_rng_state(content["random"])
    return content["progress"]


def _read(path: Path) -> dict[str, Any]:
    content = json.loads(read_metadata(path).get("training", "{}"))
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a training checkpoint (format {content.get('format')!r}, not {FORMAT!r})")
    return content


def _encode(value: Any, name: str, tensors: dict[str, Any]) -> Any:
    """`value` with tensors moved into `tensors`, and dictionaries as lists of pairs, since JSON keys are strings."""
    if isinstance(value, Variable):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"pairs": [[key, _encode(entry, f"{name}.{key}", tensors)] for key, entry in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_encode(entry, f"{name}.{index}", tensors) for index, entry in enumerate(value)]
    return value


def _decode(value: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _decode(entry, tensors) for key, entry in value["pairs"]}
    if isinstance(value, list):
        return [_decode(entry, tensors) for entry in value]
    return value
